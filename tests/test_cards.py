"""The cards of the models that ship say what the records in ``benchmarks/results`` say."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from crystal_data.artifacts.artifact import Artifact
from crystal_data.artifacts.card import ensemble_card, model_card
from crystal_data.inference.ensemble import ensemble_metadata, read_ensemble

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("cards", ROOT / "scripts" / "cards.py")
cards = importlib.util.module_from_spec(SPEC)
sys.modules["cards"] = cards
SPEC.loader.exec_module(cards)

FOLDERS = {folder.name: folder for folder in cards.shipped()}
ENSEMBLES = {folder.name: folder for folder in cards.shipped_ensembles()}


def test_all_shipped_models_are_looked_at():
    assert {"cgcnn-band-gap", "crystal-dit-joined", "graph", "repair-mp20"} <= set(FOLDERS)


@pytest.mark.parametrize("name", FOLDERS)
def test_cards_say_what_the_records_say(name):
    artifact = Artifact.load(FOLDERS[name])
    assert artifact.metadata == cards.with_numbers(name, artifact.metadata), (
        "python scripts/cards.py writes the cards anew"
    )
    card = (FOLDERS[name] / "README.md").read_text(encoding="utf-8")
    assert card == model_card(artifact.config(), artifact.metadata, sorted(artifact.files))


@pytest.mark.parametrize("name", ENSEMBLES)
def test_cards_of_ensembles_say_what_the_records_say(name):
    found = read_ensemble(ENSEMBLES[name])
    assert list(found.evaluations) == cards.of_ensemble(name), (
        "python scripts/cards.py writes the cards anew"
    )
    record = json.loads((cards.RESULTS / "ensembles.json").read_text(encoding="utf-8"))
    (factor,) = found.scale.values()
    assert factor == pytest.approx(record["factors"][name]["validation"]["shipped"], rel=1e-3)
    first = Artifact.load(found.members[0])
    metadata = ensemble_metadata(first.metadata, found.evaluations)
    card = (ENSEMBLES[name] / "README.md").read_text(encoding="utf-8")
    count = len(found.members)
    assert card == ensemble_card(first.config(), metadata, count, found.scale, found.floor)


def test_a_number_that_the_record_does_not_have_goes():
    metadata = {"metrics": {"test/mae": 0.1}, "data": {"source": "mp_20"}}
    assert cards.with_numbers("some-model", metadata) == {"metrics": {}, "data": metadata["data"]}


def test_errors_come_from_the_record(tmp_path, monkeypatch):
    row = {"target": "gap", "data": "some", "num_crystals": 3, "mae": {"estimate": 0.123456}}
    record = {"models": {"some-model": [row]}}
    (tmp_path / "shipped-models.json").write_text(json.dumps(record), encoding="utf-8")
    monkeypatch.setattr(cards, "RESULTS", tmp_path)
    assert cards.with_numbers("some-model", {}) == {"evaluations": [{**row, "mae": 0.1235}]}
