"""Artifacts and ensembles that are damaged: refused in one line, never used."""

import json
import os
import random
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from crystal_data.artifacts.artifact import Artifact, ArtifactError, TargetScale
from crystal_data.artifacts.pretrained import PretrainedModel
from crystal_data.artifacts.verified_files import sha256
from crystal_data.field import Field
from crystal_data.inference import Ensemble
from crystal_data.inference.ensemble import save_ensemble
from crystal_data.io.checked_json import (
    read_json_object,
    verify_checksum,
    with_checksum,
)
from crystal_data.io.own_files import DamagedFileError

SCALE = TargetScale(1.0, 0.5, Field("gap", "eV")).to_dict()
SPREAD = {"min": 0.0, "max": 3.0, "mean_absolute_deviation": 0.5, "num_labels": 3}
EVALUATION = {"target": "gap", "data": "unseen", "num_crystals": 3, "mae": 0.2}
DOMAIN = {"num_crystals": 3, "elements": ["H"], "max_atoms": 2, "targets": {"gap": SPREAD}}


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toy"))


@pytest.fixture
def folder(tmp_path):
    from crystal_toy.model import ElementSum

    torch.manual_seed(0)
    targets = {"gap": TargetScale.from_dict("gap", SCALE)}
    metadata = {"training": DOMAIN, "data": {"source": "mp_20"}, "metrics": {"test/mae": 0.1}}
    return ElementSum(4).save_pretrained(tmp_path / "toy", targets=targets, metadata=metadata)


def load_model(folder):
    return PretrainedModel.from_pretrained(folder, allow_package="crystal_toy")


def load_ensemble(folder):
    return Ensemble.load(folder, allow_package="crystal_toy")


def rewrite(folder, weights=None, *, version=3, **changes):
    """Writes an artifact anew whose hashes are right, as one who means harm would."""
    if isinstance(weights, bytes):
        (folder / "model.safetensors").write_bytes(weights)
    elif weights is not None:
        save_file(weights, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text()) | changes
    names = ("model.safetensors", "metadata.json")
    hashes = {name: sha256((folder / name).read_bytes()) for name in names}
    config |= {"format_version": version, "files": changes.get("files", hashes)}
    del config["sha256"]
    if version < 3:
        config["model"] = config.pop("class_name")
        del config["kind"], config["base"]
    if version == 1:
        del config["files"]
    if version < 3 and isinstance(config["targets"], dict):
        config["targets"] = {name: with_unit(one) for name, one in config["targets"].items()}
    text = json.dumps(with_checksum(config) if version > 1 else config)
    (folder / "config.json").write_text(text)


def with_unit(scale):
    """A scale as formats 1 and 2 had it."""
    if not isinstance(scale, dict) or "field" not in scale:
        return scale
    return {"mean": scale["mean"], "std": scale["std"], "unit": scale["field"]["unit"]}


def refused(load, folder, match="artifact|toy|Toy|ElementSum"):
    with pytest.raises(ArtifactError, match=match) as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


def flipped(data, draw):
    place = draw.randrange(len(data))
    changed = bytearray(data)
    changed[place] ^= 1 << draw.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "metadata.json"])
def test_no_flipped_bit_is_loaded(folder, name):
    draw, path = random.Random(0), folder / name
    whole, expected = path.read_bytes(), Artifact.load(folder)
    for _ in range(100):
        path.write_bytes(flipped(whole, draw))
        try:
            loaded = Artifact.load(folder)
        except ArtifactError:
            continue
        # A digit behind the last that counts: the content is the same.
        assert name == "config.json"
        assert loaded.config() == expected.config()
    path.write_bytes(whole[: len(whole) // 2])
    refused(Artifact.load, folder, name)


def test_no_flipped_bit_of_an_ensemble_is_loaded(folder, tmp_path):
    place = save_ensemble(tmp_path / "both", [folder, folder], {"gap": 1.5})
    assert load_ensemble(place).scale == {"gap": 1.5}
    draw, path = random.Random(0), place / "ensemble.json"
    whole = path.read_bytes()
    for _ in range(100):
        path.write_bytes(flipped(whole, draw))
        try:
            loaded = load_ensemble(place)
        except ArtifactError:
            continue
        assert loaded.scale == {"gap": 1.5}


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"members": []}, "members are folders beside it"),
        ({"members": 3}, "members are folders beside it"),
        ({"members": ["../other"]}, "members are folders beside it"),
        ({"members": ["member-1"] * 2}, "members are folders beside it"),
        ({"scale": {"gap": float("nan")}}, "factors are finite"),
        ({"scale": {"gap": -1.0}}, "factors are finite"),
        ({"scale": 3}, "no ensemble"),
        ({"floor": {"gap": float("inf")}}, "floors are finite"),
        ({"floor": {"gap": -1.0}}, "floors are finite"),
        ({"floor": [1.0]}, "no ensemble"),
        ({"evaluations": 3}, "no evaluations"),
        ({"evaluations": [{"target": "gap", "data": "x", "num_crystals": 3}]}, "no evaluations"),
        ({"evaluations": [EVALUATION | {"coverage": "0.9"}]}, "no evaluations"),
        ({"evaluations": [{**EVALUATION, "width": "1", "coverage": 0.9}]}, "no evaluations"),
        ({"format_version": "2"}, "no ensemble"),
        ({"format_version": 9}, "reads up to 3; upgrade crystal-data"),
    ],
)
def test_an_ensemble_that_means_nothing_is_refused(folder, tmp_path, content, match):
    place = save_ensemble(tmp_path / "both", [folder, folder], {"gap": 1.5})
    whole = json.loads((place / "ensemble.json").read_text())
    del whole["sha256"]
    (place / "ensemble.json").write_text(json.dumps(with_checksum(whole | content)))
    refused(load_ensemble, place, match)


