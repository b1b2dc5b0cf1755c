"""Lattices by themselves: the spacings of their planes, and their shortest vectors."""

from itertools import product
from math import hypot

import numpy as np
from numpy.typing import NDArray


def plane_spacings(lattice: NDArray[np.float64]) -> tuple[float, float, float]:
    """Distance between neighboring lattice planes along each axis, Å."""
    # Plain numbers: three cross products take NumPy five times as long.
    a, b, c = lattice.tolist()
    ab, bc, ca = _cross(a, b), _cross(b, c), _cross(c, a)
    volume = abs(a[0] * bc[0] + a[1] * bc[1] + a[2] * bc[2])
    return volume / hypot(*bc), volume / hypot(*ca), volume / hypot(*ab)


def reduced_lattice(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same lattice by short vectors (Minkowski's conditions in three dimensions).

    Args:
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.

    Returns:
        Rows that no whole combination of the others makes shorter; shape ``[3, 3]``, Å.
    """
    rows = np.array(lattice)
    signs = np.array(list(product((-1.0, 0.0, 1.0), repeat=2)))
    while True:
        rows = rows[np.argsort(np.einsum("ij,ij->i", rows, rows), kind="stable")]
        before = np.einsum("ij,ij->", rows, rows)
        rows[1] -= np.rint(rows[1] @ rows[0] / (rows[0] @ rows[0])) * rows[0]
        # The lattice point of the plane of the first two that is nearest to the third.
        nearest, *_ = np.linalg.lstsq(rows[:2].T, rows[2], rcond=None)
        candidates = rows[2] - (np.rint(nearest) + signs) @ rows[:2]
        rows[2] = candidates[np.einsum("ij,ij->i", candidates, candidates).argmin()]
        if np.einsum("ij,ij->", rows, rows) >= before * (1.0 - 1e-12):
            return rows


def _cross(u: list[float], v: list[float]) -> tuple[float, float, float]:
    return (
        u[1] * v[2] - u[2] * v[1],
        u[2] * v[0] - u[0] * v[2],
        u[0] * v[1] - u[1] * v[0],
    )
