"""Overlaps through periodic images, against a sum over many cells."""

import re
from itertools import product

import numpy as np
import pytest

from crystal_data.crystal import Crystal, lattice_from_parameters
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io import distances
from crystal_data.io.distances import (
    check_distances,
    close_pair,
    nearest_distances,
)
from crystal_data.io.poscar import parse_poscar
from crystal_data.io.pymatgen import from_pymatgen_dict, to_pymatgen_dict

UNIMODULAR = np.array([[1, 0, 0], [3, 1, 0], [-2, 4, 1]])


def shortest_distance(lattice, frac_coords, reach=7):
    delta = frac_coords[:, None] - frac_coords
    shortest = np.inf
    for shift in product(range(-reach, reach + 1), repeat=3):
        lengths = np.linalg.norm((delta + shift) @ lattice, axis=-1)
        if not any(shift):
            np.fill_diagonal(lengths, np.inf)
        shortest = min(shortest, lengths.min())
    return shortest


def random_cell(rng, smallest=0.6):
    while True:
        try:
            return lattice_from_parameters(rng.uniform(smallest, 5, 3), rng.uniform(40, 140, 3))
        except ValueError:
            continue


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("limit", [0, 200])
def test_close_pair_is_exact(seed, limit, monkeypatch):
    monkeypatch.setattr(distances, "_DENSE_ATOMS", limit)  # 0 sends everything to the tree
    rng = np.random.default_rng(seed)
    lattice, coords = random_cell(rng), rng.uniform(-1, 2, (rng.integers(1, 7), 3))
    expected = shortest_distance(lattice, coords)
    found = close_pair(lattice, coords, expected * 1.0001)
    assert found is not None
    first, second, distance = found
    assert distance == pytest.approx(expected, rel=1e-6)
    assert first <= second
    assert close_pair(lattice, coords, expected * 0.9999) is None
    sheared = close_pair(UNIMODULAR @ lattice, coords @ np.linalg.inv(UNIMODULAR), expected * 1.001)
    assert sheared is not None
    assert sheared[2] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_nearest_distances_are_exact_in_skewed_cells(seed):
    rng = np.random.default_rng(seed)
    lattice, first, second = random_cell(rng, 2.0), rng.random((2, 3)), rng.random((3, 3))
    shifts = np.array(list(product(range(-6, 7), repeat=3)))
    vectors = (first[:, None, None] - second[:, None] + shifts) @ lattice
    expected = np.linalg.norm(vectors, axis=-1).min(axis=-1)
    back = np.linalg.inv(UNIMODULAR)
    found = nearest_distances(UNIMODULAR @ lattice, first @ back + 3, second @ back)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_many_atoms_go_to_the_tree():
    grid = np.array(list(product(np.arange(7) / 7, repeat=3)))
    lattice = np.diag([14.0, 14.0, 14.0])
    assert close_pair(lattice, grid, 1.99) is None
    moved = grid.copy()
    moved[342] = moved[0] + [0.01, 0, -1]
    assert close_pair(lattice, moved, 1.99) == (0, 342, pytest.approx(0.14))
    same = grid.copy()
    same[5] = same[9]
    assert close_pair(lattice, same, 0.5) == (5, 9, 0.0)


def test_messages():
    cell = np.diag([5.0, 5.0, 5.0])
    crystal = Crystal(cell, [[0, 0, 0], [0.99, 0, 0]], [11, 17], "salt")
    with pytest.raises(
        InvalidCrystalError, match=r"salt: atom 1 \(Na\) and atom 2 \(Cl\) are 0\.050"
    ):
        check_distances(crystal)
    check_distances(crystal, 0.04)
    check_distances(crystal, 0.0)
    lonely = Crystal(np.diag([0.3, 5.0, 5.0]), [[0, 0, 0]], [11])
    with pytest.raises(InvalidCrystalError, match="its own periodic image") as caught:
        check_distances(lonely)
    assert caught.value.reason == Reason.OVERLAPPING_ATOMS


POSCAR = """a remark
1.0
5 0 0
0 5 0
0 0 5
Na Cl
1 2
Selective dynamics
Direct
0 0 0 T T T
0.5 0.5 0.5 T T T
0.51 0.5 0.5 T T T
"""


@pytest.mark.parametrize(
    ("read", "who"),
    [
        (lambda: parse_poscar(POSCAR), "Cl in line 11 and Cl in line 12 are 0.050"),
        (
            lambda: parse_poscar(POSCAR.replace("Selective dynamics\n", "")),
            "Cl in line 10 and Cl in line 11 are 0.050",
        ),
        (
            lambda: parse_poscar(POSCAR.replace("0.51 0.5 0.5", "-0.98 1 0")),
            "Na in line 10 and Cl in line 12 are 0.100",
        ),
        (lambda: from_pymatgen_dict(sites("Na1", "Cl1", "")), "site 2 (Cl1) and site 3 (O) are"),
        (lambda: check_distances(overlapping()), "atom 2 (Cl) and atom 3 (O) are 0.050"),
        (
            lambda: check_distances(overlapping(), names=["Na1", "Cl1 in row 2", "O7 in row 3"]),
            "Cl1 in row 2 and O7 in row 3 are 0.050",
        ),
        (
            lambda: check_distances(overlapping().replace(lattice=np.diag([0.4, 5, 5]))),
            "atom 1 (Na) and its own periodic image are 0.400",
        ),
    ],
)
def test_messages_name_the_atoms_of_the_file(read, who):
    with pytest.raises(InvalidCrystalError, match=re.escape(who)):
        read()


def overlapping():
    return Crystal(5 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5], [0.51, 0.5, 0.5]], [11, 17, 8])


def sites(*labels):
    values = to_pymatgen_dict(overlapping())
    for site, label in zip(values["sites"], labels, strict=True):
        site["label"] = label
    return values
