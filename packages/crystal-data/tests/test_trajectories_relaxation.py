"""What a relaxation changes does not depend on how its frames are described."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_data import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.testing import random_crystals, rock_salt
from crystal_data.testing.moves import turned
from crystal_data.trajectories import Change, aligned, change_between, changed
from crystal_data.trajectories.relaxation import exponential, nearest_displacements

seeds = st.integers(0, 2**32 - 1)


def some_crystal(seed: int) -> Crystal:
    return random_crystals(1, seed=seed, max_atoms=9)[0]


def some_change(crystal: Crystal, rng: np.random.Generator) -> Change:
    strain = rng.normal(scale=0.02, size=(3, 3))
    # Well below half of any distance between images.
    displacement = rng.normal(scale=0.02, size=(crystal.num_atoms, 3))
    return Change((strain + strain.T) / 2, displacement - displacement.mean(axis=0))


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_a_change_is_found_whatever_the_end_is_described_by(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = some_crystal(seed)
    change = some_change(start, rng)
    end = changed(start, change)
    end = end.replace(frac_coords=end.frac_coords + rng.integers(-2, 3, (end.num_atoms, 3)))
    end = end.replace(frac_coords=end.frac_coords + rng.uniform(-1, 1, 3))
    quarter = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    end = turned(end, quarter * np.sign(np.linalg.det(quarter)))
    found = change_between(start, end)
    np.testing.assert_allclose(found.strain, change.strain, atol=1e-9)
    np.testing.assert_allclose(found.displacement, change.displacement, atol=1e-8)
    same = aligned(end, start)
    np.testing.assert_allclose(same.lattice, start.lattice @ exponential(change.strain), atol=1e-8)


@pytest.mark.parametrize(
    "axes",
    [
        [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
        [[0, 1, 0], [1, 0, 0], [0, 0, 1]],  # left-handed: the same crystal all the same
        [[1, 0, 0], [1, 1, 0], [0, 0, 1]],
        [[-1, 0, 0], [0, -1, 0], [1, 0, 1]],
    ],
)
def test_other_axes_are_no_change(axes: list[list[int]]) -> None:
    rng = np.random.default_rng(3)
    start = Crystal(
        np.array([[3.1, 0.2, 0.0], [0.0, 5.2, 0.4], [0.3, 0.0, 8.0]]),
        rng.uniform(size=(5, 3)),
        np.array([3, 8, 8, 22, 22]),
    )
    change = some_change(start, rng)
    end = changed(start, change)
    matrix = np.array(axes, dtype=float)
    other = end.replace(
        lattice=matrix @ end.lattice, frac_coords=end.frac_coords @ np.linalg.inv(matrix)
    )
    found = change_between(start, other)
    np.testing.assert_allclose(found.strain, change.strain, atol=1e-9)
    np.testing.assert_allclose(found.displacement, change.displacement, atol=1e-8)


def test_a_cube_whose_axes_are_exchanged_is_known_by_its_atoms() -> None:
    start = Crystal(np.eye(3) * 5.0, [[0, 0, 0], [0.1, 0.25, 0.45], [0.6, 0.3, 0.9]], [11, 17, 35])
    axes = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    end = start.replace(lattice=axes @ start.lattice, frac_coords=start.frac_coords @ axes.T)
    found = change_between(start, end)
    np.testing.assert_allclose(found.strain, 0, atol=1e-12)
    np.testing.assert_allclose(found.displacement, 0, atol=1e-12)


def test_the_mirror_image_is_another_crystal() -> None:
    rng = np.random.default_rng(1)
    start = Crystal(np.diag([5.0, 6.0, 7.5]), rng.uniform(size=(6, 3)), np.arange(1, 7))
    found = change_between(start, turned(start, np.diag([1.0, 1.0, -1.0])))
    assert np.abs(found.displacement).max() > 0.5


def test_a_large_strain_of_the_same_axes_stays() -> None:
    start = rock_salt()
    end = start.replace(lattice=start.lattice @ np.diag([1.3, 0.9, 0.9]))
    np.testing.assert_allclose(
        change_between(start, end).strain, np.diag(np.log([1.3, 0.9, 0.9])), atol=1e-9
    )


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_nearest_displacements_against_a_search_of_all_images(seed: int) -> None:
    """Of two atoms the smallest motion is half the nearest image vector, each way."""
    rng = np.random.default_rng(seed)
    lattice = some_crystal(seed).lattice
    difference = rng.uniform(-2, 2, size=(2, 3))
    found = nearest_displacements(difference, lattice)
    between = (difference[1] - difference[0]) @ lattice
    whole = np.stack(np.meshgrid(*[np.arange(-8, 9)] * 3), axis=-1).reshape(-1, 3)
    shortest = np.linalg.norm(between + whole @ lattice, axis=1).min()
    assert np.linalg.norm(found[1] - found[0]) == pytest.approx(shortest, abs=1e-9)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)


def test_other_atoms_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="other atoms"):
        change_between(rock_salt(), rock_salt(19, 35))
