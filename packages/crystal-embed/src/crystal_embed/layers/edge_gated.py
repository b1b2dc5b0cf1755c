"""The edge-gated graph convolution, for atoms and bonds or for bonds and angles."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

from crystal_embed.layers.norm import BatchNorm
from crystal_embed.layers.rows import Rows, look_up, sum_of_rows

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
        self,
        nodes: Tensor,
        edges: Tensor,
        neighbor: Rows,
        center: Rows,
        kind: Rows | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Updates nodes and edges.

        Args:
            nodes: Shape ``[num_nodes, width]``.
            edges: Shape ``[num_edges, width]``, or ``[num_kinds, width]``.
            neighbor: The node that each edge brings a message from.
            center: The node that each edge brings it to.
            kind: The row of ``edges`` that each edge has, where many are alike; None for its own.

        Returns:
            Nodes and edges of shapes ``[num_nodes, width]`` and ``[num_edges, width]``; None for
            edges if they are not updated.
        """
        gates = [(self.center_gate(nodes), center), (self.neighbor_gate(nodes), neighbor)]
        if kind is None:
            opening = look_up(*gates)
            weight = self.edge_gate.weight.T.to(opening.dtype)
            # In place: this is the largest value of the layer, and the sum before is not needed.
            opening.addmm_(edges.to(opening.dtype), weight)
        else:
            opening = look_up(*gates, (self.edge_gate(edges), kind))
            edges = look_up((edges, kind))
        messages = _GatedMean.apply(opening, self.neighbor_update(nodes), *neighbor, *center)
        nodes = nodes + F.silu(self.node_norm(self.center_update(nodes) + messages))
        if self.edge_norm is None:
            return nodes, None
        return nodes, F.silu(self.edge_norm(opening)).add_(edges)


class _GatedMean(torch.autograd.Function):
    """Mean of the neighbours' messages, each feature weighed by how far its gate is open.

    Written out with its gradient so that of the values for each edge only the gates are kept, and
    each is read few times: memory, not arithmetic, takes the time.
    """

    @staticmethod
    def forward(ctx: Any, opening: Tensor, messages: Tensor, *rows: Tensor) -> Tensor:
        neighbor, center = Rows(*rows[:3]), Rows(*rows[3:])
        gates = torch.sigmoid(opening)
        weight = center.total(gates).add_(_LEAST_GATE)
        mean = center.total(neighbor.take(messages).mul_(gates)).div_(weight)
        ctx.save_for_backward(gates, messages, weight, mean, *rows)
        return mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gates, messages, weight, mean, *rows = ctx.saved_tensors
        neighbor, center = Rows(*rows[:3]), Rows(*rows[3:])
        share = center.take(gradients[0] / weight)
        of_gates = sum_of_rows((messages, -mean), (neighbor, center)).mul_(share)
        of_opening = torch.ops.aten.sigmoid_backward.grad_input(
            of_gates, gates, grad_input=of_gates
        )
        of_messages = neighbor.total(share.mul_(gates))
        return of_opening, of_messages, None, None, None, None, None, None
