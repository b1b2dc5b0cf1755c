"""Cells and positions that a model moves, and what of them does not depend on their description.

All of it in the precision of the positions, under autocast too.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from crystal_data.graphs import CrystalBatch, edge_vectors

# Å. Atoms of a crystal are further apart, but a layer may bring them together: from here on their
# direction fades, so that no message and no gradient grows without bound.
_SHORTEST = 0.5


class Geometry(NamedTuple):
    """Where a model has moved cells and atoms to.

    Args:
        strain: Symmetric logarithmic strain of the starts' cells so far; ``[num_crystals, 3, 3]``.
        frac_coords: In the strained cells, images as in the starts; ``[num_atoms, 3]``.
    """

    strain: Tensor
    frac_coords: Tensor


def strained(lattice: Tensor, strain: Tensor) -> Tensor:
    """Lattices under a logarithmic strain; ``[num_crystals, 3, 3]``, Å.

    All lattice vectors are moved by one tensor: the only way that does not depend on which
    vectors describe the lattice.
    """
    with _full_precision(lattice):
        return lattice @ torch.matrix_exp(strain.to(lattice))


def displacements(start: CrystalBatch, geometry: Geometry) -> Tensor:
    """Motion of each atom beside the strain, of mean zero; ``[num_atoms, 3]``, Å."""
    lattice = strained(start.lattice, geometry.strain)
    moved = to_cartesian(geometry.frac_coords - start.frac_coords, lattice, start.batch)
    return moved - mean_of_crystals(moved, start)[start.batch]


def to_cartesian(frac: Tensor, lattice: Tensor, batch: Tensor) -> Tensor:
    """Fractional differences in Å; ``[num_atoms, 3]``."""
    with _full_precision(lattice):
        return torch.einsum("ni,nij->nj", frac.to(lattice), lattice[batch])


def to_fractional(cart: Tensor, lattice: Tensor, batch: Tensor) -> Tensor:
    """Differences in Å along the lattice vectors; ``[num_atoms, 3]``."""
    with _full_precision(lattice):
        return torch.einsum("ni,nij->nj", cart.to(lattice), torch.linalg.inv(lattice)[batch])


def mean_of_crystals(values: Tensor, batch: CrystalBatch) -> Tensor:
    """Mean over the atoms of each crystal; ``[num_crystals, …]``."""
    total = values.new_zeros((batch.num_crystals, *values.shape[1:]))
    total.index_add_(0, batch.batch, values)
    counts = batch.num_atoms.to(values.dtype).clamp(min=1)
    return total / counts.view(-1, *(1 for _ in values.shape[1:]))


def current_edges(batch: CrystalBatch, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Directions and lengths of the starts' edges in the present geometry.

    Returns:
        Unit vectors from centre to neighbor ``[num_edges, 3]``, shorter for atoms closer than
        0.5 Å, and lengths ``[num_edges]`` in Å, at least 0.5.
    """
    edges = batch.edges("GraphRelaxer")
    lattice = strained(batch.lattice, geometry.strain)
    with _full_precision(lattice):
        vectors = edge_vectors(
            lattice, geometry.frac_coords, edges.edge_index, edges.edge_shift, batch.batch
        )
    lengths = vectors.norm(dim=1).clamp(min=_SHORTEST)
    return vectors / lengths[:, None], lengths


def _full_precision(values: Tensor) -> torch.autocast:
    return torch.autocast(values.device.type, enabled=False)
