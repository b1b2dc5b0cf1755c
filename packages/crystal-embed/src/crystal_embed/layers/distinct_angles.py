"""The atoms, bonds and angles of a batch that a network can tell apart, each once."""

from typing import NamedTuple, Self

from torch import Tensor

from crystal_data import CrystalBatch
from crystal_embed.layers.distinct import (
    Kinds,
    first_colors,
    joined,
    like_values,
    mixed,
    refined,
)
from crystal_embed.layers.edge_gated import GatedGraph
from crystal_embed.layers.rows import Rows


class DistinctLineGraph(NamedTuple):
    """As ``DistinctGraph``, where bonds learn from the angles that they have with others."""

    atom: Tensor  # int64 [atom kinds], an atom of each
    kind: Tensor  # int64 [num_atoms], the kind of each
    crystal: Tensor  # int64 [atom kinds], the crystal of each
    edge_length: Tensor  # [bond kinds], Å
    cosine: Tensor  # [angle kinds]
    atoms: GatedGraph  # bonds join atoms
    bonds: GatedGraph  # angles join bonds

    @classmethod
    def of(
        cls,
        batch: CrystalBatch,
        edge_index: Tensor,
        edge_length: Tensor,
        angle_index: Tensor,
        cosine: Tensor,
        num_layers: int,
    ) -> Self:
        """Finds them; where gradients of lengths or angles are asked for, all are distinct.

        Args:
            batch: Crystals whose atoms differ by nothing but element, edges and angles.
            edge_index: Row 0 neighbor, row 1 centre; int64 ``[2, num_edges]``.
            edge_length: Shape ``[num_edges]``, Å.
            angle_index: Pairs of edges u → v, v → w; int64 ``[2, num_angles]``.
            cosine: Of the angle of each pair; shape ``[num_angles]``.
            num_layers: How often the network passes messages along edges.
        """
        if edge_length.requires_grad or cosine.requires_grad:
            atoms, bonds, angles = map(Kinds.all_of, (batch.batch, edge_length, cosine))
        else:
            (neighbor, center), (first, second) = edge_index, angle_index
            crystal = batch.batch[center]
            atom, bond = first_colors(batch), like_values(edge_length, crystal)
            angle = like_values(1.0 + cosine, crystal[second])
            factor = mixed(angle) | 1
            for _ in range(num_layers):
                bond = mixed(joined(joined(atom[center], atom[neighbor]), bond))
                atom = refined(atom, bond, center)
                bond = refined(bond, (bond[first] + angle) * factor, second)
            bond = joined(joined(atom[center], atom[neighbor]), bond)
            angle = joined(bond[second], bond[first]) + angle
            atoms, bonds, angles = map(Kinds.of, (atom, bond, angle))
        return cls(
            atoms.first,
            atoms.kind,
            batch.batch[atoms.first],
            edge_length[bonds.first],
            cosine[angles.first],
            _joined(edge_index, atoms, bonds),
            _joined(angle_index, bonds, angles),
        )


def _joined(index: Tensor, nodes: Kinds, edges: Kinds) -> GatedGraph:
    neighbor, center = nodes.kind[index[:, edges.first]]
    num_kinds = len(nodes.first)
    return GatedGraph(
        Rows.of(neighbor, num_kinds), Rows.of(center, num_kinds), nodes.counts, edges.counts
    )
