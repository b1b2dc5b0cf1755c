"""The table of Wyckoff positions against moyopy, pymatgen and group theory."""

import gzip
import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import moyopy
import numpy as np
import pytest
import spglib

from crystal_data.symmetry import (
    SymmetricCrystal,
    crystal_system,
    find_symmetry,
    space_group_operations,
    space_group_symbol,
    symmetrized_lattice,
    wyckoff_position,
    wyckoff_positions,
)
from crystal_data.symmetry.wyckoff import parse_triplet

ALL_GROUPS = range(1, 231)


def as_set(rotations, translations):
    keys = np.rint(np.asarray(translations) * 24).astype(int) % 24
    return {(*r.ravel(), *t) for r, t in zip(np.asarray(rotations), keys, strict=True)}


def pymatgen_table(name):
    # Found without importing that part of pymatgen, which takes seconds.
    (root,) = find_spec("pymatgen").submodule_search_locations
    path = Path(root, "analysis", "prototypes", f"wyckoff-position-{name}.json.gz")
    return json.loads(gzip.decompress(path.read_bytes()))


def test_operations_are_those_of_moyopy():
    for number in ALL_GROUPS:
        ours = space_group_operations(number)
        theirs = moyopy.operations_from_number(number, setting=moyopy.Setting.standard())
        assert as_set(*ours) == as_set(theirs.rotations, theirs.translations)
        assert np.array_equal(ours[0][0], np.eye(3))
        assert not ours[1][0].any()


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_symbols_and_systems_are_those_of_spglib():
    # Hall numbers of each group's first setting, in order, give all the types.
    seen = {}
    for hall_number in range(1, 531):
        found = spglib.get_spacegroup_type(hall_number)
        seen.setdefault(found.number, found.international_short)
    assert [space_group_symbol(n) for n in ALL_GROUPS] == [
        seen[n].replace("_", "") for n in ALL_GROUPS
    ]
    for number in ALL_GROUPS:
        assert crystal_system(number) == moyopy.SpaceGroupType(number).crystal_system.lower()


def test_multiplicities_and_dimensions_are_those_of_pymatgen():
    multiplicities, dimensions = pymatgen_table("multiplicities"), pymatgen_table("params")
    count = 0
    for number in ALL_GROUPS:
        positions = wyckoff_positions(number)
        count += len(positions)
        assert {p.letter: p.multiplicity for p in positions} == multiplicities[str(number)]
        assert {p.letter: p.num_free for p in positions} == dimensions[str(number)]
    assert count == 1731


def test_each_orbit_is_complete():
    for number in ALL_GROUPS:
        order = len(space_group_operations(number)[0])
        for position in wyckoff_positions(number):
            assert position.rotations.shape == (position.multiplicity, 3, 3)
            assert position.translations.shape == (position.multiplicity, 3)
            rotations, translations = position.site_symmetry_operations()
            assert position.multiplicity * len(rotations) == order
            point = position.point(np.linspace(0.11, 0.37, position.num_free))
            assert np.allclose(rotations @ point + translations, point)
            assert np.allclose(position.project(point), point)


def test_affine_maps_lead_to_the_members():
    for number in (14, 62, 166, 214, 227):
        for position in wyckoff_positions(number):
            free = np.array([0.13, 0.29, 0.41])
            mapped = position.affine_rotations @ free + position.affine_translations
            members = position.expand(position.project(free))
            delta = mapped - members
            assert np.allclose(delta, np.rint(delta))
            assert np.linalg.matrix_rank(position.affine_rotations[0]) == position.num_free


def test_every_position_is_found_again_under_its_own_letter():
    # A general orbit fixes the group; a second one sits on each position in turn.
    rng = np.random.default_rng(0)
    same_setting = 0
    for number in ALL_GROUPS:
        general = wyckoff_positions(number)[-1]
        for position in wyckoff_positions(number):
            points = rng.uniform(0.03, 0.47, (2, 3))
            symmetric = SymmetricCrystal(
                space_group_number=number,
                lattice=random_lattice(number, rng),
                atomic_numbers=np.array([8, 22]),
                wyckoff_letters=(general.letter, position.letter),
                frac_coords=points,
            )
            crystal = symmetric.to_crystal()
            info = find_symmetry(crystal, symprec=1e-5)
            assert info.space_group_number == number
            again = SymmetricCrystal.from_crystal(crystal, symprec=1e-5)
            assert Counter(again.multiplicity) == Counter(symmetric.multiplicity)
            if keeps_setting(crystal):
                same_setting += 1
                assert info.wyckoff_letters == symmetric.wyckoff_letters
                assert info.site_symmetry_per_atom[-1] == position.site_symmetry
    assert same_setting > 500  # in the others moyopy took another of the equivalent origins


def random_lattice(number, rng):
    angles = (90, 90, 120) if 143 <= number <= 194 else rng.uniform(75, 105, 3)
    lengths = np.array([7.0, 7.0, 9.0]) * rng.uniform(0.8, 1.2, 3)
    if 143 <= number <= 194:
        lengths[1] = lengths[0]
    cosines = np.cos(np.radians(angles))
    metric = np.outer(lengths, lengths) * np.array(
        [[1, cosines[2], cosines[1]], [cosines[2], 1, cosines[0]], [cosines[1], cosines[0], 1]]
    )
    return symmetrized_lattice(number, np.linalg.cholesky(metric))


def keeps_setting(crystal):
    cell = moyopy.Cell(
        crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.atomic_numbers.tolist()
    )
    found = moyopy.MoyoDataset(cell, symprec=1e-5, setting=moyopy.Setting.standard())
    return np.allclose(found.std_linear, np.eye(3)) and np.allclose(found.std_origin_shift, 0)


def test_arrays_of_the_table_cannot_be_changed():
    position = wyckoff_position(225, "a")
    with pytest.raises(ValueError, match="read-only"):
        position.rotations[0, 0, 0] = 5
    with pytest.raises(ValueError, match="read-only"):
        space_group_operations(225)[1][0, 0] = 0.5


def test_triplets():
    linear, fixed = parse_triplet("-x+y,2x,z+3/4")
    assert linear.tolist() == [[-1, 1, 0], [2, 0, 0], [0, 0, 1]]
    assert fixed.tolist() == [0, 0, 0.75]
    for wrong in ("x,y", "x,y,w", "x,y,", "x,y,z*2"):
        with pytest.raises(ValueError, match="not a"):
            parse_triplet(wrong)


def test_what_does_not_exist_is_named():
    with pytest.raises(ValueError, match="space group 231 does not exist"):
        wyckoff_positions(231)
    with pytest.raises(
        ValueError, match=r"P2_?1/c\) has no Wyckoff letter 'f'; its letters are abcde"
    ):
        wyckoff_position(14, "f")
    with pytest.raises(ValueError, match="4a of space group 225 has 0 free parameters"):
        wyckoff_position(225, "a").point([0.1])
