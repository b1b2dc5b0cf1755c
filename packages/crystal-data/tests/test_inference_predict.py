"""Predictions without a Trainer: crystals in memory, sources, several processes."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from crystal_data import Crystal, CrystalBatch
from crystal_data.artifacts import TargetScale
from crystal_data.errors import Reason
from crystal_data.field import Field
from crystal_data.inference import Ensemble, Predictor, predict_source
from crystal_data.inference.description import decimals_for, summary_line
from crystal_data.io.cif import to_cif
from crystal_data.io.value_cells import value_cells
from crystal_data.sources import PathsSource
from crystal_data.testing import random_crystals, rock_salt
from crystal_data.transforms import TargetNormalizer

sys.path.insert(0, str(Path(__file__).parent / "toy"))
from crystal_toy.model import ElementSum

SCALES = {
    "energy": TargetScale(-3.0, 2.0, Field("energy", "eV/atom")),
    "gap": TargetScale(1.0, 0.5, Field("gap", "eV")),
}


class SomeElements(ElementSum):
    """Knows the elements up to zinc."""

    supported_elements = frozenset(range(1, 31))


def predictor(kind=ElementSum, seed=0, num_outputs=2):
    torch.manual_seed(seed)
    return Predictor(kind(hidden_size=5, num_outputs=num_outputs), SCALES, {"data": {}})


@pytest.fixture
def source(tmp_path):
    for number, crystal in enumerate(random_crystals(7, seed=3)):
        text = to_cif(crystal.replace(atomic_numbers=crystal.atomic_numbers % 30 + 1))
        (tmp_path / f"c{number}.cif").write_text(text, encoding="utf-8")
    (tmp_path / "c3-gold.cif").write_text(to_cif(rock_salt(79)), encoding="utf-8")
    (tmp_path / "bad.cif").write_text("data_bad\n", encoding="utf-8")
    return PathsSource([tmp_path])


def test_no_prediction_is_below_the_minimum():
    torch.manual_seed(0)
    crystals = random_crystals(20, seed=1)
    free = Predictor(ElementSum(hidden_size=5, num_outputs=2), SCALES)
    bounded = {**SCALES, "gap": TargetScale(1.0, 0.5, Field("gap", "eV"), 0.9)}
    members = [Predictor(free.model, bounded) for _ in range(2)]
    expected, found = free.predict(crystals), members[0].predict(crystals)
    assert (expected["gap"] < 0.9).any()
    np.testing.assert_allclose(found["gap"], np.maximum(expected["gap"], 0.9))
    np.testing.assert_array_equal(found["energy"], expected["energy"])
    other = Predictor(ElementSum(hidden_size=5, num_outputs=2), bounded)
    columns = Ensemble([members[0], other], {"gap": 3.0, "energy": 3.0}).predict(crystals)
    assert columns["gap:low90"].min() == 0.9
    assert (columns["energy:low90"] < columns["energy"]).all()


def test_the_floor_is_added_to_the_deviation():
    crystals = random_crystals(5, seed=1)
    members = [predictor(seed=seed) for seed in range(3)]
    without = Ensemble(members, {"gap": 2.0, "energy": 2.0}).predict(crystals)
    found = Ensemble(members, {"gap": 2.0, "energy": 2.0}, {"gap": 0.25}).predict(crystals)
    for name, floor in (("gap", 0.25), ("energy", 0.0)):
        np.testing.assert_array_equal(found[f"{name}:std"], without[f"{name}:std"])
        half = 1.6448536269514722 * 2.0 * (found[f"{name}:std"] + floor)
        np.testing.assert_allclose(found[f"{name}:high90"], found[name] + half)
        np.testing.assert_allclose(found[f"{name}:low90"], found[name] - half)


def test_an_ensemble_states_its_own_errors():
    members = [predictor(seed=seed) for seed in range(2)]
    chosen = {"target": "gap", "data": "x", "num_crystals": 5, "mae": 0.3, "used_for": "a choice"}
    unseen = {"target": "gap", "data": "y", "num_crystals": 9, "mae": 0.5}
    unseen |= {"coverage": 0.8765, "width": 1.25}
    ensemble = Ensemble(members, {"gap": 2.0}, evaluations=[chosen, unseen])
    line = summary_line("both", ensemble.metadata, "gap", "eV")
    assert "error 0.5 eV (MAE of 9 crystals, y); interval 1.25 eV wide, holds 87.6 %" in line
    alone = summary_line("both", {"evaluations": [chosen]}, "gap", "eV")
    assert alone.endswith("error 0.3 eV (MAE of 5 crystals, x, used for a choice)")
    assert Ensemble(members).metadata == members[0].metadata


@pytest.mark.parametrize(
    ("error", "decimals"),
    [(0.0557, 3), (0.1, 2), (0.2465, 2), (1.0, 1), (12.0, 0), (250.0, -1), (0.0, None)],
)
def test_digits_that_an_error_allows(error, decimals):
    row = {"target": "gap", "data": "x", "num_crystals": 1, "mae": error}
    assert decimals_for({"evaluations": [row]}, "gap") == decimals
    assert decimals_for({"metrics": {"val/mae/gap": error}}, "gap") == decimals
    assert decimals_for({}, "gap") is None


def test_rounded_cells():
    values = [np.array(1234.5678), np.array(-0.0001), np.array([1.26, np.nan])]
    assert value_cells(values, 1) == ["1234.6", "0.0", "[1.3, null]"]
    assert value_cells(values[:1], -2) == ["1200"]
    assert value_cells([np.array(np.nan)], 2) == [""]


def test_a_source_is_predicted_in_its_order(source, capsys):
    ours, others = predictor(SomeElements), predictor(seed=1)
    found = predict_source([ours, others], source, batch_size=3)
    assert found.identifiers == [f"c{number}" for number in range(7)]
    assert [(one.identifier, one.reason) for one in found.rejected] == [
        ("bad", Reason.NO_CELL),
        ("c3-gold", Reason.UNSUPPORTED_ELEMENT),
    ]
    assert capsys.readouterr().err.count("1 of 9 structures left out") == 1
    crystals = [found.store.crystal(row) for row in found.rows.tolist()]
    for one, values in zip((ours, others), found.predictions, strict=True):
        expected = one.predict(crystals, batch_size=3)
        assert list(values) == ["energy", "gap"]
        for name in values:
            np.testing.assert_array_equal(values[name], expected[name])


def test_predictions_say_which_crystals_they_are_of(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.cif").write_text(to_cif(rock_salt(11)), encoding="utf-8")
    found = predictor().predict(tmp_path)
    assert (found.ids, list(found)) == (("a", "b"), ["energy", "gap"])
    both = Ensemble([predictor(), predictor(seed=1)]).predict([rock_salt(11)])
    assert both.ids == (rock_salt(11).identifier,)
    assert list(both) == ["energy", "energy:std", "gap", "gap:std"]


def test_nothing_that_the_model_takes_gives_empty_columns(tmp_path):
    (tmp_path / "gold.cif").write_text(to_cif(rock_salt(79)), encoding="utf-8")
    found = predict_source([predictor(SomeElements)], PathsSource([tmp_path]))
    assert found.identifiers == []
    assert found.predictions[0]["gap"].shape == (0,)


@pytest.mark.slow
def test_processes_give_the_same_bits(source):
    models = [predictor(), predictor(seed=1)]
    one, two = (predict_source(models, source, batch_size=2, devices=n) for n in (1, 2))
    assert two.identifiers == one.identifiers
    for values, expected in zip(two.predictions, one.predictions, strict=True):
        for name in expected:
            np.testing.assert_array_equal(values[name], expected[name])


def test_scales_are_those_of_the_normalizer():
    ours = predictor()
    crystals = random_crystals(4, seed=0)
    normalizer = TargetNormalizer([scale.field for scale in SCALES.values()])
    normalizer.mean.copy_(torch.tensor([-3.0, 1.0]))
    normalizer.std.copy_(torch.tensor([2.0, 0.5]))
    with torch.no_grad():
        output = ours.model(CrystalBatch.from_crystals(crystals).float32())
        expected = normalizer.denormalize(output).double().numpy()
    got = ours.predict(crystals)
    np.testing.assert_array_equal(np.stack([got["energy"], got["gap"]], axis=1), expected)
    assert ours.units == {"energy": "eV/atom", "gap": "eV"}
    assert not ours.model.training


def test_a_model_with_other_outputs_is_refused():
    crystal = Crystal(4 * np.eye(3), [[0, 0, 0]], [11])
    with pytest.raises(ValueError, match=r"ElementSum gave \(1, 3\) for 1 crystals.*expected"):
        predictor(num_outputs=3).predict([crystal])
