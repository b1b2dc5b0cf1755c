"""The edge-gated graph convolution, for atoms and bonds or for bonds and angles."""

from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

from crystal_data.graphs import FoldedGraph
from crystal_data.processes import GlobalBatchNorm1d
from crystal_embed.layers.rows import Rows, look_up, sum_of_rows

_LEAST_GATE = 1e-6  # of a sum of gates, as in the public code: a node without edges keeps its own


class GatedGraph(NamedTuple):
    """What edges join: atoms, or bonds that meet, and how many each stands for (None for one)."""

    neighbor: Rows  # the node that each edge brings a message from
    center: Rows  # the node that each edge brings it to
    node_counts: Tensor | None  # [num_nodes]
    edge_counts: Tensor | None  # [num_edges]
    multiplicity: Tensor | None  # [num_edges], how many such edges come to one node

    @classmethod
    def of_atoms(cls, graph: FoldedGraph) -> Self:
        """Bonds between atoms."""
        neighbor, center = (Rows.of(row, len(graph.batch)) for row in graph.edge_index)
        return cls(neighbor, center, graph.atom_counts, graph.edge_counts, graph.multiplicity)

    @classmethod
    def of_bonds(cls, graph: FoldedGraph) -> Self:
        """Angles between bonds."""
        neighbor, center = (Rows.of(row, len(graph.edge_length)) for row in graph.line_graph_index)
        counts = graph.edge_counts, graph.angle_counts, graph.angle_multiplicity
        return cls(neighbor, center, *counts)


class EdgeGatedConv(nn.Module):
    """Updates nodes by gated messages, and edges by what opened the gates.

    With nodes h, edges e, and for each node i its neighbors j::

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
        self.node_norm = GlobalBatchNorm1d(width)
        self.edge_norm = GlobalBatchNorm1d(width) if updates_edges else None

    @override
    def forward(
        self, nodes: Tensor, edges: Tensor, graph: GatedGraph
    ) -> tuple[Tensor, Tensor | None]:
        """Updates nodes and edges.

        Args:
            nodes: Shape ``[num_nodes, width]``.
            edges: Shape ``[num_edges, width]``.
            graph: What the edges join, and how many each stands for.

        Returns:
            Both, updated; None for edges if they are not.
        """
        center, neighbor = graph.center, graph.neighbor
        opening = look_up((self.center_gate(nodes), center), (self.neighbor_gate(nodes), neighbor))
        # In place: this is the largest value of the layer, and the sum before is not needed.
        opening.addmm_(edges.to(opening.dtype), self.edge_gate.weight.T.to(opening.dtype))
        values = self.neighbor_update(nodes)
        messages = _GatedMean.apply(opening, values, graph.multiplicity, *neighbor, *center)
        update = self.node_norm(self.center_update(nodes) + messages, graph.node_counts)
        nodes = nodes + F.silu(update)
        if self.edge_norm is None:
            return nodes, None
        return nodes, F.silu(self.edge_norm(opening, graph.edge_counts)).add_(edges)


class _GatedMean(torch.autograd.Function):
    """Mean of the neighbors' messages, each feature weighed by how far its gate is open.

    Written out with its gradient so that of the values for each edge only the gates are kept, and
    each is read few times: memory, not arithmetic, takes the time.
    """

    @staticmethod
    def forward(
        ctx: Any, opening: Tensor, messages: Tensor, multiplicity: Tensor | None, *rows: Tensor
    ) -> Tensor:
        neighbor, center = Rows(*rows[:3]), Rows(*rows[3:])
        gates = torch.sigmoid(opening)
        times = None if multiplicity is None else multiplicity[:, None].to(gates.dtype)
        weight = center.total(gates if times is None else gates * times).add_(_LEAST_GATE)
        total = neighbor.take(messages).mul_(gates)
        mean = center.total(total if times is None else total.mul_(times)).div_(weight)
        ctx.save_for_backward(gates, messages, weight, mean, times, *rows)
        return mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gates, messages, weight, mean, times, *rows = ctx.saved_tensors
        neighbor, center = Rows(*rows[:3]), Rows(*rows[3:])
        share = center.take(gradients[0] / weight)
        if times is not None:
            share.mul_(times)
        of_gates = sum_of_rows((messages, -mean), (neighbor, center)).mul_(share)
        of_opening = torch.ops.aten.sigmoid_backward.grad_input(
            of_gates, gates, grad_input=of_gates
        )
        of_messages = neighbor.total(share.mul_(gates))
        return of_opening, of_messages, *[None] * 7
