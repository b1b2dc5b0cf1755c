"""Changes of description: each gives the same crystal, so no invariant prediction may change."""

from itertools import permutations

import numpy as np

from crystal_data.crystal import Crystal


def shift_origin(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """All atoms moved by the same vector."""
    return crystal.replace(frac_coords=crystal.frac_coords + rng.uniform(-1, 1, 3))


def change_images(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Each atom moved by whole cells, each by its own."""
    cells = rng.integers(-3, 4, crystal.frac_coords.shape)
    return crystal.replace(frac_coords=crystal.frac_coords + cells)


def permute_atoms(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """The atoms in another order; the first one always changes where there are two."""
    order = np.roll(rng.permutation(crystal.num_atoms), 1)
    if order[0] == 0:
        order = np.roll(order, 1)
    return crystal.replace(
        frac_coords=crystal.frac_coords[order], atomic_numbers=crystal.atomic_numbers[order]
    )


def rotate(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Cell and atoms turned together."""
    return crystal.replace(lattice=crystal.lattice @ _rotation(rng))


def reflect(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Cell and atoms mirrored together, in a plane of random direction."""
    normal = rng.normal(size=3)
    normal /= np.linalg.norm(normal)
    return crystal.replace(lattice=crystal.lattice @ (np.eye(3) - 2 * np.outer(normal, normal)))


def change_cell(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Other lattice vectors of the same lattice: whole-numbered change of determinant 1."""
    change = np.eye(3)
    pairs = list(permutations(range(3), 2))
    for place in rng.permutation(len(pairs))[:3]:
        i, j = pairs[place]
        change[i] += rng.choice([-1, 1]) * change[j]
    return crystal.replace(
        lattice=change @ crystal.lattice,
        frac_coords=crystal.frac_coords @ np.linalg.inv(change).round(),
    )


def double_cell(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Two cells side by side as one, along a random lattice vector."""
    axis = rng.integers(3)
    factors = np.ones(3)
    factors[axis] = 2.0
    first = crystal.frac_coords / factors
    step = np.zeros(3)
    step[axis] = 0.5
    return crystal.replace(
        lattice=crystal.lattice * factors[:, None],
        frac_coords=np.concatenate((first, first + step)),
        atomic_numbers=np.tile(crystal.atomic_numbers, 2),
    )


MOVES = (
    shift_origin,
    change_images,
    permute_atoms,
    rotate,
    reflect,
    change_cell,
    double_cell,
)


def _rotation(rng: np.random.Generator) -> np.ndarray:
    # QR of a normal matrix, signs fixed, is uniform over rotations and mirrors.
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))
