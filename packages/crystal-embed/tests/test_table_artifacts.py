"""Element tables as artifacts, and what becomes of them where a model is expected."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from crystal_data.artifacts import Artifact, ArtifactError
from crystal_data.cli.models import run_models
from crystal_data.inference import ShippedModels
from crystal_data.io.cif import to_cif
from crystal_data.testing import rock_salt
from crystal_embed import CGCNN, ElementTable, load_table
from crystal_embed.__main__ import main
from crystal_embed.shipped import SHIPPED, shipped_tables

TABLE = ElementTable(
    "small",
    np.array([1, 8, 26]),
    np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32),
    {"from": "test", "random_elements": ["Fe"]},
    np.arange(20.0, dtype=np.float32).reshape(4, 5),
)


@pytest.fixture
def folder(tmp_path):
    return TABLE.save_pretrained(tmp_path / "table", metadata={"versions": {"torch": "2"}})


@pytest.mark.parametrize("table", [TABLE, replace(TABLE, coordinates=None)], ids=["all", "plain"])
def test_there_and_back(tmp_path, table):
    folder = table.save_pretrained(tmp_path / "table")
    for found in (ElementTable.from_pretrained(folder), load_table(folder)):
        assert (found.name, found.metadata) == ("small", table.metadata)
        np.testing.assert_array_equal(found.atomic_numbers, table.atomic_numbers)
        np.testing.assert_array_equal(found.vectors, table.vectors)
        assert found.vectors.dtype == np.float32
        if table.coordinates is None:
            assert found.coordinates is None
        else:
            np.testing.assert_array_equal(found.coordinates, table.coordinates)


def test_a_model_takes_it(folder):
    vectors = []
    for table in (TABLE, str(folder)):
        torch.manual_seed(0)
        vectors.append(CGCNN(element_table=table, width=4).element_table().vectors)
    np.testing.assert_array_equal(*vectors)


def test_the_card_says_how_to_load_it(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "from crystal_embed import ElementTable" in card
    assert "table = ElementTable.from_pretrained(FOLDER)" in card
    assert "- element-table" in card


def test_a_damaged_table_is_one_line(folder):
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"safetensors: its sha256 is not that of config"):
        load_table(folder)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"arguments": {}}, "KeyError: 'name'"),
        ({"arguments": {"name": "x", "metadata": 3}}, "'int' object"),
        ({"arguments": {"name": "x", "metadata": {"random_elements": [1]}}}, "a list of symbols"),
        ({"arguments": {"name": "x", "metadata": {"random_elements": 1}}}, "not iterable"),
        ({"weights": {"vectors": torch.ones(1, 2)}}, "KeyError: 'atomic_numbers'"),
        ({"weights": {"vectors": torch.ones(1, 2), "atomic_numbers": torch.ones(1)}}, "is float32"),
        (
            {"weights": {"vectors": torch.ones(1, 2), "atomic_numbers": torch.tensor([119])}},
            "outside 1 to 118",
        ),
    ],
    ids=str,
)
def test_a_table_that_means_nothing_is_one_line(folder, tmp_path, changes, match):
    wrong = replace(Artifact.load(folder), **changes).save(tmp_path / "wrong")
    with pytest.raises(ArtifactError, match=f"wrong: no element table: .*{match}") as caught:
        load_table(wrong)
    assert "\n" not in str(caught.value)


def test_a_model_is_no_table_artifact(tmp_path):
    CGCNN(width=4).save_pretrained(tmp_path / "model")
    match = r"model: a model \(crystal_embed\.CGCNN\), not an element table; crystal_embed\.CGCNN"
    with pytest.raises(ArtifactError, match=match):
        ElementTable.from_pretrained(tmp_path / "model")


@pytest.fixture
def cif(tmp_path):
    path = tmp_path / "a.cif"
    path.write_text(to_cif(rock_salt()))
    return str(path)


def test_a_table_given_as_a_model_is_one_line(folder, cif, tmp_path, capsys):
    is_table = (
        f"error: {folder}: an element table (crystal_embed.ElementTable), not a model; "
        "crystal_embed.ElementTable.from_pretrained loads it"
    )
    by_name = "error: 'uae:band-gap' is an element table, not a model; the models are cgcnn-band-"
    file = str(shipped_tables()["uae:band-gap"])
    for model, expected in (
        (str(folder), is_table),
        ("uae:band-gap", by_name),
        (file, f"error: {file}: a file, and an artifact is a folder"),
    ):
        for arguments in (
            ["predict", cif, "--model", model],
            [
                "embed",
                cif,
                "--model",
                model,
                "--what",
                "atoms",
                "--output",
                str(tmp_path / "a.csv"),
            ],
            ["ensemble", model, model, "--output", str(tmp_path / "both")],
        ):
            assert main(arguments) == 1
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith(expected)


def test_what_predicts_nothing_is_listed_as_such(tmp_path, capsys):
    TABLE.save_pretrained(tmp_path / "my-table")
    CGCNN(width=4).save_pretrained(tmp_path / "my-encoder")
    assert run_models(ShippedModels("crystal-embed", tmp_path), []) == 0
    printed = capsys.readouterr().out.splitlines()[1:]
    assert printed[0].split("  ")[:2] == ["my-encoder", "nothing: model (CGCNN)"]
    assert printed[1].split("  ")[:3] == ["my-table", "", "nothing: element table (ElementTable)"]


def test_other_kinds_are_not_fine_tuned(folder):
    """``--init_from`` takes weights of models alone."""
    from crystal_data.training import PropertyModule

    module = PropertyModule(CGCNN(width=4), ["energy"])
    with pytest.raises(ArtifactError, match=r"an element table \(.*\), not a model"):
        module.load_pretrained(folder, strict=False)


def test_a_package_that_is_not_installed_names_the_command(tmp_path, cif, capsys):
    folder = shutil.copytree(SHIPPED.artifacts()["cgcnn-band-gap"], tmp_path / "model")
    artifact = replace(Artifact.load(folder), package="crystal_absent", class_name="Absent")
    artifact.save(folder)
    assert json.loads((folder / "config.json").read_text())["format_version"] == 3
    arguments = ["predict", cif, "--model", str(folder), "--allow-package", "crystal_absent"]
    assert main(arguments) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: {folder}: the artifact belongs to crystal-absent, which is not installed; "
        "pip install crystal-absent"
    ]
