"""The displacement of two crystals against pymatgen's own matcher, ties and tolerances included."""

import os
from itertools import islice

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.core.structure_matcher import StructureMatcher

from crystal_data.builtin.generate import prototype_entries
from crystal_data.builtin.prototypes import PROTOTYPES
from crystal_data.crystal import Crystal
from crystal_data.metrics import match
from crystal_data.metrics.displacement import is_same_structure
from crystal_data.metrics.reduced import reduced_cell
from crystal_data.sources import MP20, MPTS52, Perov5
from crystal_data.store.build import open_store

LITERATURE = {"stol": 0.5, "angle_tol": 10, "ltol": 0.3}
STRICT = {"stol": 0.3, "angle_tol": 5, "ltol": 0.2}


def structure(crystal):
    return Structure(crystal.lattice, crystal.species, crystal.frac_coords)


def expected(pred, true, tolerances):
    found = StructureMatcher(**tolerances).get_rms_dist(structure(pred), structure(true))
    return None if found is None else found[0]


def is_same(pred, true, tolerances):
    return is_same_structure(reduced_cell(pred), reduced_cell(true), **tolerances)


def assert_same(pairs, tolerances):
    """Compares each pair with pymatgen; returns the shares of matches and of imperfect ones."""
    values = []
    for pred, true in pairs:
        value, right = match(pred, true, **tolerances), expected(pred, true, tolerances)
        assert (value is None) == (right is None), (pred, true, value, right)
        if right is not None:
            assert value == pytest.approx(right, abs=1e-8), (pred, true)
        fits = StructureMatcher(**tolerances).fit(structure(pred), structure(true))
        assert fits == is_same(pred, true, tolerances), (pred, true)
        values.append(np.nan if right is None else right)
    return np.isfinite(values).mean(), (np.array(values) > 1e-3).mean()


def counts(crystal):
    return tuple(np.unique(crystal.atomic_numbers, return_counts=True)[1])


def with_elements_of(crystal, other):
    """The crystal with the elements of another of as many atoms of each kind."""
    own, theirs = np.unique(crystal.atomic_numbers), np.unique(other.atomic_numbers)
    return crystal.replace(atomic_numbers=theirs[np.searchsorted(own, crystal.atomic_numbers)])


def moved(crystal, noise, rng):
    strain = np.eye(3) + rng.normal(size=(3, 3)) * noise / 6
    shifts = rng.normal(size=crystal.frac_coords.shape) * noise
    return crystal.replace(
        lattice=crystal.lattice @ strain, frac_coords=crystal.frac_coords + shifts / 5
    )


def pairs_of(crystals, count, rng):
    """True crystals with copies of others of their composition, and with moved ones."""
    by_counts = {}
    for crystal in crystals:
        by_counts.setdefault(counts(crystal), []).append(crystal)
    pairs = []
    while len(pairs) < count:
        true = crystals[rng.integers(len(crystals))]
        alike = by_counts[counts(true)]
        other = alike[rng.integers(len(alike))]
        pairs += [(with_elements_of(other, true), true)]
        pairs += [(moved(true, noise, rng), true) for noise in (0.02, 0.5)]
    return pairs


@pytest.fixture(scope="module")
def symmetric():
    """Some crystals of every small structure type of the built-in data."""
    return [
        entry.crystal
        for prototype in PROTOTYPES
        for entry in islice(prototype_entries(prototype), 3)
        if entry.crystal.num_atoms <= 14
    ]


@pytest.mark.parametrize("tolerances", [LITERATURE, STRICT], ids=["literature", "strict"])
def test_symmetric_crystals_have_the_displacement_that_pymatgen_finds(symmetric, tolerances):
    pairs = pairs_of(symmetric, 30, np.random.default_rng(0))
    matched, imperfect = assert_same(pairs, tolerances)
    assert 0.3 < matched < 1
    assert imperfect > 0.2


def test_equally_near_atoms_are_assigned_as_pymatgen_does():
    """Cubic perovskites with other anions on equal sites: many assignments are equally good."""
    coords = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    pairs = [
        (Crystal(np.eye(3) * a, coords, first), Crystal(np.eye(3) * 4, coords, second))
        for a in (3.8, 4.3)
        for first in ([56, 22, 8, 8, 7], [56, 22, 7, 8, 8], [22, 56, 8, 7, 8], [8, 22, 56, 8, 7])
        for second in ([56, 22, 8, 8, 7], [22, 56, 8, 8, 7], [7, 22, 8, 8, 56])
    ]
    matched, imperfect = assert_same(pairs, LITERATURE)
    assert 0 < matched < 1
    assert imperfect > 0


def test_a_coordinate_on_the_tolerance_is_decided_as_pymatgen_does():
    """With 8 atoms in a cubic cell the matcher's box is half the cell, where atoms often lie."""
    corners = np.array(list(np.ndindex(2, 2, 2))) / 2
    kinds = ([8] * 4 + [12] * 4, [8, 12, 12, 8, 12, 8, 8, 12], [8, 8, 12, 12, 8, 8, 12, 20])
    crystals = [Crystal(np.eye(3) * 4.2, corners, kind) for kind in kinds]
    skewed = [c.replace(lattice=c.lattice + np.diag([0.03, 0.01], 1)) for c in crystals]
    pairs = [(a, b) for a in crystals + skewed for b in crystals]
    same = [(a, b) for a, b in pairs if a.composition == b.composition]
    assert_same(same, LITERATURE)


@pytest.mark.parametrize("factor", [1, 2])
def test_the_reduced_cell_is_pymatgens_to_the_last_bit(symmetric, factor):
    rng = np.random.default_rng(1)
    smaller = 0
    for crystal in symmetric[::3]:
        whole = structure(crystal) * (factor, 1, 1)
        true = Crystal(
            whole.lattice.matrix,
            whole.frac_coords + rng.normal(size=(len(whole), 3)) * 1e-3,
            np.array(whole.atomic_numbers),
        )
        right = StructureMatcher._get_reduced_structure(structure(true))
        found = reduced_cell(true)
        assert np.array_equal(found.lattice, right.lattice.matrix), crystal
        assert np.array_equal(found.frac_coords, right.frac_coords), crystal
        assert found.atomic_numbers.tolist() == list(right.atomic_numbers), crystal
        smaller += len(right) < true.num_atoms
    assert smaller > 5 if factor == 2 else smaller < 5


@pytest.mark.slow
@pytest.mark.skipif("CRYSTAL_DATA_HOME" not in os.environ, reason="needs the public data sets")
@pytest.mark.parametrize(
    "source", [MP20, *(pytest.param(one, marks=pytest.mark.long) for one in (MPTS52, Perov5))]
)
def test_real_crystals_have_the_displacement_that_pymatgen_finds(source):
    store = open_store(source(), on_invalid="skip")
    rng = np.random.default_rng(2)
    crystals = [store.crystal(int(row)) for row in rng.choice(len(store), 2_000, replace=False)]
    matched, imperfect = assert_same(pairs_of(crystals, 600, rng), LITERATURE)
    assert 0.5 < matched < 1
    assert imperfect > 0.3
