"""Artifacts: what goes in comes out, and what should be refused is."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from crystal_data.artifacts import artifact as artifact_module
from crystal_data.artifacts import formats
from crystal_data.artifacts.artifact import (
    Artifact,
    ArtifactError,
    TargetScale,
    find_artifact,
)
from crystal_data.artifacts.pretrained import PretrainedModel
from crystal_data.artifacts.state_report import load_state_report
from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError
from crystal_data.field import Field
from crystal_data.inference import Predictor
from crystal_data.io.ase import to_ase
from crystal_data.io.checked_json import with_checksum
from crystal_data.io.cif import to_cif
from crystal_data.io.pymatgen import to_pymatgen
from crystal_data.training.module import PropertyModule
from crystal_data.training.schedules import OneCycle, WarmupCosine


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toy"))


def load(folder):
    return PretrainedModel.from_pretrained(folder, allow_package="crystal_toy")


@pytest.fixture
def model():
    from crystal_toy.model import ElementSum

    torch.manual_seed(0)
    return ElementSum(hidden_size=5, num_outputs=2)


SCALES = {
    "energy": TargetScale(-3.0, 2.0, Field("energy", "eV/atom")),
    "gap": TargetScale(1.0, 0.5, Field("gap", "eV")),
}


@pytest.fixture
def folder(model, tmp_path):
    metadata = {
        "versions": {"torch": "2"},
        "data": {"source": "a|b\nc"},
        "metrics": {"val/mae": 0.1},
    }
    return model.save_pretrained(tmp_path / "artifact", targets=SCALES, metadata=metadata)


def change(folder, **changes):
    """Writes other options, as if they had been saved so."""
    config = json.loads((folder / "config.json").read_text()) | changes
    del config["sha256"]
    (folder / "config.json").write_text(json.dumps(with_checksum(config)))


def test_there_and_back(model, folder):
    assert {p.name for p in folder.iterdir()} == {
        "model.safetensors",
        "config.json",
        "metadata.json",
        "README.md",
    }
    loaded = type(model).from_pretrained(folder, allow_package="crystal_toy")
    for name, values in model.state_dict().items():
        assert torch.equal(values, loaded.state_dict()[name])
    assert type(load(folder)) is type(model)
    config = json.loads((folder / "config.json").read_text())
    assert config["arguments"] == {"hidden_size": 5, "num_outputs": 2}
    assert config["class_name"] == "ElementSum"
    assert "." not in config["class_name"]


def test_predictions_come_in_the_targets_units(model, folder):
    crystals = [
        Crystal(4 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17]),
        Crystal(5 * np.eye(3), [[0, 0, 0]], [26]),
    ]
    predictor = Predictor.from_pretrained(folder, allow_package="crystal_toy")
    assert predictor.targets == ("energy", "gap")
    assert predictor.units == {"energy": "eV/atom", "gap": "eV"}
    got = predictor.predict(crystals, batch_size=1)
    with torch.no_grad():
        means = [model.table.weight[[11, 17]].mean(0), model.table.weight[26]]
        raw = model.head(torch.stack(means)).double().numpy()
    np.testing.assert_allclose(got["energy"], raw[:, 0] * 2.0 - 3.0, rtol=1e-5)
    np.testing.assert_allclose(got["gap"], raw[:, 1] * 0.5 + 1.0, rtol=1e-5)
    assert predictor.predict([])["gap"].shape == (0,)


def test_predictions_for_whatever_can_be_read(folder, tmp_path):
    crystals = [
        Crystal(4 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17], "a"),
        Crystal(5 * np.eye(3), [[0, 0, 0]], [26], "b"),
    ]
    predictor = Predictor.from_pretrained(folder, allow_package="crystal_toy")
    expected = predictor.predict(crystals)["gap"]
    place = tmp_path / "mine"
    place.mkdir()
    for crystal in crystals:
        (place / f"{crystal.identifier}.cif").write_text(to_cif(crystal), encoding="utf-8")
    structures = [to_pymatgen(crystal) for crystal in crystals]
    for inputs in (
        structures,
        [structure.as_dict() for structure in structures],
        [to_ase(crystal) for crystal in crystals],
        place,
        str(place / "*.cif"),
        [place / "a.cif", crystals[1]],
        iter(crystals),
    ):
        np.testing.assert_allclose(predictor.predict(inputs)["gap"], expected, rtol=1e-6)
    assert predictor.predict(crystals[0])["gap"] == pytest.approx(expected[0])
    np.testing.assert_array_equal(predictor.predict([crystals[0]] * 2)["gap"], expected[[0, 0]])
    (place / "c.cif").write_text("data_c\n", encoding="utf-8")
    with pytest.raises(InvalidCrystalError, match=r"c\.cif: no unit cell.*read_crystals"):
        predictor.predict(place)


def test_the_card_has_a_yaml_head_and_tables(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["library_name"] == "crystal-toy"
    assert "| energy | eV/atom |" in body
    assert "| source | a\\|b c |" in body
    assert "| val/mae | 0.1 |" in body


def test_an_unknown_name_is_refused(folder):
    change(folder, class_name="ElementSums")
    with pytest.raises(ArtifactError, match="no model 'ElementSums'; did you mean 'ElementSum'"):
        load(folder)


@pytest.mark.parametrize("package", ["os", "crystal_evil", "crystal_toy.model", ""])
def test_only_our_packages_are_ever_imported(folder, package):
    change(folder, package=package)
    before = set(sys.modules)
    with pytest.raises(ArtifactError, match="nothing is imported"):
        load(folder)
    assert set(sys.modules) == before


def test_the_future_is_refused(folder):
    change(folder, format_version=99)
    with pytest.raises(ArtifactError, match=r"format 99.*reads up to 3; upgrade crystal-toy"):
        Artifact.load(folder)


def test_an_old_format_is_lifted_step_by_step(folder, monkeypatch):
    monkeypatch.setattr(formats, "FORMAT_VERSION", 4)
    steps = {
        1: lambda config: config | {"targets": {}, "files": None},
        2: formats.MIGRATIONS[2],
        3: lambda config: config | {"arguments": config["arguments"] | {"hidden_size": 7}},
    }
    change(folder, format_version=1, model="ElementSum")
    monkeypatch.setattr(formats, "MIGRATIONS", steps)
    loaded = Artifact.load(folder)
    assert loaded.targets == {}
    assert loaded.arguments["hidden_size"] == 7


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b'{"format_version": 1}'),
        ("config.json", b'{"format_version": 2}'),
        ("config.json", b'{"format_version": 1, "files": ' + b"[" * 100_000),
        ("metadata.json", b"\xff"),
        ("model.safetensors", b"not weights"),
        ("model.safetensors", None),
    ],
)
def test_a_broken_part_is_named(folder, file, content):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(ArtifactError, match=file):
        Artifact.load(folder)


def test_the_minimum_of_a_target_is_kept(model, tmp_path):
    names = list(SCALES)
    scales = {**SCALES, names[0]: replace(SCALES[names[0]], minimum=0.0)}
    spread = {"min": 0.0, "max": 2.0, "mean_absolute_deviation": 1.0, "num_labels": 3}
    targets = {names[0]: {**spread, "min": -1.0}, names[1]: spread}
    training = {"num_crystals": 3, "elements": ["H"], "max_atoms": 4, "targets": targets}
    folder = model.save_pretrained(tmp_path / "a", targets=scales, metadata={"training": training})
    found = Artifact.load(folder).targets
    # Of the second one, as of artifacts that are older than the minimum, the labels tell it.
    assert [found[name].minimum for name in names] == [0.0, 0.0]
    assert f"No label of {names[0]} in training is below 0" in (folder / "README.md").read_text()
    again = Artifact.load(model.save_pretrained(tmp_path / "b", targets=SCALES)).targets
    assert [scale.minimum for scale in again.values()] == [None] * len(names)
    for minimum in (float("nan"), "0", True):
        with pytest.raises(ArtifactError):
            replace(SCALES[names[0]], minimum=minimum)


def test_weights_that_do_not_fit_are_refused(folder):
    change(folder, arguments={"hidden_size": 6, "num_outputs": 2})
    with pytest.raises(ArtifactError, match="cannot be built as saved"):
        load(folder)


def test_other_graph_options_are_refused(folder):
    change(folder, graph_spec={"cutoff": 5.0})
    with pytest.raises(ArtifactError, match="predictions would be wrong"):
        load(folder)


def test_a_class_that_no_registry_knows_is_not_saved(tmp_path, model):
    class Private(type(model)):
        pass

    Private.__module__ = "crystal_toy.elsewhere"
    with pytest.raises(ArtifactError, match="not in the registry of crystal_toy"):
        Private().save_pretrained(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_arguments_are_plain_json(tmp_path, model):
    model._arguments["hidden_size"] = torch.nn.Linear(1, 1)
    with pytest.raises(ArtifactError, match="artifact_arguments"):
        model.save_pretrained(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_new_artifact_replaces_the_old_one_whole(folder, model, monkeypatch):
    (folder / "left-over").write_text("")
    model.save_pretrained(folder)
    assert not (folder / "left-over").exists()
    before = (folder / "config.json").read_text()
    monkeypatch.setattr(artifact_module, "model_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        type(model)(3).save_pretrained(folder)
    assert (folder / "config.json").read_text() == before
    assert [path.name for path in folder.parent.iterdir()] == ["artifact"]


def test_a_folder_with_other_files_is_left_alone(tmp_path, model):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(ArtifactError, match="a folder of its own"):
        model.save_pretrained(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "all of it"


def test_what_is_neither_folder_nor_hub_id(tmp_path):
    with pytest.raises(ArtifactError, match="no such folder, and not a hub id"):
        find_artifact(tmp_path / "nothing")
    with pytest.raises(ArtifactError, match=r"no config\.json in it or in artifact/"):
        find_artifact(tmp_path)


def test_without_a_network_the_message_says_what_to_do(monkeypatch):
    import huggingface_hub

    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(
        ArtifactError, match=r"copy config\.json and the files that it lists into a folder"
    ):
        find_artifact("someone/model")


def test_copies_and_pickles(model, tmp_path):
    import copy
    import pickle

    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.artifact_arguments() == model.artifact_arguments()


def test_report_of_a_partial_load(model):
    from crystal_toy.model import ElementSum

    other = ElementSum(hidden_size=5, num_outputs=1)
    report = load_state_report(model, other.state_dict() | {"extra": torch.zeros(1)})
    assert report.loaded == ("table.weight",)
    assert set(report.skipped) == {"head.weight", "head.bias", "extra"}
    assert report.initialized == ("head.weight", "head.bias")
    assert torch.equal(model.table.weight, other.table.weight)
    with pytest.raises(ArtifactError, match="none of the 1 given tensors fits"):
        load_state_report(model, {"extra": torch.zeros(1)})


@pytest.mark.parametrize(("targets", "message"), [([], "not \\[\\]"), (["a", "a"], "different")])
def test_targets_are_different_names(model, targets, message):
    with pytest.raises(ValueError, match=message):
        PropertyModule(model, targets)


def test_weights_of_unknown_targets_get_the_nearest(model):
    with pytest.raises(ValueError, match="did you mean 'energy'"):
        PropertyModule(model, ["energy", "gap"], target_weights={"enrgy": 2.0})


def test_schedules_rise_and_fall():
    def rates(make, steps=20):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        scheduler = make(optimizer)
        found = []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return found

    def ours(optimizer):
        scheduler = OneCycle(optimizer, warmup=0.3)
        scheduler.set_total_steps(20)
        return scheduler

    def warm(optimizer):
        scheduler = WarmupCosine(optimizer, warmup=0.25)
        scheduler.set_total_steps(20)
        return scheduler

    got = rates(ours)
    assert got[0] == pytest.approx(0.004)
    assert max(got) == pytest.approx(0.1)
    assert got.index(max(got)) == 6
    assert got[1:6] == sorted(got[1:6])
    assert got[6:] == sorted(got[6:], reverse=True)
    got = rates(warm)
    assert got[5] == pytest.approx(0.1)
    # From the very first step, which the constructor cannot know.
    assert got[:5] == pytest.approx([0.02, 0.02, 0.04, 0.06, 0.08])
    assert 0 < got[-1] < 0.002
    assert all(rate > 0 for rate in got)


@pytest.mark.parametrize("steps", [1, 3, 20, 1000])
@pytest.mark.parametrize("kind", [OneCycle, WarmupCosine])
def test_no_step_is_above_the_optimizers_learning_rate(kind, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = kind(optimizer)
    scheduler.set_total_steps(steps)
    for _ in range(steps):
        assert 0 <= optimizer.param_groups[0]["lr"] <= 0.1 * (1 + 1e-9)
        optimizer.step()
        scheduler.step()
