"""The errors that the shipped models state: where they are shown, and that they are theirs."""

import os

import numpy as np
import pytest

from crystal_data.artifacts import Artifact
from crystal_data.artifacts.card import model_card
from crystal_data.field import Field
from crystal_data.inference.description import model_facts
from crystal_data.io import parse_records
from crystal_embed import load
from crystal_embed.shipped import SHIPPED

EVALUATIONS = [
    {"target": "gap", "data": "unseen crystals", "num_crystals": 20, "mae": 0.25},
    {"target": "gap", "data": "unseen crystals, gap above 0", "num_crystals": None, "mae": 0.61},
]
METADATA = {"training": {}, "metrics": {"test/mae/gap": 0.2}, "evaluations": EVALUATIONS}


def test_the_first_evaluation_is_the_stated_error():
    assert (
        model_facts(METADATA, "gap", "eV").error == "0.25 eV (MAE of 20 crystals, unseen crystals)"
    )
    reverse = {**METADATA, "evaluations": EVALUATIONS[::-1]}
    assert model_facts(reverse, "gap", "eV").error == "0.61 eV (MAE, unseen crystals, gap above 0)"


def test_without_an_evaluation_the_error_is_that_of_the_run():
    assert model_facts(METADATA | {"evaluations": []}, "gap", "eV").error == "0.2 eV (test MAE)"
    assert model_facts(METADATA, "energy", "eV").error == ""


def test_the_card_lists_all_evaluations():
    artifact = Artifact.load(SHIPPED.artifacts()["cgcnn-band-gap"])
    config = {**artifact.config(), "targets": {"gap": {"field": Field("gap", "eV").to_dict()}}}
    card = model_card(config, {"evaluations": EVALUATIONS})
    assert "| gap | unseen crystals | 20 | 0.25 eV |" in card
    assert "| gap | unseen crystals, gap above 0 | not known | 0.61 eV |" in card
    assert "## Evaluations" not in model_card(config, {})


@pytest.mark.parametrize("name", SHIPPED.default)
def test_shipped_models_state_their_errors_first_on_test_crystals(name):
    folder = SHIPPED.artifacts()[name]
    rows = Artifact.load(folder).metadata["evaluations"]
    assert (rows[0]["data"], rows[0]["num_crystals"]) == ("MP-20 (a part), test split", 3559)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(f"| {row['data']} |" in card for row in rows)


@pytest.mark.data
@pytest.mark.skipif("CRYSTAL_DATA_HOME" not in os.environ, reason="CRYSTAL_DATA_HOME is not set")
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("cgcnn-formation-energy", "formation_energy_per_atom"),
        ("cgcnn-band-gap", "band_gap"),
    ],
)
def test_the_weights_have_the_stated_error(name, target):
    from crystal_data.sources import MP20

    records = [record for record in MP20().records() if record.split == "test"]
    truth = np.array([record.properties[target] for record in records])
    if len(records) != 3559:
        pytest.skip("the test split is not the part of MP-20 that was measured")
    error = np.abs(load(name).predict(parse_records(records))[target] - truth)
    stated = {
        row["data"]: row["mae"]
        for row in Artifact.load(SHIPPED.artifacts()[name]).metadata["evaluations"]
    }
    assert error.mean() == pytest.approx(stated["MP-20 (a part), test split"], abs=2e-4)
    if target == "band_gap":
        insulators = stated["MP-20 (a part), test split, gap above 0"]
        assert error[truth > 0].mean() == pytest.approx(insulators, abs=2e-4)
