"""What a relaxation changes in the numbers of a text: cell parameters, fractional coordinates."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal, lattice_from_parameters
from crystal_data.errors import InvalidArgumentError, InvalidCrystalError
from crystal_data.trajectories import Change, change_between, changed, oriented

Floats = NDArray[np.float64]


class TextChange(NamedTuple):
    """Differences between two crystals of the same axes, atoms, and images.

    Args:
        cell: Of a, b, c (Å), α, β, γ (degrees); ``[6]``.
        frac_coords: Of each site, of mean zero; ``[num_atoms, 3]``.
    """

    cell: Floats
    frac_coords: Floats


def text_change(start: Crystal, end: Crystal) -> TextChange:
    """What turns the numbers of one crystal into those of another, however that is described.

    Raises:
        InvalidArgumentError: If the atoms are others.
    """
    return numbers_of(start, change_between(start, end))


def numbers_of(start: Crystal, change: Change) -> TextChange:
    """A change as differences of the numbers of a text."""
    same = changed(start, change)
    cell = np.concatenate((same.lengths - start.lengths, same.angles - start.angles))
    return TextChange(cell, change.displacement @ np.linalg.inv(same.lattice))


def apply_text_change(start: Crystal, change: TextChange) -> Crystal | None:
    """The crystal after a change, laid as the start; None where no cell has these numbers."""
    lengths, angles = start.lengths + change.cell[:3], start.angles + change.cell[3:]
    # A negative length, or an angle beyond a half turn, would be read as another cell.
    if not ((lengths > 0).all() and (angles > 0).all() and (angles < 180).all()):
        return None
    try:
        lattice = lattice_from_parameters(lengths, angles)
        return Crystal(
            oriented(lattice, start.lattice),
            start.frac_coords + change.frac_coords,
            start.atomic_numbers,
            start.identifier,
        )
    except (InvalidArgumentError, InvalidCrystalError, np.linalg.LinAlgError):
        return None
