"""Attention of an atom to its neighbors, in frames along edges."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from crystal_gan.equiformer.activation import activation
from crystal_gan.equiformer.graph import EdgeGraph
from crystal_gan.equiformer.linear import DegreeLinear, OrderLinear
from crystal_gan.equiformer.radial import by_degree
from crystal_gan.equiformer.sizes import EquiformerSizes

_ALPHA = 0.2  # slope of the published smooth leaky ReLU
_TINY = 1e-30


class GraphAttention(nn.Module):
    """Messages along edges, weighted by how much an atom attends to each neighbor.

    Neighbor and center are mixed at the atoms, once, and added along the edge; numbers of the edge
    scale each degree and channel. In the edge's frame two mixings of orders, with a product on the
    sphere in between, give the values; numbers of the first give the attention.

    The weight of an edge is ``e² exp(a) / Σ e exp(a)`` with its envelope e, so that an atom that
    crosses the cutoff changes nothing, even the last neighbor.

    Args:
        sizes: Of the network.

    Source:
        Equivariant graph attention of EquiformerV2, arXiv 2306.12059, with the envelope of
        EquiformerV3, arXiv 2604.09130.
    """

    degree: Tensor

    def __init__(self, sizes: EquiformerSizes) -> None:
        super().__init__()
        coefficients, num_channels = sizes.coefficients, sizes.num_channels
        hidden_channels, num_heads = sizes.hidden_channels, sizes.num_heads
        value_width = num_heads * sizes.value_channels
        self._hidden = hidden_channels
        self._num_heads = num_heads
        self.as_neighbor = DegreeLinear(coefficients, num_channels, hidden_channels)
        self.as_center = DegreeLinear(coefficients, num_channels, hidden_channels)
        self.radial = nn.Linear(sizes.edge_width, coefficients.num_degrees * hidden_channels)
        self.activation = activation(
            sizes.activation, coefficients, hidden_channels, along_edges=True
        )
        self._num_scalars = self.activation.scalars_taken * hidden_channels
        self._num_logits = num_heads * hidden_channels
        self.first = OrderLinear(
            coefficients,
            hidden_channels,
            self.activation.channels_taken * hidden_channels,
            num_scalars=self._num_scalars + self._num_logits,
            handed=sizes.handed,
        )
        self.logit_norm = nn.LayerNorm(hidden_channels)
        self.logit = nn.Parameter(torch.empty(num_heads, hidden_channels))
        bound = hidden_channels**-0.5
        nn.init.uniform_(self.logit, -bound, bound)
        self.second = OrderLinear(coefficients, hidden_channels, value_width, handed=sizes.handed)
        self.output = DegreeLinear(coefficients, value_width, num_channels)
        self.register_buffer("degree", coefficients.degree_at_atoms(), persistent=False)

    @override
    def forward(self, atoms: Tensor, graph: EdgeGraph) -> Tensor:
        """What is added to atoms; shape of both ``[num_atoms, num_at_atoms, num_channels]``."""
        message = self.as_neighbor(atoms).index_select(0, graph.neighbor)
        message = message + self.as_center(atoms).index_select(0, graph.center)
        message = message * by_degree(self.radial(graph.features), self.degree, self._hidden)
        mixed, scalars = self.first(graph.frames @ message)
        gates, logits = scalars.split([self._num_scalars, self._num_logits], dim=1)
        values, _ = self.second(self.activation(mixed, gates))
        weights = self._attend(logits, graph)
        weights = weights.repeat_interleave(values.shape[2] // self._num_heads, dim=1)
        values = graph.frames.transpose(1, 2) @ (values * weights[:, None])
        return self.output(graph.sum_at_centers(values))

    def _attend(self, logits: Tensor, graph: EdgeGraph) -> Tensor:
        """Weight of each edge in each head; shape ``[num_edges, num_heads]``."""
        logits = self.logit_norm(logits.view(-1, self._num_heads, self._hidden))
        scores = (_smooth_leaky_relu(logits) * self.logit).sum(2)
        center = graph.center[:, None].expand(-1, self._num_heads)
        largest = scores.new_full((graph.num_atoms, self._num_heads), -torch.inf)
        # Subtracting the maximum does not change the result, so it needs no gradient.
        largest = largest.scatter_reduce(0, center, scores.detach(), "amax")
        fading = graph.envelope[:, None]
        shares = fading * (scores - largest.index_select(0, graph.center)).exp()
        total = graph.sum_at_centers(shares).clamp(min=_TINY)
        return fading * shares / total.index_select(0, graph.center)


def _smooth_leaky_relu(values: Tensor) -> Tensor:
    """The published one: ``(1 + α)/2 x + (1 - α)/2 x (2 σ(x) - 1)``, a line and SiLU together."""
    return _ALPHA * values + (1.0 - _ALPHA) * F.silu(values)
