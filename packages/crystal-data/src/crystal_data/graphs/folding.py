"""A batch with its equal atoms, edges and angles folded together, so that each is computed once.

Symmetry makes most of a crystal a repetition: of the atoms of MP-20 every second is the image of
another, and of the edges to whole shells three of four. A network of invariant messages gives all
of them the same vectors, so one of each is enough, with the number that it stands for in sums,
means and batch statistics. Predictions and gradients stay the same but for rounding.
"""

from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from crystal_data.graphs.batch import CrystalBatch
from crystal_data.graphs.coloring import colors_by_angles, colors_by_edges
from crystal_data.graphs.geometry import edge_vectors
from crystal_data.graphs.line_graph import bond_cosines


class EquivalenceClasses(NamedTuple):
    """Members of equal color, a class each, numbered in the order of their first members."""

    of_member: Tensor  # int64 [num_members], the class of each
    first: Tensor  # int64 [num_classes], one member of each
    size: Tensor  # int64 [num_classes], members of each

    @classmethod
    def of(cls, color: Tensor) -> Self:
        """Groups members by color; int64 ``[num_members]``."""
        if torch.compiler.is_compiling():
            from crystal_data.graphs.uncompiled import uncompiled_classes_of

            return cls(*uncompiled_classes_of(color))
        return cls(*classes_of(color))

    def counts(self, dtype: torch.dtype) -> Tensor | None:
        """Members of each class; None where each is the only one."""
        return self.size.to(dtype) if len(self.first) < len(self.of_member) else None

    def joined(self, index: Tensor, between: Self) -> Tensor:
        """Classes of what the first members of ``between`` join by ``index``; int64 ``[2, n]``."""
        return self.of_member[index[:, between.first]]


