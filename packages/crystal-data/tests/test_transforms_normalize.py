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
