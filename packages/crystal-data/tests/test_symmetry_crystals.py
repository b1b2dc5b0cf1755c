"""Symmetry search, other cells and SymmetricCrystal on random crystals of every system."""

import os
import pickle

import numpy as np
import pytest
import spglib
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_data.crystal import Crystal, lattice_from_parameters
from crystal_data.metrics import match, min_pair_distance
from crystal_data.symmetry import (
    SymmetricCrystal,
    SymmetryError,
    conventional_cell,
    find_symmetry,
    niggli_cell,
    primitive_cell,
    symmetrized_lattice,
    wyckoff_positions,
)

# Two groups of each system, with centred lattices and both rhombohedral and primitive ones.
GROUPS = (1, 2, 5, 14, 43, 62, 88, 139, 148, 166, 182, 194, 216, 227)


def random_symmetric(number, rng, num_orbits=3):
    angles = (90, 90, 120) if 143 <= number <= 194 else rng.uniform(80, 100, 3)
    lengths = rng.uniform(6, 9, 3)
    if number >= 75:
        lengths[1] = lengths[0]
    if number >= 195:
        lengths[2] = lengths[0]
    lattice = symmetrized_lattice(number, lattice_from_parameters(lengths, angles))
    positions = wyckoff_positions(number)
    # The largest orbit makes it this group and no higher one; above 48 atoms matching takes long.
    largest = next(p for p in reversed(positions) if p.multiplicity <= 48)
    chosen = [largest] + [positions[i] for i in rng.integers(len(positions), size=20)]
    letters = []
    for position in chosen:
        if position.num_free or position.letter not in letters:
            letters.append(position.letter)
    letters = letters[:num_orbits]
    # The matcher looks for a smaller cell with a tolerance of 0.25 Å, so atoms keep apart.
    while True:
        symmetric = SymmetricCrystal(
            space_group_number=number,
            lattice=lattice,
            atomic_numbers=rng.choice([8, 14, 22, 38], size=len(letters)),
            wyckoff_letters=tuple(letters),
            frac_coords=rng.uniform(0.03, 0.47, (len(letters), 3)),
            identifier=f"group-{number}",
            properties={"band_gap": 1.5},
        )
        if min_pair_distance(symmetric.to_crystal()) > 0.6:
            return symmetric


def disguised(crystal, rng):
    """The same crystal turned, shifted, in another cell and with its atoms in another order."""
    u = np.array([[1, 0, 0], [2, 1, 0], [0, -1, 1]])
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(crystal.num_atoms)
    frac_coords = crystal.frac_coords @ np.linalg.inv(u) + rng.uniform(-2, 2, 3)
    return crystal.replace(
        lattice=u @ crystal.lattice @ rotation,
        frac_coords=frac_coords[order],
        atomic_numbers=crystal.atomic_numbers[order],
    )


@pytest.mark.parametrize("number", GROUPS)
def test_operations_map_the_expanded_crystal_onto_itself(number):
    rng = np.random.default_rng(number)
    symmetric = random_symmetric(number, rng)
    crystal = symmetric.to_crystal()
    for rotation, translation in zip(*symmetric.operations, strict=True):
        moved = crystal.frac_coords @ rotation.T + translation
        delta = moved[:, None] - crystal.frac_coords[None]
        delta -= np.rint(delta)
        distance = np.linalg.norm(delta @ crystal.lattice, axis=-1)
        same = crystal.atomic_numbers[:, None] == crystal.atomic_numbers[None]
        assert np.where(same, distance, np.inf).min(axis=1).max() < 1e-10
        metric = crystal.lattice @ crystal.lattice.T
        assert np.allclose(rotation.T @ metric @ rotation, metric, atol=1e-10)


@pytest.mark.parametrize("number", GROUPS)
def test_symmetry_survives_a_disguise(number):
    rng = np.random.default_rng(100 + number)
    symmetric = random_symmetric(number, rng)
    crystal = disguised(symmetric.to_crystal(), rng)
    info = find_symmetry(crystal, symprec=1e-4)
    assert info.space_group_number == number
    assert len(str(info).splitlines()) == 1
    again = SymmetricCrystal.from_crystal(crystal, symprec=1e-4)
    assert again.space_group_number == number
    assert sorted(again.multiplicity) == sorted(symmetric.multiplicity)
    assert again.identifier == symmetric.identifier
    assert dict(again.properties) == {"band_gap": 1.5}
    rms = match(again.to_crystal(), crystal)
    assert rms is not None
    assert rms < 1e-5


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
@pytest.mark.parametrize("number", GROUPS)
def test_agrees_with_spglib(number):
    rng = np.random.default_rng(200 + number)
    crystal = disguised(random_symmetric(number, rng).to_crystal(), rng)
    info = find_symmetry(crystal, symprec=1e-4)
    cell = (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)
    theirs = spglib.get_symmetry_dataset(cell, symprec=1e-4)
    assert info.space_group_number == theirs.number
    assert info.orbits.tolist() == theirs.crystallographic_orbits.tolist()
    assert len(info.rotations) == len(theirs.rotations)
    assert info.engine == "moyopy"
    assert info.engine_version


