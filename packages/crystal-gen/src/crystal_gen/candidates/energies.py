"""What a potential says of the candidates of a pool."""

import numpy as np
from numpy.typing import NDArray

from crystal_data.trajectories import energies_of
from crystal_gen.candidates.pool import Pool, primitive

Array = NDArray[np.float64]

_HALF_AT = 0.02  # eV/atom above the lowest; what potentials of this kind can tell apart


def pool_energies(pool: Pool, potential: str) -> Array:
    """Energies of the candidates as they stand; ``[num_candidates]``, eV/atom.

    NaN where the potential fails.

    Args:
        pool: Of one composition.
        potential: Its name: ``chgnet``, ``sevenn``, ``emt``.

    Raises:
        InvalidArgumentError: If there is no potential of this name.
        SourceError: If it is not installed.
    """
    return energies_of([primitive(each) for each in pool.candidates], potential)


def energy_penalties(energies: Array) -> Array:
    """What energies say against candidates: 0 for the lowest of a pool, 1 far above it.

    Candidates stand a little beside their minima, by how much is chance; so what is far above the
    lowest is not told from what is farther.

    Args:
        energies: Of one pool; ``[num_candidates]``, eV/atom; NaN counts as far above.
    """
    above = _above_lowest(energies)
    penalties: Array = np.nan_to_num(above / (above + _HALF_AT), nan=1.0)
    return penalties


def energy_notes(energies: Array) -> list[str]:
    """What is added to the sentence about each candidate."""
    return [
        "; the potential gives no energy"
        if np.isnan(above)
        else f"; energy {above:.3f} eV/atom above the lowest"
        for above in _above_lowest(energies).tolist()
    ]


def _above_lowest(energies: Array) -> Array:
    known = np.isfinite(energies)
    return energies - energies[known].min() if known.any() else energies