def test_an_ensemble_in_the_place_of_a_model_is_named(folder, tmp_path):
    place = save_ensemble(tmp_path / "both", [folder, folder], {})
    refused(Artifact.load, place, "an ensemble, where one model was expected; take one of its memb")
    assert Artifact.load(place / "member-1").config() == Artifact.load(folder).config()


@pytest.mark.parametrize("version", [1, 2])
def test_an_ensemble_of_a_past_format_loads(folder, tmp_path, version):
    place = save_ensemble(tmp_path / "both", [folder, folder], {"gap": 1.5}, floor={"gap": 0.5})
    past = {"format_version": version, "members": ["member-1", "member-2"], "scale": {"gap": 1.25}}
    (place / "ensemble.json").write_text(json.dumps(with_checksum(past)))
    found = load_ensemble(place)
    assert (found.scale, found.floor) == ({"gap": 1.25}, {})
    assert found.metadata == Artifact.load(folder).metadata


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folder, version, value):
    weights = load_file(folder / "model.safetensors")
    weights["head.bias"][0] = value
    rewrite(folder, weights, version=version)
    refused(Artifact.load, folder, r"toy.*weight 'head\.bias' has values that are not finite")


def test_weights_that_are_not_finite_are_not_written(folder):
    from crystal_toy.model import ElementSum

    model = ElementSum(4)
    torch.nn.init.constant_(model.head.bias, torch.nan)
    with pytest.raises(ArtifactError, match="not finite"):
        model.save_pretrained(folder.parent / "new")
    assert [path.name for path in folder.parent.iterdir()] == ["toy"]


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    "changes",
    [
        *({"targets": {"gap": SCALE | {"std": std}}}
          for std in (0, 0.0, -1.0, 1e-60, 1e60, float("nan"), float("inf"), "1", None, True)),
        {"targets": {"gap": SCALE | {"mean": float("nan")}}},
        {"targets": {"gap": SCALE | {"mean": [1.0]}}},
        {"targets": {"gap": SCALE | {"field": SCALE["field"] | {"unit": 3}}}},
        {"targets": {"gap": 3}},
        {"targets": ["gap"]},
        {"targets": {"gap": {}}},
        {"arguments": []},
        {"arguments": {"hidden_size": "4"}},
        {"arguments": {"hidden_size": None}},
        {"arguments": {"hidden_size": -4}},
        {"arguments": {"hidden_size": 4, "unknown": 1}},
        {"graph_spec": "all"},
        {"graph_spec": {"cutoff": 3.0}},
        {"untrained": 3},
        {"untrained": "head.bias"},
        {"untrained": [3]},
        {"untrained": ["head.bias"]},
        {"package": 3},
        {"package": None},
        {"class_name": ["ElementSum"]},
        {"format_version": "1"},
        {"format_version": True},
        {"format_version": 0},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_type_or_scale_is_refused(folder, changes, version):
    rewrite(folder, **changes, version=version)
    if "format_version" in changes:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))
    refused(load_model, folder)


SPECTRUM = Field("gap", shape=(2,)).to_dict()