@pytest.mark.parametrize("number", GROUPS)
def test_other_cells_are_the_same_crystal(number):
    rng = np.random.default_rng(300 + number)
    crystal = disguised(random_symmetric(number, rng, num_orbits=2).to_crystal(), rng)
    info = find_symmetry(crystal, symprec=1e-4)
    primitive = primitive_cell(crystal, symprec=1e-4)
    conventional = conventional_cell(crystal, symprec=1e-4)
    reduced = niggli_cell(crystal)
    for other in (primitive, conventional, reduced):
        assert find_symmetry(other, symprec=1e-4).space_group_number == number
        assert np.isclose(other.volume / other.num_atoms, crystal.volume / crystal.num_atoms)
        assert other.identifier == crystal.identifier
        assert other.properties["band_gap"] == 1.5
        assert (other.frac_coords >= 0).all()
        assert (other.frac_coords < 1).all()
        rms = match(other, crystal)
        assert rms is not None
        assert rms < 1e-4
    centring = {"P": 1, "A": 2, "C": 2, "I": 2, "R": 3, "F": 4}[info.space_group_symbol[0]]
    assert conventional.num_atoms == primitive.num_atoms * centring
    assert reduced.num_atoms == crystal.num_atoms


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_niggli_cell_keeps_all_distances(seed):
    rng = np.random.default_rng(seed)
    lattice = rng.normal(size=(3, 3)) * 4
    if abs(np.linalg.det(lattice)) < 1:
        return
    crystal = Crystal(lattice, rng.uniform(-1, 2, (4, 3)), np.array([1, 8, 8, 26]))
    reduced = niggli_cell(crystal)
    assert np.array_equal(reduced.atomic_numbers, crystal.atomic_numbers)
    assert np.linalg.det(reduced.lattice) > 0
    # The lattice is the same set of vectors, turned at most.
    change = reduced.lattice @ np.linalg.inv(crystal.lattice)
    assert np.allclose(change, np.rint(change), atol=1e-7)
    moved = (reduced.cart_coords - crystal.cart_coords) @ np.linalg.inv(crystal.lattice)
    assert np.allclose(moved, np.rint(moved), atol=1e-7)
    assert reduced.lengths.sum() <= crystal.lengths.sum() + 1e-9


def test_known_crystals():
    face = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    salt = Crystal(
        np.eye(3) * 5.64, np.vstack([face, face + np.array([0.5, 0, 0])]), np.repeat([11, 17], 4)
    )
    info = find_symmetry(salt)
    assert (info.space_group_number, info.space_group_symbol) == (225, "Fm-3m")
    assert info.crystal_system == "cubic"
    assert info.wyckoff_letters == ("a", "b")
    assert info.orbits.tolist() == [0, 0, 0, 0, 4, 4, 4, 4]
    assert len(info.rotations) == 192
    assert primitive_cell(salt).num_atoms == 2
    rutile = SymmetricCrystal.from_parameters(
        136,
        lattice_from_parameters([4.594, 4.594, 2.959], [90, 90, 90]),
        [(22, "a", []), (8, "f", [0.305])],
        identifier="rutile",
    )
    assert repr(rutile) == "<SymmetricCrystal rutile P42/mnm 2a 4f>"
    assert [p.tolist() for p in rutile.parameters] == [[], [0.305]]
    crystal = rutile.to_crystal()
    assert crystal.formula == "TiO2"
    assert np.allclose(crystal.frac_coords[2], [0.305, 0.305, 0])
    assert rutile.orbit.tolist() == [0, 0, 1, 1, 1, 1]


def test_a_supercell_has_the_symmetry_of_its_crystal_and_says_so_quietly(capfd, caplog):
    double = Crystal(np.diag([3.0, 3.0, 6.0]), [[0, 0, 0], [0, 0, 0.5]], [84, 84])
    info = find_symmetry(double)
    assert info.space_group_number == 221
    assert info.orbits.tolist() == [0, 0]
    assert len(info.rotations) == 32  # tetragonal ones with two translations
    assert not caplog.records
    assert capfd.readouterr().err == ""


