"""The edge-gated graph convolution, for atoms and bonds or for bonds and angles."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from crystal_embed.layers.norm import BatchNorm

_LEAST_GATE = 1e-6  # of a sum of gates, as in the public code: a node without edges keeps its own


class EdgeGatedConv(nn.Module):
    """Updates nodes by gated messages, and edges by what opened the gates.

    With nodes h, edges e, and for each node i its neighbours j::

        m_ij = W_s h_j + W_d h_i + W_e e_ij         g_ij = sigmoid(m_ij)
        h_i <- h_i + silu(norm(W_u h_i + sum_j g_ij * (W_v h_j) / (sum_j g_ij + 1e-6)))
        e_ij <- e_ij + silu(norm(m_ij))

    Args:
        width: Length of a node's and of an edge's vector.
        updates_edges: False where nothing reads the edges any more, which saves their norm.

    Source:
        Choudhary and DeCost, npj Comput. Mater. 7, 185 (2021), equations 3 to 5; Bresson and
        Laurent, arXiv:1711.07553. One bias of m is enough, where the public code has three.
    """

    def __init__(self, width: int, *, updates_edges: bool = True) -> None:
        super().__init__()
        self.center_gate = nn.Linear(width, width)
        self.neighbor_gate = nn.Linear(width, width, bias=False)
        self.edge_gate = nn.Linear(width, width, bias=False)
        self.center_update = nn.Linear(width, width)
        self.neighbor_update = nn.Linear(width, width)
        self.node_norm = BatchNorm(width)
        self.edge_norm = BatchNorm(width) if updates_edges else None

    @override
    def forward(
        self, nodes: Tensor, edges: Tensor, edge_index: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Updates nodes and edges.

        Args:
            nodes: Shape ``[num_nodes, width]``.
            edges: Shape ``[num_edges, width]``.
            edge_index: Row 0 neighbour, row 1 centre; int64 ``[2, num_edges]``.

        Returns:
            Nodes and edges of the same shapes; None for edges if they are not updated.
        """
        neighbor, center = edge_index
        # In place: no step of this sum is needed again, and it is the largest value of the layer.
        opening = self.edge_gate(edges)
        opening.add_(self.center_gate(nodes).index_select(0, center))
        opening.add_(self.neighbor_gate(nodes).index_select(0, neighbor))
        gates = torch.sigmoid(opening)
        messages = gates * self.neighbor_update(nodes).index_select(0, neighbor)
        total = messages.new_zeros(nodes.shape).index_add(0, center, messages)
        weight = gates.new_zeros(nodes.shape).index_add(0, center, gates)
        update = self.center_update(nodes) + total / (weight + _LEAST_GATE)
        nodes = nodes + F.silu(self.node_norm(update))
        if self.edge_norm is None:
            return nodes, None
        return nodes, edges + F.silu(self.edge_norm(opening))
