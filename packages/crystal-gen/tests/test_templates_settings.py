"""Changes of setting keep the crystal and its group, and exchange letters as the tables say."""

import numpy as np
import pytest

from crystal_data.crystal import lattice_from_parameters
from crystal_data.io import to_pymatgen
from crystal_data.symmetry import (
    SymmetricCrystal,
    all_lattice_parameters,
    find_orbits,
    free_lattice_parameters,
    wyckoff_positions,
)
from crystal_data.testing.generator_contract import symmetry_error
from crystal_gen.templates.settings import canonical_labels, setting_changes

# Triclinic; monoclinic P, C; orthorhombic P, C, F, A; tetragonal P, I; trigonal P, R; hexagonal;
# cubic P, F, I.
GROUPS = (2, 11, 15, 47, 62, 63, 70, 40, 123, 141, 143, 166, 194, 221, 227, 225, 229)


def general(number: int, seed: int = 0) -> SymmetricCrystal:
    """An element on the first position, two on the last of at most 48 points, which is free."""
    rng = np.random.default_rng(seed)
    size = {"a": 6.0, "b": 7.1, "c": 8.3, "alpha": 80.0, "beta": 98.0, "gamma": 104.0}
    values = np.array(list(size.values()))[list(free_lattice_parameters(number))]
    parameters = all_lattice_parameters(number, values)
    last = [p.letter for p in wyckoff_positions(number) if p.multiplicity <= 48][-1]
    return SymmetricCrystal(
        number,
        lattice_from_parameters(parameters[:3], parameters[3:]),
        np.array([26, 8, 17]),
        ("a", last, last),
        rng.random((3, 3)),
    )


@pytest.mark.parametrize("number", GROUPS)
def test_a_change_keeps_the_crystal(number: int) -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(1e-4, 1e-4, 1e-3, primitive_cell=False, scale=False)
    crystal = general(number)
    true = to_pymatgen(crystal.to_crystal())
    changes = setting_changes(number)
    for change in changes[:6]:
        changed = change.apply(crystal)
        assert symmetry_error(changed.to_crystal(), number) < 1e-6
        assert matcher.fit(true, to_pymatgen(changed.to_crystal()))
        assert changed.wyckoff_letters == tuple(change.letters[x] for x in crystal.wyckoff_letters)


@pytest.mark.parametrize("number", range(1, 231))
def test_letters_are_exchanged_one_for_one(number: int) -> None:
    changes = setting_changes(number)
    letters = sorted(position.letter for position in wyckoff_positions(number))
    kinds = {p.letter: (p.multiplicity, p.num_free) for p in wyckoff_positions(number)}
    assert all(old == new for old, new in changes[0].letters.items())
    for change in changes:
        assert sorted(change.letters) == sorted(change.letters.values()) == letters
        assert all(kinds[old] == kinds[new] for old, new in change.letters.items())
        assert np.linalg.det(change.linear) == pytest.approx(1.0)
    maps = {"".join(change.letters.values()) for change in changes}
    assert len(maps) == len(changes)
    for change in changes[:8]:
        assert {"".join(change.after(first).letters.values()) for first in changes} == maps


@pytest.mark.parametrize(
    ("number", "one", "other"),
    [
        (225, ("a", "b"), ("b", "a")),  # rock salt from either atom
        (225, ("a", "c"), ("b", "c")),  # fluorite
        (221, ("a", "b", "c"), ("a", "b", "d")),  # perovskite
        (227, ("a", "d", "e"), ("b", "c", "e")),  # spinel
        (216, ("a", "c"), ("b", "d")),  # zinc blende by a shift of a quarter
        (62, ("a", "c", "c", "cd"), ("b", "c", "c", "cd")),
        (47, ("a", "b"), ("a", "c")),  # axes of Pmmm exchanged
        (143, ("a", "b"), ("b", "c")),  # by a third
    ],
)
def test_known_pairs_of_letters_are_one_prototype(number, one, other) -> None:
    def key(labels):
        return canonical_labels(number, tuple(sorted(labels)))[0]

    assert key(one) == key(other)


def test_different_prototypes_stay_apart() -> None:
    assert canonical_labels(225, ("a", "b"))[0] != canonical_labels(225, ("a", "c"))[0]
    # Two fixed points of P4/mmm side by side, or above each other.
    assert canonical_labels(123, ("a", "b"))[0] != canonical_labels(123, ("a", "c"))[0]


def test_the_changed_letters_are_those_that_a_search_may_find() -> None:
    crystal = general(62)
    for change in setting_changes(62):
        found = find_orbits(change.apply(crystal).to_crystal())
        key, _ = canonical_labels(62, tuple(sorted(found.wyckoff_letters)))
        assert key == canonical_labels(62, tuple(sorted(crystal.wyckoff_letters)))[0]


@pytest.mark.parametrize("number", [11, 47, 143, 166, 194, 216])
def test_one_change_after_another_is_their_product(number: int) -> None:
    crystal = general(number)
    for first in setting_changes(number)[:12]:
        for second in setting_changes(number)[:12]:
            one = second.apply(first.apply(crystal)).to_crystal()
            other = second.after(first).apply(crystal).to_crystal()
            np.testing.assert_allclose(one.lattice, other.lattice, atol=1e-9)
            off = one.frac_coords[:, None] - other.frac_coords
            equal = (np.abs(off - np.rint(off)) < 1e-6).all(axis=2)
            equal &= one.atomic_numbers[:, None] == other.atomic_numbers
            assert equal.any(axis=1).all()
