"""Crystals end to end in reduced cells, in which few periodic images lie within a radius."""

from typing import NamedTuple

import torch
from torch import Tensor

from crystal_data.graphs.periodic_images import plane_spacings, reduce_cells, times_matrix


class Cells(NamedTuple):
    """What the search for neighbors needs of a batch."""

    lattice: Tensor  # [num_crystals, 3, 3], Å
    change: Tensor | None  # [num_crystals, 3, 3], reduced = change @ given; None: as given
    frac_coords: Tensor  # [num_atoms, 3]
    spacings: Tensor  # [num_crystals, 3], Å
    num_atoms: Tensor  # int64 [num_crystals]
    first_atom: Tensor  # int64 [num_crystals]
    batch: Tensor  # int64 [num_atoms], crystal of each atom


def reduced_cells(lattice: Tensor, frac_coords: Tensor, num_atoms: Tensor) -> Cells:
    """Other cells of the same crystals, where theirs are strongly skewed.

    Args:
        lattice: Rows are a, b, c; shape ``[num_crystals, 3, 3]``, Å.
        frac_coords: Any image; shape ``[num_atoms, 3]``, dimensionless.
        num_atoms: Atoms of each crystal; int64 ``[num_crystals]``.
    """
    batch = torch.repeat_interleave(num_atoms)
    change = None
    if (reduction := reduce_cells(lattice)) is not None:
        lattice, change = reduction.lattice, reduction.change
        frac_coords = times_matrix(frac_coords, reduction.inverse, batch)
    first_atom = num_atoms.cumsum(0) - num_atoms
    spacings = plane_spacings(lattice)
    return Cells(lattice, change, frac_coords, spacings, num_atoms, first_atom, batch)
