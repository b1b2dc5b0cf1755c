"""Structural and composition validity against pymatgen and smact."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Structure
from smact.screening import ICSD24FilterConfig, smact_validity

from crystal_data.crystal import Crystal
from crystal_data.metrics import (
    ValidityRate,
    composition_validity,
    is_composition_valid,
    is_structure_valid,
    min_pair_distance,
    structure_validity,
)
from crystal_data.metrics.validity import MAX_COMBINATIONS

TABLES = ("smact14", "icsd24", "icsd24_medium")


def random_crystal(seed, num_atoms):
    rng = np.random.default_rng(seed)
    while True:
        lattice = rng.normal(size=(3, 3)) * rng.uniform(1, 6, (3, 1))
        if abs(np.linalg.det(lattice)) > 0.1:
            break
    frac_coords = rng.uniform(-2, 3, (num_atoms, 3))
    return Crystal(lattice, frac_coords, rng.integers(1, 90, num_atoms))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12))
def test_distances_are_those_of_pymatgen(seed, num_atoms):
    crystal = random_crystal(seed, num_atoms)
    structure = Structure(crystal.lattice, crystal.species, crystal.frac_coords)
    expected = structure.distance_matrix + np.diag(np.full(num_atoms, np.inf))
    assert np.isclose(min_pair_distance(crystal), expected.min())


def test_very_skewed_cells():
    # Along each of many cells of the same lattice the distance stays the same.
    rng = np.random.default_rng(0)
    frac_coords = rng.uniform(size=(5, 3))
    crystal = Crystal(np.diag([3.0, 4.0, 5.0]), frac_coords, np.full(5, 14))
    expected = min_pair_distance(crystal)
    for _ in range(20):
        u = np.eye(3)
        for _ in range(6):
            i, j = rng.permutation(3)[:2]
            u[i] += rng.integers(-3, 4) * u[j]
        other = crystal.replace(
            lattice=u @ crystal.lattice, frac_coords=frac_coords @ np.linalg.inv(u)
        )
        assert np.isclose(min_pair_distance(other), expected)


def test_large_cells_are_cut_into_blocks():
    rng = np.random.default_rng(1)
    crystal = Crystal(np.eye(3) * 30, rng.uniform(size=(400, 3)), np.full(400, 14))
    delta = crystal.frac_coords[:, None] - crystal.frac_coords[None]
    delta -= np.rint(delta)
    distances = np.linalg.norm(delta * 30, axis=-1) + np.diag(np.full(400, np.inf))
    assert np.isclose(min_pair_distance(crystal), distances.min())


def test_structure_rules():
    def pair(distance, length=5.0):
        coords = np.array([[0, 0, 0], [distance / length, 0, 0]])
        return Crystal(np.eye(3) * length, coords, np.array([1, 1]))

    assert is_structure_valid(pair(0.51))
    assert not is_structure_valid(pair(0.49))
    assert not is_structure_valid(pair(4.51))  # through the boundary
    alone = Crystal(np.eye(3) * 3, np.zeros((1, 3)), np.array([1]))
    assert min_pair_distance(alone) == np.inf
    assert is_structure_valid(alone)
    flat = Crystal(np.diag([5.0, 5.0, 0.003]), np.zeros((1, 3)), np.array([1]))
    assert not is_structure_valid(flat)


@pytest.mark.parametrize("table", ["smact14", "icsd24"])
def test_compositions_are_judged_as_smact_does(table):
    for formula in random_formulas():
        composition = {k: int(n) for k, n in Composition(formula).as_dict().items()}
        expected = smact_validity(formula, oxidation_states_set=table)
        assert is_composition_valid(composition, table) == expected, formula


def test_medium_filter_is_judged_as_smact_does():
    config = ICSD24FilterConfig(consensus=3, include_zero=False, commonality="medium")
    for formula in random_formulas():
        composition = {k: int(n) for k, n in Composition(formula).as_dict().items()}
        expected = smact_validity(formula, icsd_filter=config)
        assert is_composition_valid(composition, "icsd24_medium") == expected, formula


def random_formulas():
    rng = np.random.default_rng(0)
    elements = "H Li Be B C N O F Na Al Si P S Cl K Ti Mn Fe Cu Zn Ga As Br Sr Xe Cs La Pb".split()
    for _ in range(300):
        chosen = rng.choice(elements, size=rng.integers(1, 5), replace=False)
        yield "".join(f"{symbol}{rng.integers(1, 5)}" for symbol in chosen)


@pytest.mark.parametrize("table", TABLES)
def test_known_compositions(table):
    assert is_composition_valid({"Na": 4, "Cl": 4}, table)
    assert is_composition_valid({"Fe": 2, "O": 3}, table)
    assert not is_composition_valid({"Na": 1, "Cl": 2}, table)
    assert is_composition_valid({"Si": 8}, table)
    assert is_composition_valid({"Fe": 3, "Al": 1, "Au": 7}, table)


@pytest.mark.parametrize("table", TABLES)
def test_elements_without_data_are_not_valid_and_do_not_crash(table):
    assert not is_composition_valid({"He": 1, "O": 1}, table)
    assert not is_composition_valid({"Ar": 2, "Na": 1}, table)
    assert is_composition_valid({"Ne": 4}, table)  # a single element
    assert not is_composition_valid({"Og": 1, "F": 2}, table)


def test_counts_are_reduced_first():
    assert is_composition_valid({"Li": 1000, "O": 500}, "smact14")


def test_too_many_combinations_are_not_valid():
    import smact

    many = "O Mn N C S Cl Re Ru Os V Cr Mo W Ir P Se Te I".split()
    sizes = [len(smact.Element(symbol).oxidation_states_smact14) for symbol in many]
    assert np.prod(np.array(sizes, dtype=float)) > MAX_COMBINATIONS
    assert not is_composition_valid(dict.fromkeys(many, 1), "smact14")


def test_the_table_must_be_named():
    with pytest.raises(ValueError, match="'pauling' are unknown; choose one of smact14"):
        is_composition_valid({"Na": 1, "Cl": 1}, "pauling")
    with pytest.raises(TypeError):
        is_composition_valid({"Na": 1, "Cl": 1})
    with pytest.raises(ValueError, match="no elements"):
        is_composition_valid({}, "smact14")


def test_evaluations_count_what_could_not_be_built():
    coords = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    good = Crystal(np.eye(3) * 4, coords, np.array([11, 17]), "good")
    close = good.replace(frac_coords=coords * 0.1, identifier="close")
    bad = good.replace(atomic_numbers=np.array([11, 2]), identifier="helium")
    crystals = [good, close, bad, None]
    structure = structure_validity(crystals)
    assert structure.value("struct_valid") == 0.5
    assert structure.per_structure == {
        "id": ["good", "close", "helium", ""],
        "struct_valid": [True, False, True, False],
    }
    composition = composition_validity(crystals, "smact14")
    assert composition.value("comp_valid/smact14") == 0.5
    (result,) = composition.results
    assert result.num_samples == 4
    assert result.versions["smact"]
    assert result.parameters["oxidation_states"] == "smact14"
    assert len(result.data_hash) == 64

    rate = ValidityRate("smact14")
    rate.update(crystals[:2])
    rate.update(crystals[2:])
    assert rate.compute().item() == 0.25
    # What two ranks would hold adds up to the same.
    assert int(rate.num_valid) == 1
    assert int(rate.num_crystals) == 4


@pytest.mark.data
@pytest.mark.skipif("CRYSTAL_DATA_HOME" not in os.environ, reason="needs the public data sets")
@pytest.mark.parametrize(
    ("table", "share"), [("smact14", 0.986), ("icsd24", 0.983), ("icsd24_medium", 0.362)]
)
def test_perov_5(table, share):
    import pandas as pd

    formulas = pd.read_csv(f"{os.environ['CRYSTAL_DATA_HOME']}/perov_5/test.csv.gz").formula
    valid = [
        is_composition_valid({k: int(n) for k, n in Composition(f).as_dict().items()}, table)
        for f in formulas
    ]
    assert len(valid) == 3785
    assert abs(np.mean(valid) - share) < 0.001
