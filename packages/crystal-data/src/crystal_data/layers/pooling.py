"""Sums and means over the edges of atoms and over the atoms of crystals."""

from torch import Tensor

from crystal_data.graphs.folding import FoldedGraph


def mean_over_atoms(
    atoms: Tensor, batch: Tensor, num_atoms: Tensor, count: Tensor | None = None
) -> Tensor:
    """Mean over the atoms of each crystal, so that a supercell has the vector of its cell.

    Args:
        atoms: Shape ``[num_rows, width]``.
        batch: Crystal of each row; shape ``[num_rows]``.
        num_atoms: Atoms of each crystal; shape ``[num_crystals]``.
        count: Atoms that each row stands for, by default one; shape ``[num_rows]``.

    Returns:
        Shape ``[num_crystals, width]``.
    """
    return sum_over_atoms(atoms, batch, len(num_atoms), count) / num_atoms[:, None].to(atoms.dtype)


def sum_over_atoms(
    atoms: Tensor, batch: Tensor, num_crystals: int, count: Tensor | None = None
) -> Tensor:
    """Sum over the atoms of each crystal.

    Args:
        atoms: Shape ``[num_rows, width]``.
        batch: Crystal of each row; shape ``[num_rows]``.
        num_crystals: Number of crystals.
        count: Atoms that each row stands for, by default one; shape ``[num_rows]``.

    Returns:
        Shape ``[num_crystals, width]``.
    """
    if count is not None:
        atoms = atoms * count[:, None].to(atoms.dtype)
    return atoms.new_zeros(num_crystals, atoms.shape[1]).index_add(0, batch, atoms)


def sum_over_edges(edges: Tensor, graph: FoldedGraph) -> Tensor:
    """Sum over the edges of each atom; ``[num_edges, width]`` to ``[num_rows, width]``."""
    if graph.multiplicity is not None:
        edges = edges * graph.multiplicity[:, None].to(edges.dtype)
    total = edges.new_zeros(len(graph.batch), edges.shape[1])
    return total.index_add(0, graph.edge_index[1], edges)
