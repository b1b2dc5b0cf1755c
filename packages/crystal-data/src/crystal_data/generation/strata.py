"""Groups of references by how much there is to find: free coordinates and atoms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.symmetry import SymmetricCrystal, SymmetryError

# First of each range; the last has no end.
_FREE_PARAMETERS = (0, 1, 3, 7)
_NUM_ATOMS = (1, 5, 11, 21)


@dataclass(frozen=True, slots=True)
class ReferenceSymmetry:
    """Both None where no symmetry was found.

    Args:
        space_group_number: 1 to 230.
        free_parameters: Coordinates that the group leaves free, of all orbits.
    """

    space_group_number: int | None
    free_parameters: int | None


def reference_symmetry(crystal: Crystal, symprec: float) -> ReferenceSymmetry:
    """Space group and number of free coordinates.

    Args:
        crystal: Any cell of it.
        symprec: Å.
    """
    try:
        symmetric = SymmetricCrystal.from_crystal(crystal, symprec)
    except SymmetryError:
        return ReferenceSymmetry(None, None)
    free = sum(position.num_free for position in symmetric.positions)
    return ReferenceSymmetry(symmetric.space_group_number, free)


def strata_of(
    references: Sequence[Crystal], symmetry: Sequence[ReferenceSymmetry]
) -> dict[str, NDArray[np.bool_]]:
    """Name of each stratum that is not empty → whether each reference is in it."""
    free = [-1 if each.free_parameters is None else each.free_parameters for each in symmetry]
    strata = {
        **_ranges("free_parameters", np.array(free), _FREE_PARAMETERS),
        "free_parameters=unknown": np.array(free) < 0,
        **_ranges("num_atoms", np.array([each.num_atoms for each in references]), _NUM_ATOMS),
    }
    return {name: inside for name, inside in strata.items() if inside.any()}


def _ranges(
    name: str, values: NDArray[np.int64], starts: Sequence[int]
) -> dict[str, NDArray[np.bool_]]:
    strata = {}
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        if following is None:
            strata[f"{name}={start}+"] = values >= start
        else:
            label = str(start) if following == start + 1 else f"{start}-{following - 1}"
            strata[f"{name}={label}"] = (values >= start) & (values < following)
    return strata
