"""A batch as the layers see it: edges with lengths, frames and features."""

from typing import NamedTuple

import torch
from torch import Tensor

from crystal_data import CrystalBatch
from crystal_data.graphs import edge_vectors


class EdgeGraph(NamedTuple):
    """Edges of all crystals of a batch."""

    num_atoms: int
    edge_index: Tensor  # int64 [2, num_edges], row 0 neighbor, row 1 center
    frames: Tensor  # [num_edges, num_along_edges, num_at_atoms]
    features: Tensor  # [num_edges, edge_width], the same in every orientation
    envelope: Tensor  # [num_edges], zero at the cutoff

    @property
    def neighbor(self) -> Tensor:
        """Atom that each edge comes from."""
        return self.edge_index[0]

    @property
    def center(self) -> Tensor:
        """Atom that each edge goes to."""
        return self.edge_index[1]

    def sum_at_centers(self, values: Tensor) -> Tensor:
        """Sum over the edges of each atom; ``[num_edges, ...]`` to ``[num_atoms, ...]``."""
        total = values.new_zeros(self.num_atoms, *values.shape[1:])
        return total.index_add(0, self.center, values)


def lengths_and_directions(batch: CrystalBatch, model: str) -> tuple[Tensor, Tensor, Tensor]:
    """Edges of a batch as vectors, from positions, so that gradients reach these.

    Args:
        batch: With edges.
        model: What needs them, for the message.

    Returns:
        ``edge_index``; lengths ``[num_edges]``, Å; unit vectors from center to neighbor
        ``[num_edges, 3]``.

    Raises:
        InvalidArgumentError: If the batch has no edges.
    """
    edge_index, edge_shift, _ = batch.edges(model)
    vectors = edge_vectors(
        batch.lattice, batch.frac_coords, edge_index, edge_shift.to(batch.lattice), batch.batch
    )
    length = torch.linalg.vector_norm(vectors, dim=1)
    # Noise may bring two atoms together, which have no direction then.
    return edge_index, length, vectors / length.clamp(min=1e-6)[:, None]
