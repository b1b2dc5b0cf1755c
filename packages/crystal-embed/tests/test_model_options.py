"""Options of the models through the command itself: every form of an element table, typos."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from crystal_data.crystal import Crystal
from crystal_data.inference import Predictor
from crystal_data.io.cif import to_cif
from crystal_data.training.allowed_paths import AllowedPaths
from crystal_data.training.suggest import explain
from crystal_embed import CGCNN, load_table, save_table
from crystal_embed.__main__ import main

WIDTH = 6


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("mine")
    folder.mkdir()
    table = []
    for row in range(10):
        crystal = Crystal(
            (4 + 0.02 * row) * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [3 + row, 8], f"own-{row}"
        )
        (folder / f"own-{row}.cif").write_text(to_cif(crystal), encoding="utf-8")
        table.append(f"own-{row},{row / 10}\n")
    (folder / "id_prop.csv").write_text("".join(table), encoding="utf-8")
    universal = load_table(f"random:{WIDTH}")
    for name in ("table.csv", "table.json", "table.safetensors"):
        save_table(universal, name)
    save_table(universal, "symbols.json", "symbols")
    CGCNN(element_table=universal, width=WIDTH).save_pretrained("artifact")


def config(element_table=None):
    model = {"class_path": "crystal_embed.CGCNN", "init_args": {"width": 4, "num_convolutions": 1}}
    if element_table is not None:
        model["init_args"]["element_table"] = element_table
    source = {"class_path": "crystal_data.FolderSource", "init_args": {"path": "mine"}}
    content = {
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "default_root_dir": "run"},
        "model": {
            "class_path": "crystal_data.training.PropertyModule",
            "init_args": {"model": model, "targets": ["target"]},
        },
        "data": {
            "class_path": "crystal_data.CrystalDataModule",
            "init_args": {"source": source, "batch_size": 4},
        },
    }
    Path("own.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return ["--config", "own.yaml"]


@pytest.mark.parametrize(
    "element_table",
    ["table.csv", "table.json", "symbols.json", "table.safetensors", "artifact", "random:6"],
)
@pytest.mark.parametrize("place", ["config", "option"])
def test_fit(element_table, place, capsys):
    arguments = (
        config(element_table)
        if place == "config"
        else [*config(), "--model.model.element_table", element_table]
    )
    with pytest.raises(SystemExit) as exit_:
        main(["fit", *arguments, "--print_config"])
    assert exit_.value.code in (0, None)
    printed = yaml.safe_load(capsys.readouterr().out)
    chosen = printed["model"]["init_args"]["model"]["init_args"]["element_table"]
    assert chosen == element_table
    assert main(["fit", *arguments]) == 0
    embedding = Predictor.from_pretrained("run/artifact").model.atom_embedding
    expected = load_table(element_table)
    assert embedding.name == expected.name
    np.testing.assert_array_equal(embedding.vectors.detach().numpy(), expected.vectors)
    assert json.loads(Path("run/artifact/config.json").read_text())["class_name"] == "CGCNN"


@pytest.mark.parametrize("element_table", ["no.csv", "atom_int", "no/such/folder"])
def test_a_table_that_is_not_there_is_one_line(element_table, capsys):
    assert main(["fit", *config(element_table)]) != 0
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert element_table in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("key", "answer"),
    [("cutof", "GraphSpec has no 'cutof'; did you mean 'cutoff'?"), ("cutoff", None)],
)
def test_an_option_of_a_dataclass_that_the_config_leaves_out(key, answer):
    options = [f"--model.model.graph_spec.{key}", "x"]
    found = explain([*config(), *options], AllowedPaths())
    assert found == (answer and f"model.init_args.model.init_args.graph_spec.{key}: {answer}")


def test_a_function_of_a_class_is_known():
    content = {"model": {"class_path": "crystal_embed.CGCNN.published", "init_args": {"width": 3}}}
    Path("own.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    found = explain(["--config", "own.yaml"], AllowedPaths())
    assert "published has no 'width'" in found
