"""Distances between atoms as a vector: alike for crystals that are alike, whatever their cell."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystal_data.symmetry import SymmetricCrystal

Array = NDArray[np.float64]

_CUTOFF = 2.2  # in units of (volume / atoms)^(1/3), as all distances here
_NUM_BINS = 44
_SMEARING = 0.08
_SAME_ATOM = 1e-6


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What distances say of a crystal.

    Args:
        vector: Of length 1: a smeared histogram for each pair of elements; the product of those of
            two crystals of one composition is 1 where all distances are equal. ``[num_values]``.
        contact: Smallest distance between two atoms, by the sum of their radii.
    """

    vector: Array
    contact: float


def fingerprint(crystal: SymmetricCrystal, radii: Array) -> Fingerprint:
    """The fingerprint of a crystal.

    The distances are those from one atom of each orbit to all atoms within 2.2 (V/N)^(1/3), so that
    the size of the crystal does not matter; each counts with its inverse square.

    Args:
        crystal: Whose orbits are known.
        radii: Of elements by atomic number, Å; ``[119]``.
    """
    atoms = crystal.to_crystal()
    unit = (atoms.volume / atoms.num_atoms) ** (1 / 3)
    cell = atoms.lattice / unit
    # An atom's nearest image is at most half a cell away along each axis.
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = np.ceil(_CUTOFF / heights + 0.5).astype(int)
    shifts = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach)), -1).reshape(-1, 3)
    delta = atoms.frac_coords - crystal.frac_coords[:, None]
    delta -= np.rint(delta)
    vectors = (delta[:, :, None] + shifts) @ cell
    distances = np.sqrt((vectors**2).sum(-1))
    orbit, atom, image = np.nonzero((distances < _CUTOFF) & (distances > _SAME_ATOM))
    near = distances[orbit, atom, image]

    numbers, kinds = np.unique(crystal.atomic_numbers, return_inverse=True)
    kind_of_atom = np.searchsorted(numbers, atoms.atomic_numbers)
    first, second = kinds[orbit], kind_of_atom[atom]
    pair = np.minimum(first, second) * len(numbers) + np.maximum(first, second)
    sizes = np.array([position.multiplicity for position in crystal.positions])
    weights = (sizes / sizes.sum())[orbit] / near**2
    places = pair * _NUM_BINS + np.minimum(near / _CUTOFF * _NUM_BINS, _NUM_BINS - 1).astype(int)
    counts = np.bincount(places, weights, minlength=len(numbers) ** 2 * _NUM_BINS)
    vector = (counts.reshape(-1, _NUM_BINS) @ _smearing()).ravel()
    length = float(np.linalg.norm(vector))
    touching = radii[crystal.atomic_numbers[orbit]] + radii[atoms.atomic_numbers[atom]]
    return Fingerprint(
        vector=vector / length if length else vector,
        contact=float((near * unit / touching).min()) if len(near) else np.inf,
    )


@lru_cache(maxsize=1)
def _smearing() -> Array:
    """Spreads what is in one bin over those around it; ``[num_bins, num_bins]``."""
    centers = (np.arange(_NUM_BINS) + 0.5) * _CUTOFF / _NUM_BINS
    spread: Array = np.exp(-((centers[:, None] - centers) ** 2) / (2 * _SMEARING**2))
    return spread
