"""Repairs and variants: what stays, what changes, what is written."""

import csv
import re

import numpy as np
import pytest
import torch

from crystal_data import ATOMIC_NUMBERS
from crystal_data.artifacts import TargetScale
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.generation import GenerationRequest, RequestError, Task, generate_all
from crystal_data.inference import Predictor
from crystal_data.io import read_crystals, to_cif
from crystal_data.testing import perovskite, random_crystals, rock_salt
from crystal_gan import Equiformer, EquiformerSizes, RepairModel
from crystal_gan.__main__ import main
from crystal_gan.generator import Change, Ranking, RepairGenerator

SIZES = EquiformerSizes(
    num_layers=1,
    num_channels=8,
    hidden_channels=8,
    feedforward_channels=8,
    num_heads=2,
    value_channels=4,
    edge_width=8,
    cutoff=4.0,
)
ENERGY = "formation_energy_per_atom"
VARY = Change(hide_random=True, noise=0.1, allow_same=False)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return RepairModel(SIZES).eval()


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    torch.manual_seed(1)
    scales = {ENERGY: TargetScale(0.0, 1.0, Field(ENERGY, "eV/atom"))}
    folder = tmp_path_factory.mktemp("judge") / "artifact"
    return Equiformer(sizes=SIZES).save_pretrained(folder, targets=scales)


def request(crystal, num_samples=4, seed=0):
    return GenerationRequest(
        id=crystal.identifier, start=crystal, num_samples=num_samples, seed=seed
    )


def tasks(crystals, num_samples=4):
    return [Task(request(c, num_samples), s) for c in crystals for s in range(num_samples)]


def test_a_model_that_repairs_cells_moves_them_too():
    torch.manual_seed(0)
    model = RepairModel(SIZES, repairs_cell=True).eval()
    starts = random_crystals(3, seed=0)
    for move in (True, False):
        made = RepairGenerator(model, Change(move=move)).generate(tasks(starts, 1))
        for start, sample in zip(starts, made, strict=True):
            strain = np.linalg.solve(start.lattice, sample.crystal.lattice) - np.eye(3)
            assert np.allclose(strain, strain.T, atol=1e-5)  # strained, not turned
            assert (abs(strain).max() > 1e-4) == move


def test_without_hidden_elements_only_positions_change(model):
    crystals = random_crystals(3, seed=1)
    made = RepairGenerator(model).generate(tasks(crystals, 1))
    for sample, crystal in zip(made, crystals, strict=True):
        assert np.array_equal(sample.crystal.atomic_numbers, crystal.atomic_numbers)
        assert np.array_equal(sample.crystal.lattice, crystal.lattice)
        assert sample.crystal.properties["exchanged"] == ""
        assert sample.score == 0.0
    kept = RepairGenerator(model, Change(move=False)).generate(tasks(crystals, 1))
    for sample, crystal in zip(kept, crystals, strict=True):
        np.testing.assert_allclose(sample.crystal.frac_coords, crystal.frac_coords, atol=1e-6)
        assert sample.crystal.properties["distance_from_start"] < 1e-5


def test_atoms_of_a_hidden_element_stay_together(model):
    made = RepairGenerator(model, Change(hide=("O",))).generate(tasks([perovskite()], 6))
    for sample in made:
        numbers = sample.crystal.atomic_numbers
        assert numbers[:2].tolist() == [56, 22]
        assert len(set(numbers[2:].tolist())) == 1
        assert sample.score < 0
    assert len({sample.crystal.formula for sample in made}) > 1


def test_variants_always_exchange_an_element(model):
    for sample in RepairGenerator(model, VARY).generate(tasks([rock_salt()], 12)):
        assert sample.crystal.properties["exchanged"].count(">") == 1
        assert sample.crystal.properties["distance_from_start"] > 0.0


