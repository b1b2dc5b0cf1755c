"""The equivariant network behind all models of this package."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from crystal_data import SYMBOLS, CrystalBatch
from crystal_gan.equiformer.block import Block
from crystal_gan.equiformer.frames import EdgeFrames
from crystal_gan.equiformer.graph import EdgeGraph, lengths_and_directions
from crystal_gan.equiformer.norm import MergedNorm
from crystal_gan.equiformer.radial import EdgeFeatures, by_degree, envelope
from crystal_gan.equiformer.sizes import EquiformerSizes

#: Rows of element tables: 0 is a hidden atom, then elements by atomic number.
NUM_SPECIES = len(SYMBOLS)
# Neighbors within 5 Å in the crystals of MP-20: 32 in the mean. It only sets a scale.
_NEIGHBORS = 32.0


class AtomFeatures(NamedTuple):
    """Output features of each atom."""

    scalars: Tensor  # [num_atoms, num_channels], the same in every orientation
    vectors: Tensor  # [num_atoms, 3, num_channels], which rotate with the crystal
    tensors: Tensor  # [num_atoms, 5, num_channels], coefficients of degree 2; none below it


class Backbone(nn.Module):
    """Equivariant graph attention on all images within a cutoff.

    Features of atoms are coefficients of spherical harmonics, which rotate and reflect with the
    crystal. They start from the element and from the elements and directions of neighbors. They do
    not depend on the choice of origin, images, order of atoms, cell or supercell, and change
    smoothly where an atom crosses the cutoff.

    Args:
        sizes: Of the network.

    Source:
        EquiformerV3, arXiv 2604.09130; EquiformerV2, arXiv 2306.12059.
    """

    degree: Tensor

    def __init__(self, sizes: EquiformerSizes) -> None:
        super().__init__()
        coefficients, edge_width = sizes.coefficients, sizes.edge_width
        num_channels = sizes.num_channels
        self.graph_spec = sizes.graph_spec
        self._cutoff = sizes.cutoff
        self._num_channels = num_channels
        self.frames = EdgeFrames(coefficients)
        self.species = nn.Parameter(torch.randn(NUM_SPECIES, num_channels))
        self.species_as_neighbor = nn.Parameter(torch.randn(NUM_SPECIES, edge_width))
        self.species_as_center = nn.Parameter(torch.randn(NUM_SPECIES, edge_width))
        self.edge_features = EdgeFeatures(sizes.cutoff, edge_width)
        self.surroundings = nn.Linear(edge_width, coefficients.num_degrees * num_channels)
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.num_layers))
        self.norm = MergedNorm(coefficients, num_channels)
        self._num_degrees = coefficients.num_degrees
        self.register_buffer("degree", coefficients.degree_at_atoms(), persistent=False)

    @override
    def forward(
        self, batch: CrystalBatch, species: Tensor | None = None, known: Tensor | None = None
    ) -> AtomFeatures:
        """Features of the atoms of a batch.

        Args:
            batch: With the edges of ``graph_spec``; 0 is the number of a hidden atom.
            species: Shares of each species in each atom, by which gradients reach a choice of
                elements; ``[num_atoms, NUM_SPECIES]``. By default ``batch.atomic_numbers``.
            known: What is known of each crystal besides; ``[num_crystals, num_channels]``.

        Raises:
            InvalidArgumentError: If the batch has no edges.
        """
        graph = self._graph(batch, species)
        atoms = self._surroundings(graph)
        scalars = atoms[:, :1] + self._rows(self.species, batch, species)[:, None]
        if known is not None:
            scalars = scalars + torch.index_select(known, 0, batch.batch)[:, None]
        atoms = torch.cat((scalars, atoms[:, 1:]), dim=1)
        for block in self.blocks:
            atoms = block(atoms, graph)
        atoms = self.norm(atoms)
        return AtomFeatures(atoms[:, 0], atoms[:, 1:4], atoms[:, 4:9])

    def _graph(self, batch: CrystalBatch, species: Tensor | None) -> EdgeGraph:
        edge_index, length, direction = lengths_and_directions(batch, type(self).__name__)
        features = self.edge_features(
            length,
            edge_index,
            self._rows(self.species_as_neighbor, batch, species),
            self._rows(self.species_as_center, batch, species),
        )
        return EdgeGraph(
            batch.num_nodes,
            edge_index,
            self.frames(direction),
            features,
            envelope(length, self._cutoff),
        )

    def _surroundings(self, graph: EdgeGraph) -> Tensor:
        """Sums over neighbors of harmonics of their directions, weighted by what they are."""
        weights = self.surroundings(graph.features) * graph.envelope[:, None]
        # In its frame an edge has order 0 alone: the harmonics of its direction, turned back.
        harmonics = graph.frames[:, : self._num_degrees].sum(dim=1)
        weights = by_degree(weights, self.degree, self._num_channels)
        return graph.sum_at_centers(harmonics[:, :, None] * weights) / _NEIGHBORS**0.5

    def _rows(self, table: Tensor, batch: CrystalBatch, species: Tensor | None) -> Tensor:
        if species is not None:
            return species @ table
        return F.embedding(batch.atomic_numbers, table)
