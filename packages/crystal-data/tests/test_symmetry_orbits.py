"""Free lattice parameters, and orbits that are checked before they are believed."""

import numpy as np
import pytest

from crystal_data.crystal import Crystal
from crystal_data.metrics import match, min_pair_distance
from crystal_data.store import CrystalStore, OrbitColumn
from crystal_data.store.orbits import WYCKOFF_LETTERS
from crystal_data.symmetry import (
    OrbitError,
    OrbitFailure,
    SymmetricCrystal,
    all_lattice_parameters,
    find_orbits,
    free_lattice_parameters,
    lattice_from_free_parameters,
    niggli_cell,
    orbits,
    symmetrized_lattice,
    without_symmetry,
    wyckoff_positions,
)
from crystal_data.testing import face_centred, perovskite, random_crystals, rock_salt

NUM_FREE = {2: 6, 5: 4, 14: 4, 62: 3, 88: 2, 148: 2, 194: 2, 197: 1, 198: 1}


def symmetric_crystal(number, rng, num_orbits=2):
    """Orbits in general positions, so that the group is no higher one."""
    free = rng.uniform(6, 9, size=6)
    free[3:] = rng.uniform(80, 100, size=3)
    general = wyckoff_positions(number)[-1].letter
    return SymmetricCrystal(
        space_group_number=number,
        lattice=lattice_from_free_parameters(number, free[list(free_lattice_parameters(number))]),
        atomic_numbers=rng.choice([8, 14, 22], size=num_orbits),
        wyckoff_letters=(general,) * num_orbits,
        frac_coords=rng.uniform(0.05, 0.45, (num_orbits, 3)),
    )


def disguised(crystal, rng):
    """The same crystal turned, shifted, in another cell and with its atoms in another order."""
    u = np.array([[1, 0, 0], [2, 1, 0], [0, -1, 1]])
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    if np.linalg.det(rotation) < 0:
        rotation[0] *= -1
    order = rng.permutation(crystal.num_atoms)
    frac_coords = crystal.frac_coords @ np.linalg.inv(u) + rng.uniform(-2, 2, 3)
    return crystal.replace(
        lattice=u @ crystal.lattice @ rotation,
        frac_coords=frac_coords[order],
        atomic_numbers=crystal.atomic_numbers[order],
    )


@pytest.mark.parametrize("number", [1, *range(2, 231, 7), 230])
def test_free_lattice_parameters_are_what_the_operations_leave(number):
    """The cell that they make is one that the group allows, and any such cell comes of them."""
    rng = np.random.default_rng(number)
    free = free_lattice_parameters(number)
    values = np.where(np.array(free) < 3, rng.uniform(4, 8), rng.uniform(70, 110, len(free)))
    lattice = lattice_from_free_parameters(number, values)
    assert np.allclose(symmetrized_lattice(number, lattice), lattice, atol=1e-12)
    allowed = symmetrized_lattice(number, np.eye(3) * 6 + rng.normal(scale=0.5, size=(3, 3)))
    crystal = SymmetricCrystal(
        number,
        allowed,
        np.array([6]),
        (wyckoff_positions(number)[-1].letter,),
        np.full((1, 3), 0.1),
    )
    again = lattice_from_free_parameters(number, crystal.lattice_parameters)
    assert np.allclose(again, allowed, atol=1e-12)
    assert len(crystal.lattice_parameters) == len(free)


def test_numbers_of_free_lattice_parameters():
    assert {n: len(free_lattice_parameters(n)) for n in NUM_FREE} == NUM_FREE
    assert all_lattice_parameters(194, [3.0, 5.0]).tolist() == [3.0, 3.0, 5.0, 90.0, 90.0, 120.0]
    assert all_lattice_parameters(14, [3, 4, 5, 99]).tolist() == [3, 4, 5, 90, 99, 90]
    with pytest.raises(ValueError, match="space group 225 has 1 free lattice parameters"):
        all_lattice_parameters(225, [1.0, 2.0])


@pytest.mark.parametrize("number", NUM_FREE)
def test_orbits_of_a_disguised_crystal_are_the_crystal(number):
    rng = np.random.default_rng(number)
    crystal = disguised(symmetric_crystal(number, rng).to_crystal(), rng)
    found = find_orbits(crystal, symprec=1e-4)
    assert found.space_group_number == number
    parameters = zip(found.atomic_numbers, found.wyckoff_letters, found.parameters, strict=True)
    again = SymmetricCrystal.from_parameters(
        number, lattice_from_free_parameters(number, found.lattice_parameters), list(parameters)
    )
    assert np.allclose(again.to_crystal().cart_coords, found.to_crystal().cart_coords, atol=1e-9)
    rms = match(again.to_crystal(), crystal)
    assert rms is not None
    assert rms < 1e-5