def test_a_distorted_cell_is_made_to_obey_its_group():
    lattice = symmetrized_lattice(225, np.diag([5.0, 5.1, 5.2]))
    assert np.allclose(np.diag(lattice), np.sqrt((25 + 26.01 + 27.04) / 3))
    assert np.count_nonzero(lattice) == 3
    hexagonal = symmetrized_lattice(194, lattice_from_parameters([3, 3.1, 5], [89, 91, 119]))
    assert np.isclose(hexagonal[0] @ hexagonal[1], -0.5 * hexagonal[0] @ hexagonal[0])


def test_noise_below_the_tolerance_is_taken_out():
    rng = np.random.default_rng(0)
    ideal = random_symmetric(166, rng).to_crystal()
    noisy = ideal.replace(
        frac_coords=ideal.frac_coords + rng.normal(size=ideal.frac_coords.shape) * 2e-4
    )
    assert find_symmetry(noisy, symprec=1e-5).space_group_number == 1
    assert find_symmetry(noisy, symprec=0.05).space_group_number == 166
    cleaned = SymmetricCrystal.from_crystal(noisy, symprec=0.05).to_crystal()
    assert find_symmetry(cleaned, symprec=1e-5).space_group_number == 166


def test_symmetric_crystal_pickles():
    symmetric = random_symmetric(62, np.random.default_rng(0))
    again = pickle.loads(pickle.dumps(symmetric))
    assert np.array_equal(again.to_crystal().frac_coords, symmetric.to_crystal().frac_coords)
    assert dict(again.properties) == dict(symmetric.properties)


def test_impossible_requests_are_refused():
    lattice = np.eye(3) * 4
    with pytest.raises(SymmetryError, match="x: the fixed position 1a is occupied twice"):
        SymmetricCrystal(221, lattice, np.array([1, 2]), ("a", "a"), np.zeros((2, 3)), "x")
    with pytest.raises(SymmetryError, match="no Wyckoff letter 'z'"):
        SymmetricCrystal(221, lattice, np.array([1]), ("z",), np.zeros((1, 3)))
    with pytest.raises(SymmetryError, match="each orbit needs one of each"):
        SymmetricCrystal(221, lattice, np.array([1, 2]), ("a",), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="symprec is 0"):
        find_symmetry(Crystal(lattice, np.zeros((1, 3)), np.array([1])), symprec=0)


def test_overlapping_atoms_have_no_symmetry():
    crystal = Crystal(np.eye(3) * 4, np.array([[0, 0, 0], [1e-4, 0, 0]]), np.array([1, 1]), "twin")
    with pytest.raises(SymmetryError, match="twin: no symmetry found at symprec"):
        find_symmetry(crystal, symprec=0.1)


@pytest.mark.data
@pytest.mark.skipif("CRYSTAL_DATA_HOME" not in os.environ, reason="needs the public data sets")
def test_round_trip_of_mp_20():
    import pandas as pd

    from crystal_data.io import parse_cif

    table = pd.read_csv(f"{os.environ['CRYSTAL_DATA_HOME']}/mp_20/val.csv.gz").head(200)
    crystals = [parse_cif(row.cif, row.material_id) for row in table.itertuples()]
    worst = 0.0
    for crystal in crystals:
        symmetric = SymmetricCrystal.from_crystal(crystal, symprec=0.01)
        rms = match(symmetric.to_crystal(), crystal)
        assert rms is not None, crystal.identifier
        worst = max(worst, rms)
    assert worst < 0.01


@pytest.mark.parametrize("skewed", [False, True])
def test_cells_too_thin_for_a_search_are_refused(skewed):
    # The engine takes all memory on some of these.
    lattice = np.diag([0.6, 5.0, 9.0])
    if skewed:
        lattice = np.array([[1.0, 3, -2], [0, 1, 4], [0, 0, 1]]) @ lattice
    crystal = Crystal(lattice, np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.8]]), np.array([3, 8]))
    with pytest.raises(SymmetryError, match="shorter than 1 Å"):
        find_symmetry(crystal, symprec=0.1)
    lattice[:] *= 2.0
    longer = Crystal(lattice, crystal.frac_coords, crystal.atomic_numbers)
    assert find_symmetry(longer, symprec=0.1).space_group_number >= 1
