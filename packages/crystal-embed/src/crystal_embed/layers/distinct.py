"""The atoms, edges and angles of a batch that a network can tell apart, each once.

Symmetry makes most of a crystal a repetition: of the atoms of MP-20 every second is the image of
another, and of the edges to whole shells three of four. A network of invariant messages gives all
of them the same vectors, so one of each is enough, with the number that it stands for in sums,
means and batch statistics. Which these are is found by what the network itself sees: colors of
atoms are refined by the colors of their neighbors, as often as the network has layers (Weisfeiler
and Leman, 1968). Two atoms of one color have the same vector behind every layer; no space group
needs to be known, and nothing has to be symmetric.
"""

from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from crystal_data import CrystalBatch

_TOLERANCE = 1e-5  # Å of lengths and of cosines: some roundings of float32 coordinates
_ODD = (0x5851F42D4C957F2D, 0x2545F4914F6CDD1D)  # multipliers that spread bits; any odd ones do


class Kinds(NamedTuple):
    """Members of equal color, numbered in the order of their first members."""

    kind: Tensor  # int64 [num_members], the kind of each
    first: Tensor  # int64 [num_kinds], one member of each
    size: Tensor  # int64 [num_kinds], members of each

    @classmethod
    def of(cls, color: Tensor) -> Self:
        """Groups members by color; int64 ``[num_members]``."""
        if torch.compiler.is_compiling():
            from crystal_embed.layers.uncompiled import uncompiled_kinds_of

            return cls(*uncompiled_kinds_of(color))
        return cls(*kinds_of(color))

    @property
    def counts(self) -> Tensor | None:
        """Members of each kind; None where each is the only one."""
        return self.size if len(self.first) < len(self.kind) else None

    @classmethod
    def all_of(cls, members: Tensor) -> Self:
        """Every member as one of its own kind; ``[num_members, ...]``."""
        each = torch.arange(len(members), device=members.device)
        return cls(each, each, torch.ones_like(each))


class DistinctGraph(NamedTuple):
    """Atoms and edges that a network of some number of layers can tell apart."""

    atom: Kinds
    edge: Kinds
    crystal: Tensor  # int64 [atom kinds], the crystal of each
    neighbor: Tensor  # int64 [edge kinds], a kind of atom
    center: Tensor  # int64 [edge kinds], a kind of atom
    edge_length: Tensor  # [edge kinds], Å
    num_atoms: Tensor  # [atom kinds], atoms that each stands for
    num_edges: Tensor  # [edge kinds], edges that each stands for
    multiplicity: Tensor  # [edge kinds], such edges of an atom of the kind ``center``

    @classmethod
    def of(
        cls, batch: CrystalBatch, edge_index: Tensor, edge_length: Tensor, num_layers: int
    ) -> Self:
        """Finds them; where gradients of lengths are asked for, all are distinct.

        Args:
            batch: Crystals whose atoms differ by nothing but element and edges.
            edge_index: Row 0 neighbor, row 1 centre; int64 ``[2, num_edges]``.
            edge_length: Shape ``[num_edges]``, Å.
            num_layers: How often the network passes messages along edges.
        """
        if edge_length.requires_grad:
            return cls.all_of(batch, edge_index, edge_length)
        neighbor, center = edge_index
        length = like_values(edge_length, batch.batch[center])
        factor = mixed(length) | 1
        atom = first_colors(batch)
        for _ in range(num_layers):
            atom = refined(atom, (atom[neighbor] + length) * factor, center)
        edge = joined(atom[center], atom[neighbor]) + length
        return cls.of_kinds(batch, edge_index, edge_length, Kinds.of(atom), Kinds.of(edge))

    @classmethod
    def all_of(cls, batch: CrystalBatch, edge_index: Tensor, edge_length: Tensor) -> Self:
        """Every atom and every edge as one of its own kind."""
        atom, edge = Kinds.all_of(batch.batch), Kinds.all_of(edge_length)
        return cls.of_kinds(batch, edge_index, edge_length, atom, edge)

    @classmethod
    def of_kinds(
        cls, batch: CrystalBatch, edge_index: Tensor, edge_length: Tensor, atom: Kinds, edge: Kinds
    ) -> Self:
        """The graph of given kinds, in which those of an edge say those of its ends."""
        neighbor, center = atom.kind[edge_index[:, edge.first]]
        num_atoms, num_edges = atom.size.to(edge_length.dtype), edge.size.to(edge_length.dtype)
        return cls(
            atom,
            edge,
            batch.batch[atom.first],
            neighbor,
            center,
            edge_length[edge.first],
            num_atoms,
            num_edges,
            num_edges / num_atoms[center],
        )


def kinds_of(color: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What ``Kinds`` holds, for members of these colors; int64 ``[num_members]``."""
    ascending, order = color.sort(stable=True)
    is_new = F.pad(ascending[1:] != ascending[:-1], (1, 0), value=True)[: len(color)]
    start = is_new.nonzero()[:, 0]
    size = F.pad(start, (0, 1), value=len(color)).diff()
    # The sort is stable, so the first of a run is the first member.
    first, rank = order[start].sort()
    number = rank.argsort()
    kind = torch.empty_like(order).scatter_(0, order, number[is_new.cumsum(0) - 1])
    return kind, first, size[rank]


def like_values(values: Tensor, crystal: Tensor) -> Tensor:
    """A color for each run of values of one crystal that differ by no more than roundings.

    Args:
        values: Shape ``[num_values]``, not negative.
        crystal: Crystal of each; int64 ``[num_values]``.
    """
    if len(values) == 0:
        return crystal
    values = values.double()
    ascending, order = (crystal * (values.max() + 1.0) + values).sort()
    is_new = F.pad(ascending.diff() > _TOLERANCE, (1, 0))
    return mixed(torch.empty_like(order).scatter_(0, order, is_new.cumsum(0)))


def first_colors(batch: CrystalBatch) -> Tensor:
    """Colors of atoms before any message: crystal and element; int64 ``[num_atoms]``."""
    return mixed(batch.batch * 2**8 + batch.atomic_numbers)


def refined(color: Tensor, message: Tensor, receiver: Tensor) -> Tensor:
    """New colors, by the old ones and by all messages that came in, in no order.

    Args:
        color: Of those who receive; int64 ``[num_receivers]``.
        message: Of a sender and the edge, such that a sum tells which came with which; int64
            ``[num_messages]``.
        receiver: Who receives each; int64 ``[num_messages]``.
    """
    # Integers wrap around, so that a sum is the same in every order.
    return mixed(color + torch.zeros_like(color).index_add_(0, receiver, message))


def joined(first: Tensor, second: Tensor) -> Tensor:
    """One color for pairs of colors, in this order."""
    return first * _ODD[0] + second


def mixed(color: Tensor) -> Tensor:
    """A hash of 64 bits: the same for the same, and as good as random between others."""
    color = color * _ODD[0] + 1
    color = (color ^ (color >> 32)) * _ODD[1]
    return color ^ (color >> 29)
