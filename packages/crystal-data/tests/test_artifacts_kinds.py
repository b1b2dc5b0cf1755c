"""Kinds of artifacts, their extra files and the base models that they name."""

import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from crystal_data.artifacts import Artifact, ArtifactError, BaseModel, PretrainedModel
from crystal_data.artifacts.find import find_artifact
from crystal_data.inference.ensemble import save_ensemble
from crystal_data.io.checked_json import with_checksum

COMMIT = "3a4f" * 10
BASE = BaseModel("somebody/words-9b", COMMIT, "MIT")
FILES = {
    "tokenizer.json": b'{"a": 1}',
    "tokenizer/merges.txt": b"a b\n",
    "lora/adapter_model.safetensors": bytes(range(256)),
}
ADAPTER = Artifact(
    kind="adapter",
    package="crystal_gen",
    class_name="SymmetryAdapter",
    arguments={"rank": 8},
    weights={"lora.A": torch.arange(6.0).reshape(2, 3)},
    files=FILES,
    base=BASE,
)
TEMPLATES = Artifact(
    kind="template_library",
    package="crystal_gen",
    class_name="TemplateLibrary",
    arguments={},
    weights={},
    files={"templates.parquet": b"PAR1"},
)


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toy"))


@pytest.fixture
def folder(tmp_path):
    return ADAPTER.save(tmp_path / "adapter")


def refused(folder, match, **options):
    with pytest.raises(ArtifactError, match=match) as caught:
        Artifact.load(folder, **options)
    assert "\n" not in str(caught.value)


def change(folder, **changes):
    """Writes other options, as if they had been saved so."""
    config = json.loads((folder / "config.json").read_text()) | changes
    del config["sha256"]
    (folder / "config.json").write_text(json.dumps(with_checksum(config)))


def listed(folder, **more):
    return json.loads((folder / "config.json").read_text())["files"] | more


def test_there_and_back(folder):
    found = Artifact.load(folder, kind="adapter")
    assert found.files == FILES
    assert found.file("tokenizer/merges.txt") == b"a b\n"
    assert found.base == BASE
    assert found.config() == ADAPTER.config()
    assert torch.equal(found.weights["lora.A"], ADAPTER.weights["lora.A"])
    assert (folder / "lora" / "adapter_model.safetensors").read_bytes() == bytes(range(256))
    config = json.loads((folder / "config.json").read_text())
    assert config["base"] == {"id": "somebody/words-9b", "revision": COMMIT, "license": "MIT"}
    assert set(config["files"]) == {"model.safetensors", "metadata.json", *FILES}
    with pytest.raises(ArtifactError, match=r"no extra file 'tokens'; there are tokenizer\.json, "):
        found.file("tokens")


def test_a_library_of_templates_has_no_weights(tmp_path):
    folder = TEMPLATES.save(tmp_path / "templates")
    assert not (folder / "model.safetensors").exists()
    found = Artifact.load(folder)
    assert found.kind == "template_library"
    assert found.weights == {}
    assert found.files == TEMPLATES.files
    # What an artifact does not list is not read.
    shutil.copy(ADAPTER.save(tmp_path / "adapter") / "model.safetensors", folder)
    assert Artifact.load(folder).weights == {}


def test_extra_files_are_bytes(tmp_path):
    for content in ("text", tmp_path):
        with pytest.raises(ArtifactError, match=r"extra file 'a' is .*, expected bytes"):
            replace(ADAPTER, files={"a": content})


