"""Changes of description: each gives the same crystal, so no invariant prediction may change.

Each takes the fields of those properties that have to be changed with the crystal.
"""

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.field import Field, Per

Fields = Sequence[Field]


def shift_origin(crystal: Crystal, rng: np.random.Generator, fields: Fields = ()) -> Crystal:  # noqa: ARG001
    """All atoms moved by the same vector."""
    return crystal.replace(frac_coords=crystal.frac_coords + rng.uniform(-1, 1, 3))


def change_images(crystal: Crystal, rng: np.random.Generator, fields: Fields = ()) -> Crystal:  # noqa: ARG001
    """Each atom moved by whole cells, each by its own."""
    cells = rng.integers(-3, 4, crystal.frac_coords.shape)
    return crystal.replace(frac_coords=crystal.frac_coords + cells)


def permute_atoms(crystal: Crystal, rng: np.random.Generator, fields: Fields = ()) -> Crystal:
    """The atoms in another order; the first one always changes where there are two."""
    order = np.roll(rng.permutation(crystal.num_atoms), 1)
    if order[0] == 0:
        order = np.roll(order, 1)
    return crystal.replace(
        frac_coords=crystal.frac_coords[order],
        atomic_numbers=crystal.atomic_numbers[order],
        properties=_changed(crystal, fields, lambda _, values: values[order], per="atom"),
    )


def rotate(crystal: Crystal, rng: np.random.Generator, fields: Fields = ()) -> Crystal:
    """Cell and atoms turned together."""
    return turned(crystal, _rotation(rng).T, fields)


def reflect(crystal: Crystal, rng: np.random.Generator, fields: Fields = ()) -> Crystal:
    """Cell and atoms mirrored together, in a plane of random direction."""
    normal = rng.normal(size=3)
    normal /= np.linalg.norm(normal)
    return turned(crystal, np.eye(3) - 2 * np.outer(normal, normal), fields)


def turned(crystal: Crystal, matrix: NDArray[np.float64], fields: Fields = ()) -> Crystal:
    """Cell, atoms and properties turned or mirrored by an orthogonal matrix for column vectors."""
    return crystal.replace(
        lattice=crystal.lattice @ matrix.T,
        properties=_changed(crystal, fields, lambda field, values: field.turn(values, matrix)),
    )


def change_cell(crystal: Crystal, rng: np.random.Generator, fields: Fields = ()) -> Crystal:  # noqa: ARG001
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


def double_cell(crystal: Crystal, rng: np.random.Generator, fields: Fields = ()) -> Crystal:
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
        properties=_changed(
            crystal, fields, lambda _, values: np.concatenate((values, values)), per="atom"
        ),
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


def _changed(
    crystal: Crystal,
    fields: Fields,
    change: Callable[[Field, NDArray[np.float64]], NDArray[np.float64]],
    per: Per | None = None,
) -> dict[str, Any]:
    """Properties of a crystal, of which those of some fields are changed; others stay."""
    concerned = {field.name: field for field in fields if per in (None, field.per)}
    return {
        # A number where an array belongs is a missing value.
        name: change(concerned[name], np.asarray(value))
        if name in concerned and np.ndim(value)
        else value
        for name, value in crystal.properties.items()
    }
