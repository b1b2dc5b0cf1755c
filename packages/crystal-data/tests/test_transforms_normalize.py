"""Target scaling by the training split alone."""

import numpy as np
import pytest
import torch

from crystal_data.field import Field
from crystal_data.transforms.normalize import TargetNormalizer


def numbers(*names):
    return [Field(name) for name in names]


def test_fit_ignores_missing_labels():
    train = {"gap": np.array([1.0, np.nan, 3.0]), "other": np.array([np.nan] * 3)}
    scale = TargetNormalizer(numbers("gap")).fit(train)
    assert scale.mean.item() == 2.0
    assert scale.std.item() == 1.0
    values = torch.tensor([[1.0], [float("nan")], [5.0]])
    torch.testing.assert_close(
        scale.normalize(values), torch.tensor([[-1.0], [float("nan")], [3.0]]), equal_nan=True
    )


def test_there_and_back():
    rng = np.random.default_rng(0)
    train = {"a": rng.normal(5, 3, 100), "b": rng.normal(-2, 0.1, 100)}
    scale = TargetNormalizer(numbers("b", "a")).fit(train)
    values = torch.tensor(np.stack([train["b"], train["a"]], axis=1), dtype=torch.float32)
    scaled = scale.normalize(values)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(scale.denormalize(scaled), values)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_constant_target_stays_finite(value):
    scale = TargetNormalizer(numbers("x")).fit({"x": np.full(7, value)})
    assert scale.std.item() == 1.0
    assert scale.normalize(torch.tensor([[value]])).item() == pytest.approx(0.0, abs=1e-6)


def test_the_state_keeps_the_statistics():
    fitted = TargetNormalizer(numbers("x")).fit({"x": np.array([1.0, 5.0])})
    loaded = TargetNormalizer(numbers("x"))
    loaded.load_state_dict(fitted.state_dict())
    assert loaded.mean.item() == 3.0
    assert loaded.std.item() == 2.0


def test_targets_without_labels_are_refused():
    with pytest.raises(ValueError, match=r"no target 'gapp'.*gap"):
        TargetNormalizer(numbers("gapp")).fit({"gap": np.ones(3)})
    with pytest.raises(ValueError, match="no label"):
        TargetNormalizer(numbers("gap")).fit({"gap": np.full(3, np.nan)})


def test_labels_that_begin_at_zero_bound_the_predictions():
    train = {
        "gap": np.array([0.0, np.nan, 4.0, 0.0]),
        "energy": np.array([-1.0, 0.0, 2.0, np.nan]),
        "modulus": np.array([3.0, 9.0, 5.0, 1.0]),
        "dos": np.array([[0.0, 2.0], [1.0, 3.0], [4.0, np.nan], [1.0, 1.0]]),
    }
    fields = [*numbers("gap", "energy", "modulus"), Field("dos", shape=(2,))]
    scale = TargetNormalizer(fields).fit(train)
    assert scale.minimum == (0.0, None, None, 0.0)
    low = scale.denormalize(torch.full((1, 5), -9.0))[0]
    assert low[[0, 3, 4]].tolist() == [0.0, 0.0, 0.0]
    assert (low[[1, 2]] < -1).all()
    # What is above stays as it was.
    values = torch.tensor([[1.0, -0.5, 3.0, 2.0, 0.5]])
    torch.testing.assert_close(scale.denormalize(scale.normalize(values)), values)


def test_vectors_have_no_minimum():
    field = Field("force", shape=(3,), turns_as="vector")
    scale = TargetNormalizer([field]).fit({"force": np.abs(np.eye(3))})
    assert scale.minimum == (None,)