def test_the_card_names_kind_base_and_files(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["base_model"] == "somebody/words-9b"
    assert "adapter" in yaml.safe_load(head)["tags"]
    assert "from crystal_gen import SymmetryAdapter" in body
    assert "adapter = SymmetryAdapter.from_pretrained(FOLDER)" in body
    assert f"| revision | {COMMIT} |" in body
    assert "- `tokenizer/merges.txt`" in body


def test_a_model_with_a_tokenizer(tmp_path):
    from crystal_toy.words import BASE as WORDS
    from crystal_toy.words import FILE, WordSum

    folder = WordSum(["one", "three"]).save_pretrained(tmp_path / "model")
    assert Artifact.load(folder).base == WORDS
    model = PretrainedModel.from_pretrained(folder, allow_package="crystal_toy")
    assert model.words == ["one", "three"]
    (folder / FILE).write_text('["one", "other"]')
    refused(folder, r"words\.json: its sha256")


def test_an_ensemble_copies_extra_files(tmp_path, folder):
    place = save_ensemble(tmp_path / "both", [folder, folder], {})
    assert Artifact.load(place / "member-2").files == FILES


@pytest.mark.parametrize("name", FILES)
def test_no_altered_extra_file_is_loaded(folder, name):
    draw, path = random.Random(0), folder / name
    whole = path.read_bytes()
    for _ in range(20):
        changed = bytearray(whole)
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        refused(folder, rf"{name}: its sha256 is not that of config\.json: it was changed or")
    path.write_bytes(whole)
    assert Artifact.load(folder).files == FILES


@pytest.mark.parametrize("name", ["model.safetensors", "metadata.json", *FILES])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    refused(folder, rf"{name}: missing; config\.json lists it; copy or download the artifact again")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("name", ["model.safetensors", *FILES])
def test_links_are_not_followed(folder, tmp_path, name):
    """Not even to the right content."""
    other = ADAPTER.save(tmp_path / "other")
    path = folder / name
    path.unlink()
    path.symlink_to(other / name)
    refused(folder, rf"{name}: a link, where a file was expected; put the file itself there")
    if path.parent != folder:
        shutil.rmtree(path.parent)
        path.parent.symlink_to(other / path.parent.name)
        refused(folder, rf"{name}: a link, where a file was expected")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_the_hubs_cache_consists_of_links(folder, tmp_path):
    home = tmp_path / "models--somebody--words"
    snapshot = home / "snapshots" / COMMIT
    snapshot.parent.mkdir(parents=True)
    shutil.copytree(folder, snapshot)
    (home / "blobs").mkdir()
    for number, path in enumerate(p for p in [*snapshot.rglob("*")] if p.is_file()):
        path.replace(home / "blobs" / str(number))
        path.symlink_to(home / "blobs" / str(number))
    assert Artifact.load(snapshot).files == FILES


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_the_whole_artifact_is_followed(folder, tmp_path):
    (tmp_path / "latest").symlink_to(folder)
    assert Artifact.load(tmp_path / "latest").files == FILES


def test_the_hub_is_asked_for_what_is_listed(folder, tmp_path, monkeypatch):
    import huggingface_hub

    (folder / "checkpoint.ckpt").write_text("large")

    def from_hub(name, allow_patterns):
        assert name == "somebody/adapter"
        for pattern in allow_patterns:
            for path in folder.glob(pattern):
                target = tmp_path / "cache" / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        return str(tmp_path / "cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", from_hub)
    monkeypatch.chdir(tmp_path)
    assert Artifact.load("somebody/adapter").files == FILES
    assert not (tmp_path / "cache" / "checkpoint.ckpt").exists()
    change(folder, files=listed(folder, **{"*": "0", "../adapter/checkpoint.ckpt": "0"}))
    refused("somebody/adapter", r"config\.json: '\*' is no name of a file beside it")
    assert not (tmp_path / "cache" / "checkpoint.ckpt").exists()


def test_a_file_is_no_artifact(folder):
    path = folder / "model.safetensors"
    with pytest.raises(ArtifactError, match=r"safetensors: a file, and an artifact is a folder"):
        find_artifact(path)


OUTSIDE = ["../x", "/etc/passwd", "a/../../x", "a//b", "a/", "", ".", "..", "a\\b", "C:x", ".x",
           "a/.b", "x.", "a b", "a*", "ä", "a\n", "x" * 201]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_outside_the_folder_are_refused(folder, name):
    with pytest.raises(ArtifactError, match="is no name of an extra file"):
        replace(ADAPTER, files={name: b""})
    change(folder, files=listed(folder, **{name: "0"}))
    refused(folder, "is no name of a file beside it")


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["config.json"], "'config.json'; that name is taken"),
        (["README.md"], "that name is taken"),
        (["Model.safetensors"], "that name is taken"),
        (["a", "A"], "'A'; that name is taken"),
        (["a/b", "a"], "'a' is a file and the folder of 'a/b'"),
        (["metadata.json/b"], "'metadata.json' is a file and the folder of"),
    ],
)
def test_names_that_are_taken_are_refused(names, match):
    with pytest.raises(ArtifactError, match=match):
        replace(ADAPTER, files=dict.fromkeys(names, b""))


def test_an_unknown_kind_is_one_line(folder):
    change(folder, kind="potential")
    refused(
        folder,
        r"adapter: an artifact of the kind 'potential'; this version knows model, adapter, "
        r"element_table, template_library; upgrade crystal-data$",
    )
    with pytest.raises(ArtifactError, match="no kind of artifact 'modle'; did you mean 'model'"):
        replace(ADAPTER, kind="modle")


def test_another_kind_than_asked_for_is_one_line(folder):
    refused(
        folder,
        r"adapter: an adapter \(crystal_gen\.SymmetryAdapter\), not a model; "
        r"crystal_gen\.SymmetryAdapter\.from_pretrained loads it$",
        kind="model",
    )


def test_a_newer_format_comes_before_an_unknown_kind(folder):
    change(folder, kind="potential", format_version=4)
    refused(folder, r"adapter: written in format 4, this version reads up to 3; upgrade crystal-g")


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": None},
        {"kind": ["model"]},
        {"class_name": None},
        {"base": 3},
        {"base": {}},
        {"base": None},
        {"base": {"id": "a/b", "revision": "main", "license": "MIT"}},
        {"files": {}},
        {"files": None},
    ],
    ids=str,
)
def test_a_wrong_value_is_one_line(folder, changes):
    change(folder, **changes)
    refused(folder, "adapter")


@pytest.mark.parametrize("value", [None, 3, "", ["0"]], ids=repr)
def test_an_extra_file_without_a_hash_is_refused(folder, value):
    change(folder, files=listed(folder, **{"tokenizer.json": value}))
    refused(folder, r"tokenizer\.json: its sha256")


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (("", COMMIT, "MIT"), "the id is ''"),
        (("a/b/c", COMMIT, "MIT"), "expected owner/name"),
        (("a/b", "main", "MIT"), "a/b: the revision is 'main', expected a commit"),
        (("a/b", None, "MIT"), "revision is None"),
        (("a/b", COMMIT, " "), "the license is ' '"),
    ],
)
def test_a_base_model_has_id_revision_and_license(values, match):
    with pytest.raises(ArtifactError, match=match):
        BaseModel(*values)


def test_an_adapter_names_its_base_model():
    with pytest.raises(ArtifactError, match="an adapter names its base model"):
        replace(ADAPTER, base=None)
