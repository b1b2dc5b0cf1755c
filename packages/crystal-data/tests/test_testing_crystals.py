"""Builders keep their promises, moves keep the crystal: pymatgen is the judge."""

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from crystal_data.testing import (
    MOVES,
    double_cell,
    elongated,
    face_centred,
    isolated_atom,
    perovskite,
    random_crystals,
    rock_salt,
)
from crystal_data.testing.builders import random_crystal

CRYSTALS = [*random_crystals(6, seed=0, max_atoms=6), rock_salt(), perovskite(), face_centred()]


def structure_of(crystal):
    return Structure(crystal.lattice, crystal.species, crystal.frac_coords)


def distances(crystal, repeats=1):
    centre, neighbor, _, length = structure_of(crystal).get_neighbor_list(6.0)
    numbers = crystal.atomic_numbers
    rows = zip(numbers[centre], numbers[neighbor], length.round(6), strict=True)
    return np.array(sorted([*rows] * repeats), dtype=np.float64)


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
def test_moves_keep_the_crystal(move):
    rng = np.random.default_rng(0)
    for crystal in CRYSTALS:
        moved = move(crystal, rng)
        repeats = 2 if move is double_cell else 1
        assert moved.num_atoms == repeats * crystal.num_atoms
        assert moved.volume == pytest.approx(repeats * crystal.volume)
        np.testing.assert_allclose(distances(moved), distances(crystal, repeats), atol=2e-6)
        matcher = StructureMatcher(primitive_cell=True, scale=False)
        assert matcher.fit(structure_of(crystal), structure_of(moved))


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
def test_moves_change_the_description(move):
    rng = np.random.default_rng(1)
    for crystal in CRYSTALS:
        if move.__name__ == "permute_atoms" and crystal.num_atoms == 1:
            continue
        moved = move(crystal, rng)
        same = moved.frac_coords.shape == crystal.frac_coords.shape and (
            np.allclose(moved.frac_coords, crystal.frac_coords)
            and np.allclose(moved.lattice, crystal.lattice)
        )
        assert not same


def test_random_crystals_keep_their_distance_and_repeat():
    crystals = random_crystals(30, seed=4, max_atoms=20)
    assert {crystal.num_atoms for crystal in crystals} == set(range(1, 21))
    for crystal, again in zip(crystals, random_crystals(30, seed=4, max_atoms=20), strict=True):
        length = structure_of(crystal).get_neighbor_list(4.0)[3]
        assert length.min(initial=9.0) >= 1.5 - 1e-9
        np.testing.assert_array_equal(crystal.frac_coords, again.frac_coords)


def test_a_cell_too_small_for_its_atoms_grows():
    crystal = random_crystal(
        np.random.default_rng(0), 6, min_distance=2.5, volume_per_atom=2.0, elements=[6]
    )
    assert set(crystal.species) == {"C"}
    assert structure_of(crystal).get_neighbor_list(4.0)[3].min() >= 2.5 - 1e-9


# spglib announces another way to report its errors.
@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_prototypes():
    assert rock_salt().formula == "NaCl"
    assert perovskite().formula == "BaTiO3"
    assert elongated().lengths.max() > 10 * elongated().lengths.min()
    assert len(structure_of(isolated_atom()).get_neighbor_list(20.0)[3]) == 0
    for crystal, number in ((rock_salt(), 225), (perovskite(), 221), (face_centred(), 225)):
        assert structure_of(crystal).get_space_group_info()[1] == number
