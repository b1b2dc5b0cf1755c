"""Distances between periodic images, for transformers that keep every symmetry of a crystal."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from crystal_data.graphs import FoldedGraph
from crystal_data.layers import GaussianBasis, cosine_cutoff
from crystal_embed.layers.encoder import PaddedLayout


class Surroundings(NamedTuple):
    """What a geometry gives an encoder."""

    vectors: Tensor  # [num_atoms, width], beside those of the elements
    biases: tuple[Tensor, ...]  # one for each layer, added to attention, of EncoderLayer's shape


class PeriodicGeometry(nn.Module):
    """Environments of atoms and biases of attention, out of the distances to all images.

    Every pair of atoms of a cell has ``G_ij = Σ_n g(d_ijn) f(d_ijn)``, a sum over the images of
    neighbor j: ``g`` are Gaussians of the distance, ``f`` falls smoothly to zero at the cutoff.
    All else is linear in it before it is summed over j, so that a supercell, in which the images
    of j are shared out among its copies, gives what the cell gives.

    - A head attends with the weight ``exp(q_i·k_j / √w) B_ij``, where
      ``B_ij = a·G_ij + δ_ij·b + c / num_atoms`` and a, b, c are positive and learned. The last
      term lets atoms beyond the cutoff be seen; divided by the number of atoms, it is the same for
      all supercells. ``log B`` is the bias.
    - An atom's environment is ``Σ_j G_ij ⊗ V x_j`` for the vectors x of the elements.

    For the same reason atoms may be folded, j then stands for several.

    Args:
        width: Length of an element's vector and of an environment's.
        num_heads: Attention heads of a layer.
        num_layers: Layers, each with biases of its own.
        cutoff: Largest distance, Å.
    """

    _STEP = 0.25  # Å between Gaussians
    _CHANNELS = 16  # numbers that stand for an element in the environment of another

    def __init__(self, width: int, num_heads: int, num_layers: int, cutoff: float) -> None:
        super().__init__()
        self._cutoff = cutoff
        self.basis = GaussianBasis(0.0, cutoff, self._STEP)
        features = self.basis.num_features
        self.near = nn.Parameter(torch.randn(num_layers, num_heads, features))
        self.own = nn.Parameter(torch.zeros(num_layers, num_heads))
        self.far = nn.Parameter(torch.zeros(num_layers, num_heads))
        self.neighbor = nn.Linear(width, self._CHANNELS)
        self.environment = nn.Sequential(
            nn.Linear(features * self._CHANNELS, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    @override
    def forward(self, graph: FoldedGraph, elements: Tensor, layout: PaddedLayout) -> Surroundings:
        """Environments and biases.

        Args:
            graph: All images within the cutoff.
            elements: Vectors of the atoms' elements; shape ``[num_rows, width]``.
            layout: Where the atoms lie in rectangles.
        """
        pairs = self._pairs(graph, layout)
        share = graph.num_atoms.to(pairs.dtype).reciprocal()[graph.batch]
        if graph.atom_counts is not None:
            share = graph.atom_counts / graph.num_atoms[graph.batch]
        biases = self._biases(pairs, layout, share)
        return Surroundings(self._environment(pairs, elements, layout), biases)

    def _pairs(self, graph: FoldedGraph, layout: PaddedLayout) -> Tensor:
        """G; shape ``[num_crystals, max_atoms, max_atoms, num_features]``, centre first."""
        num_crystals, max_atoms = layout.node_mask.shape
        neighbor, center = layout.row[graph.edge_index]
        shape = (num_crystals, max_atoms, max_atoms, self.basis.num_features)
        weight = cosine_cutoff(graph.edge_length, self._cutoff)
        if graph.multiplicity is not None:
            weight = graph.multiplicity * weight
        values = self.basis(graph.edge_length) * weight[:, None]
        sums = values.new_zeros(num_crystals * max_atoms**2, shape[-1])
        return sums.index_add(0, center * max_atoms + neighbor % max_atoms, values).view(shape)

    def _environment(self, pairs: Tensor, elements: Tensor, layout: PaddedLayout) -> Tensor:
        num_crystals, max_atoms = layout.node_mask.shape
        neighbors = pairs.new_zeros(num_crystals * max_atoms, self._CHANNELS)
        neighbors = neighbors.index_copy(0, layout.row, self.neighbor(elements).to(pairs.dtype))
        neighbors = neighbors.view(num_crystals, max_atoms, -1)
        sums = torch.einsum("gijr,gjk->girk", pairs, neighbors).flatten(2).flatten(0, 1)
        return self.environment(sums.index_select(0, layout.row))

    def _biases(self, pairs: Tensor, layout: PaddedLayout, share: Tensor) -> tuple[Tensor, ...]:
        near, own, far = (F.softplus(weight) for weight in (self.near, self.own, self.far))
        # Layers and heads in front: [num_layers, num_crystals, num_heads, max_atoms, max_atoms].
        weights = torch.einsum("gijr,lhr->lghij", pairs, near)
        weights = weights + own[:, None, :, None, None] * torch.eye(
            pairs.shape[1], device=pairs.device
        )
        # One where padded, since the gradient of a logarithm is not finite at zero.
        shares = share.new_ones(layout.node_mask.shape).index_put((layout.node_mask,), share)
        biases = (weights + far[:, None, :, None, None] * shares[:, None, None, :]).log()
        hidden = ~layout.node_mask[:, None, None, :]
        return biases.masked_fill(hidden, -torch.inf).unbind()