@pytest.mark.parametrize("number", [76, 92, 144, 152, 213])
def test_handedness_is_kept(number):
    rng = np.random.default_rng(number)
    crystal = symmetric_crystal(number, rng).to_crystal()
    left = crystal.replace(lattice=-crystal.lattice, frac_coords=-crystal.frac_coords)
    mirror = crystal.replace(lattice=crystal.lattice * np.array([1.0, 1.0, -1.0]))
    assert find_orbits(left, 1e-3).space_group_number == number
    assert find_orbits(mirror, 1e-3).space_group_number != number


def test_reasons(monkeypatch):
    def reason_of(crystal):
        with pytest.raises(OrbitError) as error:
            find_orbits(crystal)
        return error.value.reason, str(error.value)

    twice = Crystal(np.eye(3) * 4, np.zeros((2, 3)), np.array([6, 6]), identifier="twice")
    reason, message = reason_of(twice)
    assert reason == OrbitFailure.NO_SYMMETRY
    assert message.startswith("twice: no symmetry found")
    assert "[no_symmetry]; atoms may overlap" in message

    salt = rock_salt()
    monkeypatch.setattr(orbits, "_spglib_orbits", lambda *_: (221, np.arange(8)))
    reason, message = reason_of(salt)
    assert reason == OrbitFailure.LIBRARIES_DISAGREE
    assert "moyopy finds space group 225 with 2 orbits, spglib 221 with 8" in message
    monkeypatch.undo()

    # Other positions, other elements, a larger cell: not what was given.
    right = SymmetricCrystal.from_dataset

    changes = [
        lambda s: {"frac_coords": s.frac_coords + 0.03, "wyckoff_letters": ("f", "f")},
        lambda s: {"atomic_numbers": s.atomic_numbers + 1},
        lambda s: {"lattice": s.lattice * 1.02},
    ]
    for change in changes:

        def wrong(crystal, dataset, change=change):
            symmetric = right(crystal, dataset)
            names = ("lattice", "atomic_numbers", "wyckoff_letters", "frac_coords")
            values = {name: getattr(symmetric, name) for name in names}
            return SymmetricCrystal(symmetric.space_group_number, **{**values, **change(symmetric)})

        monkeypatch.setattr(SymmetricCrystal, "from_dataset", wrong)
        reason, message = reason_of(salt)
        assert reason == OrbitFailure.NO_WAY_BACK
        assert "make a crystal that differs by" in message


def test_the_mirror_image_is_no_way_back(monkeypatch):
    crystal = symmetric_crystal(92, np.random.default_rng(0)).to_crystal()
    right = SymmetricCrystal.from_dataset
    mirror = crystal.replace(lattice=crystal.lattice * np.array([1.0, 1.0, -1.0]))

    def wrong(given, dataset):
        return right(mirror, orbits.search(mirror, 1e-3, None))

    monkeypatch.setattr(SymmetricCrystal, "from_dataset", wrong)
    with pytest.raises(OrbitError, match=r"\[no_way_back\]"):
        find_orbits(crystal, 1e-3)


@pytest.mark.parametrize("number", [1, 5, 14, 62, 88, 92, 148, 194, 216, 227])
def test_without_symmetry_it_is_the_same_crystal_in_its_reduced_cell(number):
    rng = np.random.default_rng(number)
    symmetric = symmetric_crystal(number, rng, num_orbits=1)
    while min_pair_distance(symmetric.to_crystal()) < 0.5:  # the matcher takes such atoms for one
        symmetric = symmetric_crystal(number, rng, num_orbits=1)
    crystal = symmetric.to_crystal()
    moved = crystal.frac_coords + np.array([1, 0, 0])
    doubled = crystal.replace(
        lattice=crystal.lattice * np.array([[2.0], [1.0], [1.0]]),
        frac_coords=np.concatenate([crystal.frac_coords, moved]) / np.array([2, 1, 1]),
        atomic_numbers=np.tile(crystal.atomic_numbers, 2),
    )
    for given in (crystal, disguised(crystal, rng), doubled):
        plain = without_symmetry(given, 1e-3)
        assert plain.space_group_number == 1
        assert set(plain.wyckoff_letters) == {"a"}
        # A general orbit has an atom in the primitive cell for each operation of the point group.
        primitive = len(np.unique(symmetric.operations[0], axis=0))
        assert plain.num_orbits == primitive
        assert np.isclose(
            plain.to_crystal().volume / primitive, crystal.volume / len(crystal.species)
        )
        again = niggli_cell(plain.to_crystal())
        assert np.allclose(np.sort(again.lengths), np.sort(plain.to_crystal().lengths))
        rms = match(plain.to_crystal(), crystal, stol=0.02)
        assert rms is not None
        assert rms < 1e-3


