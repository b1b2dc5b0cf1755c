"""Artifacts of past formats load for ever, and what they may get wrong is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from crystal_data import Crystal
from crystal_data.artifacts import Artifact, ArtifactError
from crystal_data.inference import Predictor
from crystal_data.io.checked_json import with_checksum
from crystal_embed.shipped import SHIPPED

ARTIFACTS = Path(__file__).parent / "artifacts"
STORED = sorted(ARTIFACTS.glob("format-*"))
ROCK_SALT = Crystal(
    2.8 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17]
)


@pytest.mark.parametrize("folder", STORED, ids=lambda path: path.name)
def test_a_past_format_predicts_as_it_did(folder):
    predictor = Predictor.from_pretrained(folder)
    assert predictor.predict([ROCK_SALT])["energy"] == pytest.approx([-2.77156925], rel=1e-6)
    assert predictor.units == {"energy": "eV/atom"}
    assert predictor.metadata["metrics"] == {"test/mae": 0.125}


def test_all_formats_predict_the_same_bits(tmp_path):
    """The stored artifacts hold the same model, each in the format of its time."""
    folders = [*STORED, Artifact.load(ARTIFACTS / "format-1").save(tmp_path / "new")]
    first, *others = (Predictor.from_pretrained(folder) for folder in folders)
    assert len(others) == 3
    expected = first.predict([ROCK_SALT])["energy"]
    for other in others:
        np.testing.assert_array_equal(other.predict([ROCK_SALT])["energy"], expected)


@pytest.mark.parametrize("past", STORED, ids=lambda path: path.name)
def test_a_past_format_is_saved_in_the_present_one(tmp_path, past):
    Artifact.load(past).save(tmp_path / "new")
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    assert config["format_version"] == 3
    assert set(config["files"]) == {"model.safetensors", "metadata.json"}
    old, new = (Artifact.load(path) for path in (past, tmp_path / "new"))
    assert old.config() == new.config()
    assert old.metadata == new.metadata


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_convolutions", 10**9),
        ("num_convolutions", 9_999),
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", 9_999),
        ("width", 10**9),
        ("width", 9_999),
        ("hidden_width", 10**15),
        ("element_table", {"name": "x", "atomic_numbers": [1], "width": 10**8}),
        ("element_table", {"name": "x", "atomic_numbers": ["H"], "width": 2}),
        ("element_table", None),
        ("aggregation", "avarage"),
        ("aggregation", ["mean"]),
        ("missing_elements", 3),
        ("num_convolutions", True),
        ("trainable_table", "no"),
        ("graph_spec", {"cutoff": 1e9}),
        ("graph_spec", {"cutoff": float("nan")}),
        ("graph_spec", {"max_neighbors": 10**9}),
        ("graph_spec", {"ties": "shall"}),
        ("graph_spec", {"tie_tolerance": 1e9}),
        ("graph_spec", 3),
    ],
)
def test_arguments_that_the_weights_cannot_fill_are_refused(tmp_path, name, value):
    place = shutil.copytree(ARTIFACTS / "format-1", tmp_path / "artifact")
    config = json.loads((place / "config.json").read_text())
    config["arguments"][name] = value
    if name == "graph_spec" and isinstance(value, dict):
        config["arguments"][name] = config["graph_spec"] = config["graph_spec"] | value
    (place / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match="CGCNN cannot be built as saved") as caught:
        Predictor.from_pretrained(place)
    assert "\n" not in str(caught.value)


def test_what_ships_is_in_the_present_format():
    assert SHIPPED.artifacts()
    for folder in SHIPPED.artifacts().values():
        config = json.loads((folder / "config.json").read_text())
        assert config["format_version"] == 3
        assert config == with_checksum({k: v for k, v in config.items() if k != "sha256"})
        assert "files" in config
