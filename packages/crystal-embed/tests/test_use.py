"""Trained models without a config: through the command, Python and the test of the trainer."""

import csv
import json
import sys
import xml.etree.ElementTree as ET
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load_file

import crystal_embed
from crystal_data import CrystalBatch
from crystal_data.artifacts import Artifact
from crystal_data.builtin import BuiltinSource
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.inference import Ensemble, calibrate_columns, conformal_scale, coverage_table
from crystal_data.io.cif import to_cif
from crystal_data.io.read import read_crystals
from crystal_data.testing import rock_salt
from crystal_data.training.command import main as trainer
from crystal_embed import CGCNN, load_table
from crystal_embed.__main__ import main
from crystal_embed.shipped import SHIPPED, shipped_tables

TARGET = "formation_energy_per_atom"
COLUMN = f"{TARGET} [eV/atom]"
CONFIG = {
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "devices": 1},
    "model": {
        "class_path": "crystal_data.training.PropertyModule",
        "init_args": {
            "targets": [TARGET],
            "model": {
                "class_path": "crystal_embed.CGCNN",
                "init_args": {"width": 8, "hidden_width": 8, "num_convolutions": 1},
            },
        },
    },
    "data": {
        "class_path": "crystal_data.CrystalDataModule",
        "init_args": {
            "source": {
                "class_path": "crystal_data.FolderSource",
                "init_args": {"path": "mine", "units": {TARGET: "eV/atom"}},
            },
            "batch_size": 16,
        },
    },
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of built-in crystals with labels, and a model trained on it and tested."""
    folder = tmp_path_factory.mktemp("use")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["crystal-embed"])
        (folder / "mine").mkdir()
        rows = [f"id,{TARGET}"]
        for record in islice(builtin_crystals(), 39):
            (folder / "mine" / f"{record.identifier}.cif").write_text(to_cif(record))
            rows.append(f"{record.identifier},{record.properties[TARGET]}")
        (folder / "mine" / "id_prop.csv").write_text("\n".join(rows) + "\n")
        (folder / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
        assert trainer(["fit", "--config", "tiny.yaml", "--trainer.default_root_dir", "run"]) == 0
        assert trainer(["test", "--config", "tiny.yaml", "--trainer.default_root_dir", "run"]) == 0
    return folder


def builtin_crystals():
    for record in BuiltinSource().records():
        yield record.structure.replace(
            identifier=record.identifier, properties=dict(record.properties)
        )


@pytest.fixture(autouse=True)
def workplace(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["crystal-embed"])


def rows_of(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_command_python_and_test_say_the_same(place, capsys):
    tested = {row["id"]: float(row[COLUMN]) for row in rows_of("run/predictions/test.csv")}
    assert main(["predict", "--model", "run", "--input", "mine", "--output", "out/all.csv"]) == 0
    assert "trained on mine, 31 crystals" in capsys.readouterr().err
    rows = rows_of("out/all.csv")
    assert list(rows[0]) == ["id", COLUMN, "note"]
    assert [row["id"] for row in rows] == [p.stem for p in sorted(place.glob("mine/*.cif"))]
    by_command = {row["id"]: float(row[COLUMN]) for row in rows}
    assert not Path("out/rejected.csv").exists()
    paths = [f"mine/{name}.cif" for name in tested]
    by_python = crystal_embed.load("run").predict(paths)[TARGET]
    assert len(tested) == 4
    np.testing.assert_allclose(by_python, list(tested.values()), atol=1e-6)
    # The command writes the digits that the error allows.
    metadata = json.loads(Path("run/artifact/metadata.json").read_text(encoding="utf-8"))
    error = metadata["metrics"]["val/mae"]
    rounded = [by_command[name] for name in tested]
    np.testing.assert_allclose(rounded, by_python, atol=0.05 * error)
    assert max(abs(rounded - by_python)) > 1e-6


def test_shipped_weights_say_the_same_everywhere(capsys):
    config = json.loads(json.dumps(CONFIG))
    config["model"]["init_args"]["model"]["init_args"] = {}
    Path("shipped.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    name = SHIPPED.default[0]
    source = str(SHIPPED.artifacts()[name])
    options = ["--init_from", source, "--trainer.default_root_dir", "shipped"]
    assert trainer(["test", "--config", "shipped.yaml", *options]) == 0
    tested = {row["id"]: float(row[COLUMN]) for row in rows_of("shipped/predictions/test.csv")}
    paths = [f"mine/{one}.cif" for one in tested]
    assert main(["predict", *paths, "--output", "shipped.csv"]) == 0
    rows = rows_of("shipped.csv")
    assert list(rows[0]) == ["id", COLUMN, "band_gap [eV]", "note"]
    by_python = crystal_embed.load(name).predict(paths)[TARGET]
    assert all(len(row[COLUMN].partition(".")[2]) == 3 for row in rows)  # the error is 0.0536
    np.testing.assert_allclose([float(row[COLUMN]) for row in rows], by_python, atol=5.01e-4)
    np.testing.assert_allclose(list(tested.values()), by_python, atol=1e-6)


def test_notes_and_rejections(tmp_path, capsys):
    einsteinium = rock_salt().replace(atomic_numbers=[99, 17])
    (tmp_path / "strange.cif").write_text(to_cif(einsteinium))
    stale = to_cif(rock_salt()).replace("'Na1 Cl1'", "'Na2 Cl1'")
    assert "'Na2 Cl1'" in stale
    (tmp_path / "zinc.cif").write_text(stale)
    (tmp_path / "broken.cif").write_text("data_x\n")
    (tmp_path / "notes.txt").write_text("thesis")
    output = tmp_path / "out" / "p.csv"
    assert main(["predict", str(tmp_path), "--output", str(output)]) == 0
    assert rows_of(output)[0]["note"] == "Es not in training"
    assert "the formula says Na2 Cl1" in rows_of(output)[1]["note"]
    assert [row["id"] for row in rows_of(output.parent / "rejected.csv")] == ["broken"]
    assert "1 left aside, no structures: " in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "broken.cif"), "--output", str(output)]) == 1
    assert "cannot be used" in capsys.readouterr().err


def test_without_output_the_table_is_printed(capsys):
    assert main(["predict", "mine/*F*.cif", "--model", "run"]) == 0
    assert COLUMN in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["predict", "mine", "--model", "cgcnn-bandgap"], 1, "did you mean 'cgcnn-band-gap'"),
        (["predict", "mine", "--model", "nowhere/at/all"], 1, "the names are cgcnn-band-gap"),
        (["predict", "nothing.cif"], 1, "there is no file nothing.cif"),
        (
            ["embed", "mine", "--model", "nope", "--what", "atoms", "--output", "a.csv"],
            1,
            "no model",
        ),
        (["ensemble", "run", "cgcnn-band-gap", "--output", "e"], 1, "predict the same"),
        (["ensemble", "run", "run", "--output", "mine"], 1, "a folder of its own"),
    ],
)
def test_errors_are_one_sentence(arguments, status, message, capsys):
    assert main(arguments) == status
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["x.cif", "--output", "x.txt"], ["x", "--devices", "0"]])
def test_wrong_use_of_predict(arguments):
    with pytest.raises(SystemExit, match="2"):
        main(["predict", *arguments])


def test_with_a_config_it_is_the_trainers():
    assert main(["predict", "--config", "tiny.yaml", "--trainer.default_root_dir", "run"]) == 0
    assert len(rows_of("run/predictions/predict.csv")) == 39


def test_frozen_parts_stay_as_the_artifact_has_them(capsys):
    options = ["--init_from", "run", "--trainer.default_root_dir", "tuned"]
    fit = ["fit", "--config", "tiny.yaml", *options]
    assert trainer([*fit, "--freeze", "[convolutions.*, input.*]"]) == 0
    before, after = (CGCNN.from_pretrained(run).state_dict() for run in ("run", "tuned"))
    changed = {
        name.partition(".")[0] for name in after if not torch.equal(after[name], before[name])
    }
    assert changed == {"hidden", "output"}
    assert trainer([*fit, "--overwrite", "true", "--freeze", "[convolution.*]"]) == 1
    assert "no parameter of CGCNN matches 'convolution.*'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def others(place):
    """Two further members: the trained one, its output layer changed."""
    folders = []
    targets = Artifact.load(place / "run").targets
    for seed in (1, 2):
        model = CGCNN.from_pretrained(place / "run")
        with torch.no_grad():
            noise = torch.randn(8, generator=torch.Generator().manual_seed(seed))
            model.output.weight += 0.3 * noise
        folders.append(str(model.save_pretrained(place / f"other-{seed}", targets=targets)))
    return folders


def test_ensemble_there_and_back(others, capsys):
    models = ["run", *others]
    assert main(["ensemble", *models, "--calibrate", "labels.csv", "--output", "trio"]) == 1
    assert "labels.csv" in capsys.readouterr().err
    with Path("labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "cif", TARGET])
        for row in rows_of("mine/id_prop.csv"):
            text = Path(f"mine/{row['id']}.cif").read_text(encoding="utf-8")
            writer.writerow([row["id"], text, row[TARGET]])
    assert main(["ensemble", *models, "--calibrate", "labels.csv", "--output", "trio"]) == 0
    assert "factor" in capsys.readouterr().out
    ET.parse("trio/calibration.svg")
    assert {row["target"] for row in rows_of("trio/calibration.csv")} == {TARGET}
    found = crystal_embed.load("trio")
    assert isinstance(found, Ensemble)
    columns = found.predict("mine/*F*.cif")
    assert main(["predict", "mine/*F*.cif", "--model", "trio", "--output", "trio.csv"]) == 0
    rows = rows_of("trio.csv")
    for name, values in columns.items():
        np.testing.assert_allclose(
            [float(row[f"{name} [eV/atom]"]) for row in rows], values, atol=0.005001
        )
    assert list(columns) == [TARGET, *(f"{TARGET}:{x}" for x in ("std", "low90", "high90"))]
    singles = [crystal_embed.load(model).predict("mine/*F*.cif")[TARGET] for model in models]
    np.testing.assert_allclose(columns[TARGET], np.mean(singles, axis=0), atol=1e-9)
    np.testing.assert_allclose(columns[f"{TARGET}:std"], np.std(singles, axis=0, ddof=1))
    content = json.loads(Path("trio/ensemble.json").read_text(encoding="utf-8"))
    content |= {"format_version": 1, "members": ["../run"]}
    Path("trio/ensemble.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match="members are folders beside it"):
        crystal_embed.load("trio")


def test_labels_that_calibrate_do_not_check():
    """A label of one half changes the factor, one of the other what is observed; none does both."""
    num_labels = 21
    rng = np.random.default_rng(0)
    std = rng.uniform(0.5, 1.5, num_labels + 2)
    columns = {"gap": np.zeros_like(std), "gap:std": std}
    labels = 0.01 * std * rng.standard_normal(len(std))
    labels[[4, 9]] = np.nan
    found = calibrate_columns(columns, {"gap": labels})
    roles = []
    for row in np.flatnonzero(np.isfinite(labels)):
        changed = labels.copy()
        changed[row] = 100.0
        other = calibrate_columns(columns, {"gap": changed})
        assert other.floor == found.floor
        pairs = zip(found.tables["gap"], other.tables["gap"], strict=True)
        checks = any(before.as_is != after.as_is for before, after in pairs)
        calibrates = other.scale != found.scale
        assert calibrates != checks, row
        roles.append(calibrates)
    assert sum(roles) == num_labels // 2
    assert roles != sorted(roles)  # drawn, not the first half or the last
    assert roles != sorted(roles, reverse=True)


def test_the_factor_gives_intervals_their_share():
    rng = np.random.default_rng(0)
    std = rng.uniform(0.1, 1.0, 4000)
    error = 3.0 * std * rng.standard_normal(4000)
    scale = conformal_scale(error[:2000], std[:2000])
    assert scale == pytest.approx(3.0, rel=0.05)
    for row in coverage_table(error[2000:], std[2000:], scale):
        assert row.calibrated == pytest.approx(row.expected, abs=0.03)
        assert row.as_is < row.expected
    with pytest.raises(ValueError, match="too few"):
        conformal_scale(error[:5], std[:5])
    with pytest.raises(ValueError, match="same predictions"):
        conformal_scale(error, np.zeros(4000))


def test_the_floor_keeps_intervals_narrow_where_few_members_agree_by_chance():
    rng = np.random.default_rng(0)
    members = rng.standard_normal((3, 8000))
    columns = {"gap": members.mean(axis=0), "gap:std": members.std(axis=0, ddof=1)}
    labels = {"gap": rng.standard_normal(8000)}
    found = calibrate_columns(columns, labels)
    assert found.floor["gap"] == pytest.approx(columns["gap:std"].mean(), rel=0.05)
    (row,) = (row for row in found.tables["gap"] if row.expected == 0.9)
    assert row.calibrated == pytest.approx(0.9, abs=0.02)
    error, std = columns["gap"] - labels["gap"], columns["gap:std"]
    (alone,) = (
        row
        for row in coverage_table(error[4000:], std[4000:], conformal_scale(error, std))
        if row.expected == 0.9
    )
    assert alone.calibrated == pytest.approx(0.9, abs=0.02)
    assert row.width < 0.75 * alone.width


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".safetensors"])
@pytest.mark.parametrize("what", ["atoms", "crystals"])
def test_vectors(what, suffix):
    output = f"vectors-{what}{suffix}"
    assert (
        main(["embed", "mine/*F*.cif", "--model", "run", "--what", what, "--output", output]) == 0
    )
    if suffix == ".csv":
        rows = rows_of(output)
        vectors = np.array([[float(row[str(i)]) for i in range(8)] for row in rows])
        assert list(rows[0])[:1] == ["id"]
    else:
        vectors = (np.load(output) if suffix == ".npz" else load_file(output))["vectors"]
    model = CGCNN.from_pretrained("run").eval()
    crystals = crystals_of("mine/*F*.cif")
    batch = CrystalBatch.from_crystals(crystals).with_edges(model.graph_spec).float32()
    with torch.no_grad():
        expected = model.encode_atoms(batch) if what == "atoms" else model.encode(batch)
        torch.testing.assert_close(model.output(model.encode(batch)), model(batch))
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)


def crystals_of(pattern):
    return read_crystals(pattern).crystals


def test_what_ships_is_listed_and_small(capsys):
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert set(SHIPPED.default) <= set(SHIPPED.artifacts())
    for name, folder in SHIPPED.artifacts().items():
        assert name in printed
        row = next(line for line in printed.splitlines() if line.startswith(name))
        assert "(MAE of 3559 crystals, MP-20 (a part), test split)" in row
        assert "## Training range" in (folder / "README.md").read_text(encoding="utf-8")
        assert (folder / "model.safetensors").stat().st_size < 1_500_000
    for name, path in shipped_tables().items():
        assert load_table(name).name == name
        assert path.stat().st_size <= 100_000
        assert name in printed
    with pytest.raises(ValueError, match="no table 'uae:nothing'"):
        load_table("uae:nothing")


def test_an_element_that_no_model_knows_stops_nothing_else(tmp_path, capsys):
    oganesson = rock_salt().replace(atomic_numbers=[118, 8])
    for name, crystal in (("a", rock_salt()), ("og", oganesson), ("z", rock_salt(19))):
        (tmp_path / f"{name}.cif").write_text(to_cif(crystal))
    output = tmp_path / "out" / "p.csv"
    assert main(["predict", str(tmp_path), "--output", str(output)]) == 0
    rows = rows_of(output)
    assert [row["id"] for row in rows] == ["a", "z"]
    alone = crystal_embed.load(SHIPPED.default[0]).predict([rock_salt(), rock_salt(19)])
    np.testing.assert_allclose([float(row[COLUMN]) for row in rows], alone[TARGET], atol=5.01e-4)
    (rejected,) = rows_of(output.parent / "rejected.csv")
    assert (rejected["id"], rejected["stage"]) == ("og", "predict")
    assert rejected["reason"] == "unsupported_element"
    assert rejected["detail"].startswith("the model does not know Og; predict this structure")
    assert "1 rejected: " in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "og.cif")]) == 1
    assert "none of the structures can be predicted" in capsys.readouterr().err


def test_python_names_the_structure_that_a_model_cannot_take():
    oganesson = rock_salt().replace(atomic_numbers=[118, 8], identifier="mine")
    with pytest.raises(InvalidCrystalError, match="mine: the model does not know Og") as caught:
        crystal_embed.load(SHIPPED.default[0]).predict([rock_salt(), oganesson])
    assert caught.value.reason == Reason.UNSUPPORTED_ELEMENT


def test_vectors_of_the_others(tmp_path):
    oganesson = rock_salt().replace(atomic_numbers=[118, 8])
    for name, crystal in (("a", rock_salt()), ("og", oganesson), ("z", rock_salt(19))):
        (tmp_path / f"{name}.cif").write_text(to_cif(crystal))
    for what, count in (("crystals", 2), ("atoms", 4)):
        output = tmp_path / "out" / f"{what}.csv"
        options = ["--model", SHIPPED.default[0], "--what", what, "--output", str(output)]
        assert main(["embed", str(tmp_path), *options]) == 0
        rows = rows_of(output)
        assert [row["id"] for row in rows] == sorted(["a", "z"] * (count // 2))
        if what == "atoms":
            assert [row["element"] for row in rows] == ["Na", "Cl", "K", "Cl"]
        assert [row["id"] for row in rows_of(output.parent / "rejected.csv")] == ["og"]


def test_the_trainers_predict_leaves_out_what_the_model_cannot_take(tmp_path):
    for name, crystal in (
        ("a", rock_salt()),
        ("og", rock_salt().replace(atomic_numbers=[118, 8])),
        ("z", rock_salt(19)),
    ):
        (tmp_path / f"{name}.cif").write_text(to_cif(crystal))
    options = ["--config", "tiny.yaml", "--trainer.default_root_dir", "run"]
    path = ["--data.source.init_args.path", str(tmp_path)]
    assert trainer(["predict", *options, *path]) == 0
    assert [row["id"] for row in rows_of("run/predictions/predict.csv")] == ["a", "z"]
    (rejected,) = rows_of("run/predictions/rejected.csv")
    assert (rejected["id"], rejected["reason"]) == ("og", "unsupported_element")