def test_a_primitive_cell_that_is_another_crystal_is_no_way_back(monkeypatch):
    crystal = symmetric_crystal(92, np.random.default_rng(0)).to_crystal()
    right = orbits.standard_primitive

    def mirrored(given, dataset):
        primitive = right(given, dataset)
        return primitive.replace(lattice=primitive.lattice * np.array([1.0, 1.0, -1.0]))

    monkeypatch.setattr(orbits, "standard_primitive", mirrored)
    with pytest.raises(OrbitError, match=r"\[no_way_back\]"):
        without_symmetry(crystal, 1e-3)


CRYSTALS = [rock_salt(), perovskite(), face_centred(), *random_crystals(6, seed=0, max_atoms=5)]


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_orbits_of_a_store(tmp_path, place):
    twice = Crystal(np.eye(3) * 4, np.zeros((2, 3)), np.array([6, 6]))
    crystals = [*CRYSTALS[:2], twice, *CRYSTALS[2:]]
    store = CrystalStore.from_crystals(crystals, tmp_path / "s" if place == "disk" else None)
    column = OrbitColumn()
    values = store.add_column(column, num_workers=0)
    assert values.failed() == {2: "no_symmetry"}
    rows = np.array([5, 2, 0, 1, 3])
    chunk = values.cut(rows)
    assert chunk.arrays["space_group_number"].tolist() == [1, 0, 225, 221, 225]
    assert chunk.counts.tolist() == [crystals[5].num_atoms, 0, 2, 3, 1]
    for row, symmetric in zip(rows.tolist(), column.crystals(chunk), strict=True):
        if row == 2:
            assert symmetric is None
            continue
        expected = find_orbits(crystals[row])
        assert symmetric.wyckoff_letters == expected.wyckoff_letters
        assert symmetric.atomic_numbers.tolist() == expected.atomic_numbers.tolist()
        assert np.allclose(symmetric.lattice, expected.lattice, atol=1e-9)
        assert np.array_equal(symmetric.frac_coords, expected.frac_coords)
        assert match(symmetric.to_crystal(), crystals[row]) is not None


def test_atoms_of_a_store_without_symmetry():
    twice = Crystal(np.eye(3) * 4, np.zeros((2, 3)), np.array([6, 6]))
    crystals = [*CRYSTALS[:2], twice, *CRYSTALS[2:]]
    column = OrbitColumn(uses_symmetry=False)
    values = CrystalStore.from_crystals(crystals).add_column(column, num_workers=0)
    assert values.failed() == {2: "no_symmetry"}
    made = column.crystals(values.cut(np.arange(len(crystals))))
    assert made[2] is None
    for row, crystal in enumerate(crystals):
        if row == 2:
            continue
        expected = without_symmetry(crystal)
        assert np.array_equal(made[row].frac_coords, expected.frac_coords)
        assert np.array_equal(made[row].atomic_numbers, expected.atomic_numbers)
        assert match(made[row].to_crystal(), crystal) is not None
    assert made[0].to_crystal().composition == {"Na": 1, "Cl": 1}


def test_stored_orbits_stay_valid():
    """The folders that columns with symmetry have had from the beginning."""
    assert OrbitColumn(0.1).folder_name == "orbits-b5c06436eee05fd5"
    assert OrbitColumn().folder_name == "orbits-a0794a37aeedb17c"
    assert OrbitColumn(uses_symmetry=False).folder_name != OrbitColumn().folder_name


def test_every_letter_has_a_place():
    letters = {p.letter for number in range(1, 231) for p in wyckoff_positions(number)}
    assert letters == set(WYCKOFF_LETTERS)
    with pytest.raises(ValueError, match="symprec is 0"):
        OrbitColumn(symprec=0)
