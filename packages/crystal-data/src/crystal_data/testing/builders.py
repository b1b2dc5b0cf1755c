"""Seeded crystals for tests: random triclinic cells and prototypes that break things."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystal_data.crystal import Crystal, lattice_from_parameters

_IMAGES = np.array(list(product((-1, 0, 1), repeat=3)), dtype=np.float64)
_ELEMENTS = (3, 8, 9, 11, 13, 17, 20, 22, 26, 30, 38, 50, 56)
_TRIES_PER_ATOM = 200


def random_crystal(
    rng: np.random.Generator,
    num_atoms: int,
    *,
    elements: Sequence[int] = _ELEMENTS,
    min_distance: float = 1.5,
    volume_per_atom: float = 18.0,
) -> Crystal:
    """A triclinic cell without symmetry, atoms no closer than a limit through periodic images.

    Args:
        rng: Source of all choices.
        num_atoms: Atoms in the cell.
        elements: Atomic numbers to choose from.
        min_distance: Å. The cell grows where the atoms do not fit.
        volume_per_atom: Å³, to begin with.
    """
    lattice = lattice_from_parameters(rng.uniform(0.75, 1.35, 3), rng.uniform(65, 115, 3))
    lattice *= (volume_per_atom * num_atoms / abs(np.linalg.det(lattice))) ** (1 / 3)
    frac_coords = None
    while frac_coords is None:
        frac_coords = _placed(rng, lattice, num_atoms, min_distance)
        if frac_coords is None:
            lattice *= 1.1
    numbers = rng.choice(np.asarray(elements), num_atoms)
    return Crystal(lattice, frac_coords, numbers, identifier=f"random-{num_atoms}")


def random_crystals(count: int, seed: int, max_atoms: int = 12) -> list[Crystal]:
    """Random triclinic crystals of 1 to ``max_atoms`` atoms, each size in turn."""
    rng = np.random.default_rng(seed)
    return [
        random_crystal(rng, row % max_atoms + 1).replace(identifier=f"random-{row}")
        for row in range(count)
    ]


def rock_salt(cation: int = 11, anion: int = 17, edge: float = 5.64) -> Crystal:
    """NaCl in its primitive cell: every shell has many equal distances.

    Args:
        cation: Atomic number.
        anion: Atomic number.
        edge: Of the cube, Å.
    """
    primitive = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]) * edge
    positions = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]
    return _crystal("rock-salt", primitive, positions, [cation, anion])


def perovskite(a: int = 56, b: int = 22, x: int = 8, edge: float = 4.0) -> Crystal:
    """Cubic ABX₃; atomic numbers and the edge of the cube, Å."""
    positions = np.array([[0, 0, 0], [1, 1, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]) / 2
    return _crystal("perovskite", np.eye(3) * edge, positions, [a, b, x, x, x])


def face_centred(element: int = 29, edge: float = 3.61) -> Crystal:
    """An fcc metal: one atom in the cell; the edge of the cube in Å."""
    primitive = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]) * edge
    return _crystal("fcc", primitive, [[0.0, 0.0, 0.0]], [element])


def elongated(ratio: float = 12.0) -> Crystal:
    """A thin, skewed cell, one axis ``ratio`` times as long as the others."""
    lattice = np.array([[2.9, 0, 0], [1.1, 2.7, 0], [0.8, -0.9, 2.9 * ratio]])
    height = (np.arange(8) / 8)[:, None]
    wave = np.array([0.13, 0.37]) * np.arange(8)[:, None]
    positions = np.concatenate((wave, height), axis=1)
    return _crystal("elongated", lattice, positions, [20, 8] * 4)


def isolated_atom(element: int = 2, edge: float = 30.0) -> Crystal:
    """One atom further from all others than any usual cutoff; the cube's edge in Å."""
    return _crystal("isolated", np.eye(3) * edge, [[0.4, 0.1, 0.7]], [element])


def _crystal(
    identifier: str, lattice: ArrayLike, positions: ArrayLike, numbers: Sequence[int]
) -> Crystal:
    return Crystal(
        np.asarray(lattice, dtype=np.float64),
        np.asarray(positions, dtype=np.float64),
        np.asarray(numbers, dtype=np.int64),
        identifier=identifier,
    )


def _placed(
    rng: np.random.Generator, lattice: NDArray[np.float64], num_atoms: int, min_distance: float
) -> NDArray[np.float64] | None:
    own_images = np.linalg.norm(_IMAGES @ lattice, axis=1)
    if own_images[own_images > 0].min() < min_distance:
        return None
    placed = np.zeros((0, 3))
    for _ in range(_TRIES_PER_ATOM * num_atoms):
        candidate = rng.random(3)
        difference = placed - candidate
        images = (difference - difference.round())[:, None, :] + _IMAGES
        if (np.linalg.norm(images @ lattice, axis=2) >= min_distance).all():
            placed = np.vstack((placed, candidate))
        if len(placed) == num_atoms:
            return placed
    return None