def test_a_sample_depends_on_its_task_alone(model):
    generator, wanted = RepairGenerator(model, VARY), tasks(random_crystals(3, seed=1))
    together = generator.generate(wanted)
    for task, sample in zip(wanted, together, strict=True):
        (alone,) = generator.generate([task])
        assert np.array_equal(alone.crystal.atomic_numbers, sample.crystal.atomic_numbers)
        np.testing.assert_allclose(alone.crystal.frac_coords, sample.crystal.frac_coords, atol=1e-5)


def test_variants_are_ranked_by_the_judge(model, judge, tmp_path):
    predictor = Predictor.from_pretrained(judge)
    for raised in (True, False):
        generator = RepairGenerator(model, VARY, Ranking(predictor, ENERGY, raised))
        folder = tmp_path / str(raised)
        generate_all(generator, [request(rock_salt(), 8)], folder)
        with (folder / "summary.csv").open() as file:
            rows = list(csv.DictReader(file))
        names = [f"{row['request']}_{row['sample']}" for row in rows]
        made = read_crystals(folder / "structures.extxyz").crystals
        assert [crystal.identifier for crystal in made] == names
        values = predictor.predict(made)[ENERGY].tolist()
        assert values == sorted(values, reverse=raised)
        assert values[0] != values[-1]
        scores = [float(row["score"]) for row in rows]
        np.testing.assert_allclose(scores, [v if raised else -v for v in values], atol=1e-4)


def test_elements_that_the_judge_does_not_know_are_left_out(model, judge):
    class Narrow(Predictor):
        supported_elements = frozenset({11, 17, 35})

    narrow = Narrow.from_pretrained(judge)
    generator = RepairGenerator(model, Change(hide=("Cl",)), Ranking(narrow, ENERGY))
    for sample in generator.generate(tasks([rock_salt()], 8)):
        assert set(sample.crystal.atomic_numbers.tolist()) <= {11, 17, 35}


def test_atoms_too_close_are_flagged(model):
    crystal = rock_salt().replace(frac_coords=np.array([[0.0, 0, 0], [0.03, 0.03, 0.03]]))
    (sample,) = RepairGenerator(model, Change(move=False)).generate(tasks([crystal], 1))
    assert sample.flags == ("atoms_too_close",)


def test_mistakes_are_named(model, judge):
    with pytest.raises(RequestError, match="no structure to start from"):
        RepairGenerator(model).generate([Task(GenerationRequest(formula="NaCl"), 0)])
    with pytest.raises(InvalidArgumentError, match="Xy is no element"):
        Change(hide=("Xy",))
    with pytest.raises(InvalidArgumentError, match="predicts no band_gap; it predicts form"):
        Ranking(Predictor.from_pretrained(judge), "band_gap")


def test_commands_write_structures(model, judge, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = str(model.save_pretrained(tmp_path / "model"))
    (tmp_path / "salt.cif").write_text(to_cif(rock_salt()), encoding="utf-8")
    common = ["salt.cif", "--model", folder, "--samples", "3"]
    assert main(["repair", *common, "--hide", "Cl", "--out", "repaired"]) == 0
    shown = capsys.readouterr().out
    assert "3 samples of 1 structures: repaired" in shown
    assert re.search(r"^salt: .*, score -?\d+\.\d{3}$", shown, re.MULTILINE)
    assert len(list((tmp_path / "repaired/cif").iterdir())) == 3
    ranked = ["--lower", ENERGY, "--judge", str(judge), "--mask-species", "Na"]
    assert main(["vary", *common, *ranked, "--out", "varied"]) == 0
    assert "Na>" in capsys.readouterr().out
    with (tmp_path / "varied/summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    exchanged = [row["source"].partition(",")[0].removeprefix("Na>") for row in rows]
    assert all(symbol in ATOMIC_NUMBERS for symbol in exchanged)
    # Once more, with nothing left to do.
    assert main(["vary", *common, *ranked, "--out", "varied"]) == 0
    assert main(["vary", *common, "--raise", "bulk_modulus", "--out", "other"]) == 1
    assert "no model of this package predicts bulk_modulus" in capsys.readouterr().err
