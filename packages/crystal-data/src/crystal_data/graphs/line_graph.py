"""The graph of bonds: which edges meet in an atom, and the angle between them."""

import torch
from torch import Tensor


def line_graph_index(edge_index: Tensor, num_atoms: int) -> Tensor:
    """Pairs of edges that meet: the first ends at the atom where the second begins.

    An edge runs from its neighbor (row 0) to its centre (row 1), so a pair is u → v, v → w: the
    bond v → w learns from u → v. A bond and its own way back are a pair too (its angle is zero), as
    in the published model.

    Args:
        edge_index: Row 0 neighbor, row 1 centre; int64 ``[2, num_edges]``.
        num_atoms: Atoms that edges may name.

    Returns:
        ``line_graph_index``, row 0 the edge u → v, row 1 the edge v → w; int64 ``[2, num_angles]``,
        ordered by row 0, then row 1.

    Source:
        Choudhary and DeCost, npj Comput. Mater. 7, 185 (2021): the line graph of ALIGNN.
    """
    begins, ends = edge_index
    leaving = begins.argsort(stable=True)
    num_leaving = torch.bincount(begins, minlength=num_atoms)
    first_leaving = num_leaving.cumsum(0) - num_leaving
    per_edge = num_leaving[ends]
    first = torch.repeat_interleave(per_edge, output_size=int(per_edge.sum()))
    rank = torch.arange(len(first), device=first.device) - (per_edge.cumsum(0) - per_edge)[first]
    return torch.stack((first, leaving[first_leaving[ends[first]] + rank]))


def bond_cosines(edge_vec: Tensor, line_graph_index: Tensor) -> Tensor:
    """Cosine of the angle at the atom where two edges meet.

    Args:
        edge_vec: From centre to neighbor; shape ``[num_edges, 3]``, Å.
        line_graph_index: Pairs of edges u → v, v → w; int64 ``[2, num_angles]``.

    Returns:
        ``-r1 · r2 / (|r1| |r2|)``, 1 for a bond and its way back; shape ``[num_angles]``, within
        −1 and 1.
    """
    unit = torch.nn.functional.normalize(edge_vec, dim=1)
    first, second = unit[line_graph_index]
    return -(first * second).sum(dim=1).clamp(-1.0, 1.0)
