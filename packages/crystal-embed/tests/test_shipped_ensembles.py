"""The ensembles that ship: their members, predictions with intervals, and what these hold."""

import csv
import os

import numpy as np
import pytest

import crystal_embed
from crystal_data.artifacts import Artifact
from crystal_data.inference import Ensemble
from crystal_data.inference.ensemble import read_ensemble
from crystal_data.io import parse_records
from crystal_data.io.cif import to_cif
from crystal_data.testing import rock_salt
from crystal_embed.__main__ import main
from crystal_embed.shipped import SHIPPED

TARGETS = {
    "cgcnn-formation-energy-ensemble": "formation_energy_per_atom",
    "cgcnn-band-gap-ensemble": "band_gap",
}
TEST = "MP-20 (a part), test split"


def test_all_are_known_and_fit_the_wheel():
    assert set(SHIPPED.ensembles()) == set(TARGETS)
    sizes = [path.stat().st_size for path in SHIPPED.folder.rglob("*") if path.is_file()]
    assert sum(sizes) < 5_000_000


@pytest.mark.parametrize("name", TARGETS)
def test_the_first_member_is_the_model_that_ships_alone(name):
    first, *others = (Artifact.load(place) for place in read_ensemble(find(name)).members)
    alone = Artifact.load(SHIPPED.artifacts()[name.removesuffix("-ensemble")])
    assert len(others) == 3
    assert first.targets == alone.targets
    assert set(first.weights) == set(alone.weights)
    for key, value in alone.weights.items():
        np.testing.assert_array_equal(first.weights[key], value)
        assert all(other.weights[key].shape == value.shape for other in others)
    assert not {"metrics", "evaluations"} & set(first.metadata)


@pytest.mark.parametrize(("name", "target"), TARGETS.items())
def test_predictions_have_intervals(name, target):
    crystals = [rock_salt(), rock_salt(19)]
    found = crystal_embed.load(name)
    assert isinstance(found, Ensemble)
    columns = found.predict(crystals)
    assert list(columns) == [target, *(f"{target}:{x}" for x in ("std", "low90", "high90"))]
    members = [member.predict(crystals)[target] for member in found.members]
    np.testing.assert_allclose(columns[target], np.mean(members, axis=0))
    assert np.ptp(members, axis=0).min() > 0
    assert (columns[f"{target}:low90"] < columns[target]).all()
    assert (columns[f"{target}:high90"] > columns[target]).all()
    if target == "band_gap":
        assert columns[f"{target}:low90"].min() >= 0


def test_the_command_takes_both_by_name(tmp_path, capsys):
    (tmp_path / "salt.cif").write_text(to_cif(rock_salt()), encoding="utf-8")
    output = tmp_path / "out" / "p.csv"
    options = [option for name in TARGETS for option in ("--model", name)]
    assert main(["predict", str(tmp_path / "salt.cif"), *options, "--output", str(output)]) == 0
    with output.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    said = capsys.readouterr().err
    for name, target in TARGETS.items():
        unit = "eV/atom" if target.startswith("formation") else "eV"
        low, mean, high = (float(row[f"{target}{x} [{unit}]"]) for x in (":low90", "", ":high90"))
        assert low < mean < high
        assert f"{name}: {target} [{unit}]" in said


def test_they_are_listed_with_errors_and_intervals(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in TARGETS:
        (row,) = (line for line in lines if line.startswith(f"{name} "))
        assert f"(MAE of 3559 crystals, {TEST})" in row
        assert " wide, holds " in row
    assert "used neither for training nor for a" in "\n".join(lines)
    with pytest.raises(ValueError, match="did you mean 'cgcnn-band-gap-ensemble'"):
        SHIPPED.find("cgcnn-band-gap-ensembel")


@pytest.mark.parametrize("name", TARGETS)
def test_the_stated_error_is_that_of_test_crystals(name):
    rows = read_ensemble(find(name)).evaluations
    assert (rows[0]["data"], rows[0]["num_crystals"]) == (TEST, 3559)
    for row in rows:
        assert ("used_for" in row) == ("validation" in row["data"])
        assert 0 < row["coverage"] <= 1
        assert row["width"] > 0


@pytest.mark.data
@pytest.mark.skipif("CRYSTAL_DATA_HOME" not in os.environ, reason="CRYSTAL_DATA_HOME is not set")
@pytest.mark.parametrize(("name", "target"), TARGETS.items())
def test_intervals_hold_the_stated_share_of_test_labels(name, target):
    from crystal_data.sources import MP20

    records = [record for record in MP20().records() if record.split == "test"]
    if len(records) != 3559:
        pytest.skip("the test split is not the part of MP-20 that was measured")
    labels = np.array([record.properties[target] for record in records])
    columns = crystal_embed.load(name).predict(parse_records(records))
    low, high = columns[f"{target}:low90"], columns[f"{target}:high90"]
    stated = read_ensemble(find(name)).evaluations[0]
    assert np.abs(columns[target] - labels).mean() == pytest.approx(stated["mae"], abs=2e-4)
    is_held = (low <= labels) & (labels <= high)
    assert is_held.mean() == pytest.approx(stated["coverage"], abs=1e-3)
    assert (high - low).mean() == pytest.approx(stated["width"], abs=1e-3)


def find(name):
    return SHIPPED.ensembles()[name]
