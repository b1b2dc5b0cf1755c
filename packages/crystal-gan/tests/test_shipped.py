"""The models that come with the package."""

import csv

import torch

from crystal_data import CrystalBatch
from crystal_data.io import to_cif
from crystal_data.testing import perovskite, rock_salt
from crystal_gan import RepairModel
from crystal_gan.__main__ import main
from crystal_gan.shipped import REPAIR, SHIPPED, predictors_of


def test_they_are_listed_and_small(capsys):
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    folders = SHIPPED.artifacts()
    assert {REPAIR, *SHIPPED.default} <= set(folders)
    assert all(name in printed for name in folders)
    files = [folder / "model.safetensors" for folder in folders.values()]
    assert sum(file.stat().st_size for file in files) < 5_000_000


def test_properties_have_a_judge():
    assert predictors_of("formation_energy_per_atom") == ["equiformer-formation-energy"]
    assert predictors_of("band_gap") == ["equiformer-band-gap"]


def test_a_training_starts_from_one_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = [
        "--data.source",
        "BuiltinSource",
        "--data.train_size",
        "24",
        "--data.batch_size",
        "8",
    ]
    options += ["--model.targets", "formation_energy_per_atom", "--init_from", REPAIR]
    assert main(["fit", "--config", "equiformer-mp20", "--trainer.max_epochs", "1", *options]) == 0
    assert f"--init_from {REPAIR}: loaded 69 of 73 tensors" in capsys.readouterr().out


def test_an_anion_is_a_plausible_element():
    """The five likeliest elements for the anion of a perovskite hold oxygen or a halide."""
    model = RepairModel.from_pretrained(SHIPPED.find(REPAIR)).eval()
    crystal = perovskite()
    hidden = torch.tensor(crystal.atomic_numbers == 8)
    batch = CrystalBatch.from_crystals([crystal]).with_edges(model.graph_spec).float32()
    batch.atomic_numbers = batch.atomic_numbers.masked_fill(hidden, 0)
    with torch.no_grad():
        likeliest = model(batch).logits[hidden].mean(0).topk(5).indices + 1
    assert {8, 9, 17} & set(likeliest.tolist())


def test_commands_need_no_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "salt.cif").write_text(to_cif(rock_salt()), encoding="utf-8")
    assert main(["repair", "salt.cif", "--hide", "Cl", "--out", "repaired"]) == 0
    lower = ["--lower", "formation_energy_per_atom", "--samples", "4"]
    assert main(["vary", "salt.cif", *lower, "--out", "varied"]) == 0
    with (tmp_path / "varied/summary.csv").open() as file:
        scores = [float(row["score"]) for row in csv.DictReader(file)]
    assert scores == sorted(scores, reverse=True)
    assert "4 samples of 1 structures: varied" in capsys.readouterr().out