def classes_of(color: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The values of :class:`EquivalenceClasses`."""
    ascending, order = color.sort(stable=True)
    is_new = F.pad(ascending[1:] != ascending[:-1], (1, 0), value=True)[: len(color)]
    start = is_new.nonzero()[:, 0]
    size = F.pad(start, (0, 1), value=len(color)).diff()
    # The sort is stable, so the first of a run is the first member.
    first, rank = order[start].sort()
    number = rank.argsort()
    of_member = torch.empty_like(order).scatter_(0, order, number[is_new.cumsum(0) - 1])
    return of_member, first, size[rank]


class FoldedGraph(NamedTuple):
    """A batch as a network sees it: a graph whose atoms, edges and angles have counts.

    To a network it is a graph like any other. It sums over the edges of an atom by
    ``multiplicity``, takes means over atoms by ``atom_counts``, and gives its norms the counts.
    Counts are None where each stands for itself. Atoms lie end to end, crystal after crystal.
    """

    lattice: Tensor  # [num_crystals, 3, 3], Å
    num_atoms: Tensor  # int64 [num_crystals], all atoms, folded or not
    frac_coords: Tensor  # [num_rows, 3], of one atom of each class
    atomic_numbers: Tensor  # int64 [num_rows]
    batch: Tensor  # int64 [num_rows], the crystal of each
    atom_counts: Tensor | None  # [num_rows], atoms that each stands for

    edge_index: Tensor  # int64 [2, num_edges], row 0 neighbor, row 1 centre
    edge_length: Tensor  # [num_edges], Å
    edge_counts: Tensor | None  # [num_edges], edges that each stands for
    multiplicity: Tensor | None  # [num_edges], such edges of one atom; None for 1

    line_graph_index: Tensor  # int64 [2, num_angles], pairs of edges u → v, v → w
    cosine: Tensor  # [num_angles]
    angle_counts: Tensor | None  # [num_angles], angles that each stands for
    angle_multiplicity: Tensor | None  # [num_angles], such angles of one edge; None for 1

    row_of_atom: Tensor | None  # int64 [total atoms], where each was folded to; None if nowhere

    @property
    def num_crystals(self) -> int:
        """Number of crystals."""
        return len(self.num_atoms)

    @property
    def degree(self) -> Tensor:
        """Edges of one atom; shape ``[num_rows]``."""
        center, count = self.edge_index[1], self.multiplicity
        if count is None:
            count = torch.ones_like(self.edge_length)
        return count.new_zeros(len(self.batch)).index_add(0, center, count)

    def cart_coords(self) -> Tensor:
        """Cartesian positions as they are stored; shape ``[num_rows, 3]``, Å."""
        return torch.einsum("ai,aij->aj", self.frac_coords, self.lattice[self.batch])

    def unfold(self, values: Tensor) -> Tensor:
        """From ``[num_rows, ...]`` to all atoms of the batch in its order, ``[total, ...]``."""
        return values if self.row_of_atom is None else values.index_select(0, self.row_of_atom)


def fold(batch: CrystalBatch, num_layers: int | None, *, with_angles: bool = False) -> FoldedGraph:
    """Folds what a network cannot tell apart; where gradients of geometry are asked for, nothing.

    Args:
        batch: Crystals whose atoms differ by nothing but element, edges and angles.
        num_layers: How often the network passes messages along edges; None folds nothing.
        with_angles: Whether the network sees the angles of the batch's line graph.

    Raises:
        InvalidArgumentError: If the batch lacks edges or a line graph that are needed.
    """
    graph = _as_it_is(batch, with_angles)
    if num_layers is None or graph.edge_length.requires_grad or graph.cosine.requires_grad:
        return graph
    batch.edges()
    colored = graph.atomic_numbers, graph.batch, graph.edge_index, graph.edge_length
    if not with_angles:
        atom, edge = colors_by_edges(*colored, num_layers)
        return _folded(graph, EquivalenceClasses.of(atom), EquivalenceClasses.of(edge))
    angles = graph.line_graph_index, graph.cosine
    colors = colors_by_angles(*colored, *angles, num_layers)
    atom_class, edge_class, angle_class = map(EquivalenceClasses.of, colors)
    return _with_angles_folded(
        _folded(graph, atom_class, edge_class), graph, edge_class, angle_class
    )


def _as_it_is(batch: CrystalBatch, with_angles: bool) -> FoldedGraph:
    """Every atom, edge and angle stands for itself."""
    no_pairs = batch.batch.new_zeros(2, 0)
    edge_index, edge_length = no_pairs, batch.lattice.new_zeros(0)
    if batch.edge_index is not None:
        edge_index, _, edge_length = batch.edges()
    line_graph_index, cosine = no_pairs, edge_length.new_zeros(0)
    if with_angles:
        line_graph_index, shift = batch.line_graph(), batch.edges().edge_shift
        vectors = edge_vectors(batch.lattice, batch.frac_coords, edge_index, shift, batch.batch)
        cosine = bond_cosines(vectors, line_graph_index)
    return FoldedGraph(
        lattice=batch.lattice,
        num_atoms=batch.num_atoms,
        frac_coords=batch.frac_coords,
        atomic_numbers=batch.atomic_numbers,
        batch=batch.batch,
        atom_counts=None,
        edge_index=edge_index,
        edge_length=edge_length,
        edge_counts=None,
        multiplicity=None,
        line_graph_index=line_graph_index,
        cosine=cosine,
        angle_counts=None,
        angle_multiplicity=None,
        row_of_atom=None,
    )


def _folded(graph: FoldedGraph, atom: EquivalenceClasses, edge: EquivalenceClasses) -> FoldedGraph:
    """Atoms and edges, one of each class; the classes of edges determine those of their ends."""
    dtype = graph.edge_length.dtype
    edge_index = atom.joined(graph.edge_index, edge)
    atom_counts, edge_counts = atom.counts(dtype), edge.counts(dtype)
    return graph._replace(
        frac_coords=graph.frac_coords[atom.first],
        atomic_numbers=graph.atomic_numbers[atom.first],
        batch=graph.batch[atom.first],
        atom_counts=atom_counts,
        edge_index=edge_index,
        edge_length=graph.edge_length[edge.first],
        edge_counts=edge_counts,
        multiplicity=_multiplicity(edge_counts, atom_counts, edge_index[1]),
        row_of_atom=None if atom_counts is None else atom.of_member,
    )


def _with_angles_folded(
    folded: FoldedGraph, graph: FoldedGraph, edge: EquivalenceClasses, angle: EquivalenceClasses
) -> FoldedGraph:
    line_graph_index = edge.joined(graph.line_graph_index, angle)
    counts = angle.counts(graph.edge_length.dtype)
    return folded._replace(
        line_graph_index=line_graph_index,
        cosine=graph.cosine[angle.first],
        angle_counts=counts,
        angle_multiplicity=_multiplicity(counts, folded.edge_counts, line_graph_index[1]),
    )


def _multiplicity(
    counts: Tensor | None, node_counts: Tensor | None, center: Tensor
) -> Tensor | None:
    """How many such edges come to one node, from how many edges and nodes each stands for."""
    if node_counts is None:
        return counts
    per_node = node_counts[center]
    # Nodes may be alike whose edges are not: of one such edge each node has a part.
    return per_node.reciprocal() if counts is None else counts / per_node
