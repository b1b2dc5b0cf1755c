"""Coulomb energy of a periodic arrangement of point charges."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

COULOMB = 14.399645  # e²/(4πε₀), eV Å (CODATA 2018)

_ACCURACY = 1e-9  # terms left out are below this share of the largest kept


def ewald_energy(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], charges: NDArray[np.float64]
) -> float:
    """Electrostatic energy of one cell.

    Args:
        lattice: Rows are a, b, c; shape ``[3, 3]``, Å.
        frac_coords: Shape ``[num_atoms, 3]``, dimensionless.
        charges: Shape ``[num_atoms]``, elementary charges.

    Returns:
        Energy of the cell, eV.

    Raises:
        ValueError: If the cell carries a net charge, whose energy diverges.

    Source:
        P. P. Ewald, Ann. Phys. 369, 253 (1921); the width balances both sums as in
        N. Karasawa and W. A. Goddard, J. Phys. Chem. 93, 7320 (1989).
    """
    if abs(charges.sum()) > 1e-8:
        raise ValueError(f"the cell carries a net charge of {charges.sum():+.3g} e, not 0")
    from scipy.special import erfc

    volume = abs(np.linalg.det(lattice))
    width = np.sqrt(np.pi) * (len(charges) / volume**2) ** (1 / 6)  # 1/Å
    reach = np.sqrt(-np.log(_ACCURACY))

    distance = image_distances(lattice, frac_coords, reach / width)
    products = np.outer(charges, charges)
    real = 0.5 * np.sum(
        products * np.where(np.isinf(distance), 0.0, erfc(width * distance) / distance)
    )

    reciprocal_lattice = np.asarray(2 * np.pi * np.linalg.inv(lattice).T, dtype=np.float64)
    wave_vectors = _grid(reciprocal_lattice, 2 * width * reach) @ reciprocal_lattice
    square = np.einsum("ki,ki->k", wave_vectors, wave_vectors)
    wave_vectors, square = wave_vectors[square > 1e-12], square[square > 1e-12]
    phase = wave_vectors @ (frac_coords @ lattice).T
    amplitude = (np.cos(phase) @ charges) ** 2 + (np.sin(phase) @ charges) ** 2
    damping = np.exp(-square / (4 * width**2)) / square
    reciprocal = 2 * np.pi / volume * np.sum(damping * amplitude)

    self_energy = width / np.sqrt(np.pi) * np.sum(charges**2)
    return float(COULOMB * (real + reciprocal - self_energy))


def image_distances(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], cutoff: float
) -> NDArray[np.float64]:
    """Distances from every atom to the images of every atom.

    Args:
        lattice: Rows are a, b, c; shape ``[3, 3]``, Å.
        frac_coords: Shape ``[num_atoms, 3]``, dimensionless.
        cutoff: All pairs up to this are there, and some beyond it; Å.

    Returns:
        Shape ``[num_images, num_atoms, num_atoms]``, Å; infinite from an atom to itself.
    """
    wrapped = frac_coords - np.floor(frac_coords)
    shifts = _grid(lattice, cutoff + np.linalg.norm(lattice, axis=1).sum())
    delta = (wrapped[None, :, :] - wrapped[:, None, :]) @ lattice
    images = shifts @ lattice
    near = np.linalg.norm(images, axis=1) <= cutoff + np.linalg.norm(delta, axis=-1).max()
    vectors = images[near][:, None, None, :] + delta[None]
    distance = np.sqrt(np.einsum("sijk,sijk->sij", vectors, vectors))
    distance[distance < 1e-9] = np.inf
    return distance


def _grid(lattice: NDArray[np.float64], radius: float) -> NDArray[np.int64]:
    """Whole-number steps whose lattice points fill a sphere; shape ``[num_points, 3]``."""
    spacing = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    return _box(*(int(n) for n in np.floor(radius / spacing)))


@lru_cache(maxsize=256)
def _box(n_a: int, n_b: int, n_c: int) -> NDArray[np.int64]:
    axes = (np.arange(-n, n + 1) for n in (n_a, n_b, n_c))
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
