"""Vectors along edges, differentiable with respect to cells and positions."""

import torch
from torch import Tensor


def edge_vectors(
    lattice: Tensor, frac_coords: Tensor, edge_index: Tensor, edge_shift: Tensor, batch: Tensor
) -> Tensor:
    """Displacement from each central atom to its neighbor, through the periodic image.

    Args:
        lattice: Rows are a, b, c; shape ``[num_crystals, 3, 3]``, Å.
        frac_coords: The images that the edges were found for; ``[num_atoms, 3]``, dimensionless.
        edge_index: Row 0 neighbor, row 1 centre; int64 ``[2, num_edges]``.
        edge_shift: Cell offset of the neighbor; shape ``[num_edges, 3]``, whole numbers.
        batch: Crystal of each atom; int64 ``[num_atoms]``.

    Returns:
        ``cart[neighbor] + edge_shift @ lattice - cart[centre]``; shape ``[num_edges, 3]``, Å.

    Raises:
        ValueError: If an edge joins atoms of two crystals.

    Source:
        Quantities "D" and "S" of ``ase.neighborlist.neighbor_list``.
    """
    neighbor, centre = edge_index
    crystal = batch[centre]
    if not torch.equal(batch[neighbor], crystal):
        raise ValueError("an edge joins atoms of two crystals")
    difference = frac_coords[neighbor] - frac_coords[centre] + edge_shift
    return torch.einsum("ei,eij->ej", difference, lattice[crystal])
