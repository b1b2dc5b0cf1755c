"""Reduced lattices and spacings of planes, against pymatgen and sums over many lattice vectors."""

from itertools import product

import numpy as np
import pytest
from pymatgen.core import Lattice

from crystal_data.lattice import plane_spacings, reduced_lattice

UNIMODULAR = np.array([[1, 0, 0], [3, 1, 0], [-2, 4, 1]])


def random_lattice(seed):
    return np.random.default_rng(seed).normal(size=(3, 3)) * 3.0 + np.eye(3)


@pytest.mark.parametrize("seed", range(10))
def test_a_reduced_lattice_is_the_same_lattice(seed):
    lattice = random_lattice(seed)
    reduced = reduced_lattice(UNIMODULAR @ UNIMODULAR @ lattice)
    steps = reduced @ np.linalg.inv(lattice)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-8)
    assert abs(np.linalg.det(steps)) == pytest.approx(1.0)
    lengths = np.linalg.norm(np.array(list(product(range(-7, 8), repeat=3))) @ reduced, axis=1)
    shortest = np.sort(lengths)[1]
    assert np.linalg.norm(reduced, axis=1).min() == pytest.approx(shortest)


@pytest.mark.parametrize("seed", range(10))
def test_spacings_of_planes(seed):
    lattice = random_lattice(seed)
    crystal = Lattice(lattice)
    expected = [crystal.d_hkl(plane) for plane in np.eye(3, dtype=int).tolist()]
    assert plane_spacings(lattice) == pytest.approx(expected)
    # No lattice vector is shorter than all of them.
    assert min(expected) <= np.linalg.norm(reduced_lattice(lattice), axis=1).min() + 1e-9
