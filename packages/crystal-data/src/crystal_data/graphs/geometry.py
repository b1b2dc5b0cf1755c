"""Vectors along edges, and vectors through the nearest image."""

import torch
from torch import Tensor

from crystal_data.graphs.periodic_images import reduce_cells


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


def nearest_images(vectors: Tensor, lattice: Tensor, batch: Tensor) -> Tensor:
    """The shortest of each vector plus any lattice vector.

    Args:
        vectors: Cartesian; shape ``[num_atoms, 3]``, Å.
        lattice: Rows are a, b, c; shape ``[num_crystals, 3, 3]``, Å.
        batch: Crystal of each vector; int64 ``[num_atoms]``.

    Returns:
        Shape ``[num_atoms, 3]``, Å.
    """
    reduction = reduce_cells(lattice.double())
    cells = lattice.double() if reduction is None else reduction.lattice
    into_cell = torch.linalg.inv(cells)[batch]
    frac = torch.einsum("ni,nij->nj", vectors.double(), into_cell)
    step = torch.arange(-1, 2, device=lattice.device, dtype=torch.float64)
    images = (frac - frac.round())[:, None] + torch.cartesian_prod(step, step, step)
    cart = torch.einsum("nsi,nij->nsj", images, cells[batch])
    nearest = cart.square().sum(2).argmin(1)
    return cart[torch.arange(len(cart), device=cart.device), nearest].to(vectors)