@pytest.mark.parametrize(
    "scale",
    [
        SCALE | {"unit": "eV"},
        SCALE | {"scale": 1.0},
        SCALE | {"field": None},
        SCALE | {"field": SCALE["field"] | {"shape": 2}},
        SCALE | {"field": SCALE["field"] | {"shape": [0]}},
        SCALE | {"field": SCALE["field"] | {"turns_as": "vector"}},
        SCALE | {"field": SCALE["field"] | {"per": "bond"}},
        SCALE | {"field": SCALE["field"] | {"name": "band_gap"}},
        SCALE | {"field": SPECTRUM},
        SCALE | {"field": SPECTRUM, "mean": [1.0]},
        SCALE | {"field": SPECTRUM, "mean": [1.0, float("nan")]},
        SCALE | {"field": SPECTRUM, "mean": [1.0, "2"]},
        SCALE | {"field": SPECTRUM, "mean": [[1.0, 2.0]]},
        SCALE | {"field": SPECTRUM, "mean": "12"},
    ],
    ids=str,
)
def test_a_wrong_field_is_refused(folder, scale):
    rewrite(folder, targets={"gap": scale})
    refused(PretrainedModel.from_pretrained, folder)


@pytest.mark.parametrize(
    "metadata",
    [
        {"training": 3},
        {"training": {"num_crystals": 3}},
        {"training": DOMAIN | {"elements": [1]}},
        {"training": DOMAIN | {"targets": {"gap": {"min": 0.0}}}},
        {"metrics": {"test/mae": "low"}},
        {"data": []},
        {"evaluations": 5},
        {"evaluations": {"target": "gap"}},
        {"evaluations": [{"target": "gap", "mae": 0.1}]},
        {"evaluations": [{"target": "gap", "data": "x", "num_crystals": 3, "mae": "low"}]},
    ],
    ids=str,
)
def test_metadata_that_cannot_be_shown_are_refused(folder, metadata):
    (folder / "metadata.json").write_text(json.dumps(metadata))
    rewrite(folder, version=1)
    refused(Artifact.load, folder, "toy: metadata: .* are mappings, .*; copy or")


@pytest.mark.parametrize(
    "arguments",
    [
        {"hidden_size": 10**9},
        {"hidden_size": 10**30},
        {"hidden_size": 10_000, "num_outputs": 10_000},
        {"num_outputs": 10**12},
    ],
    ids=str,
)
def test_a_size_that_the_weights_do_not_have_is_refused_before_it_is_made(folder, arguments):
    rewrite(folder, arguments=arguments)
    match = r"toy: ElementSum cannot be built as saved: (argument|its arguments ask)"
    refused(load_model, folder, match)


@pytest.mark.parametrize("files", [{}, {"model.safetensors": 3}, [], "x", {"../x": "0"}, None])
def test_hashes_that_are_missing_are_refused(folder, files):
    rewrite(folder, files=files)
    refused(Artifact.load, folder)


def test_a_further_file_is_checked_as_well(folder):
    (folder / "more.json").write_text("[1]")
    hashes = json.loads((folder / "config.json").read_text())["files"]
    rewrite(folder, files=hashes | {"more.json": sha256(b"[1]")})
    assert Artifact.load(folder).file("more.json") == b"[1]"
    (folder / "more.json").write_text("[2]")
    refused(Artifact.load, folder, r"more\.json: its sha256")


def header(content, length=None):
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


HUGE = {"a": {"dtype": "F32", "shape": [1 << 40, 1 << 20], "data_offsets": [0, 1 << 62]}}


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        header({}, 1 << 62),
        header({}, 1 << 20),
        header(HUGE),
        header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}) + b"\0" * 8,
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}) + b"\0" * 8,
        header({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}) + b"\0",
        header({"a": {"dtype": "Q9", "shape": [2], "data_offsets": [0, 8]}}) + b"\0" * 8,
        header({"a": 3}),
        header(b"[" * 100_000),
        header({}),
    ],
    ids=range(11),
)
def test_weights_whose_header_lies_are_refused(folder, weights):
    rewrite(folder, weights)
    refused(load_model, folder)


@pytest.mark.skipif(os.name == "nt", reason="pipes are others there")
@pytest.mark.parametrize("name", ["model.safetensors", "metadata.json"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused(folder, name, make):
    (folder / name).unlink()
    make(folder / name)
    refused(Artifact.load, folder, rf"{name}: a folder or pipe, where a file was expected")


def test_a_checksum_is_of_the_content_and_not_of_its_form(tmp_path):
    content = with_checksum({"b": (1, 2.5, None), "a": {"x": "Å"}})
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content, indent=7, sort_keys=True).replace("\n", "\r\n"))
    verify_checksum(read_json_object(path), path)
    path.write_text(json.dumps(content | {"b": [1, 2.25, None]}))
    with pytest.raises(DamagedFileError, match=r"x\.json: damaged: its checksum does not fit"):
        verify_checksum(read_json_object(path), path)
