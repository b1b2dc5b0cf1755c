"""The crystal graph convolutional network, in front of it any element table."""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from crystal_data import GraphSpec
from crystal_data.graphs import FoldedGraph
from crystal_data.layers import GaussianBasis, mean_over_atoms, sum_over_edges
from crystal_data.processes import GlobalBatchNorm1d
from crystal_embed.layers.atom_embedding import AtomEmbedding, MissingElements, as_free_vectors
from crystal_embed.layers.coordinates import CoordinateEmbedding
from crystal_embed.models.base import GraphModel
from crystal_embed.tables.load import TableInput, as_table

Aggregation = Literal["mean", "sum"]


class CGCNNConv(nn.Module):
    """One graph convolution: each atom is updated from its neighbors through gated messages.

    The published layer multiplies ``[centre, neighbor, edge]`` of every edge by one matrix. Here
    the same matrix is applied in three parts: to each atom once as centre and once as neighbor,
    and to the edge alone, which saves most of the multiplications.

    Args:
        width: Length of an atom's vector.
        edge_width: Length of an edge's vector.
        aggregation: ``sum`` over neighbors as published, or ``mean``.

    Source:
        Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018), equation 5.
    """

    def __init__(self, width: int, edge_width: int, aggregation: Aggregation) -> None:
        super().__init__()
        self._parts = [width, width, edge_width]
        self._aggregation = aggregation
        self.linear = nn.Linear(2 * width + edge_width, 2 * width)
        self.message_norm = GlobalBatchNorm1d(2 * width)
        self.update_norm = GlobalBatchNorm1d(width)

    @override
    def forward(self, atoms: Tensor, edges: Tensor, graph: FoldedGraph) -> Tensor:
        """Updates atoms.

        Args:
            atoms: Shape ``[num_atoms, width]``.
            edges: Shape ``[num_edges, edge_width]``.
            graph: What the edges join, and how many each stands for.

        Returns:
            Shape ``[num_atoms, width]``.
        """
        to_center, to_neighbor, to_edge = self.linear.weight.split(self._parts, dim=1)
        as_center = F.linear(atoms, to_center, self.linear.bias)
        as_neighbor = F.linear(atoms, to_neighbor)
        # In place: no step of this sum is needed again, and it is the largest value of the layer.
        features = F.linear(edges, to_edge)
        neighbor, center = graph.edge_index
        features.add_(as_center.index_select(0, center))
        features.add_(as_neighbor.index_select(0, neighbor))
        opening, core = self.message_norm(features, graph.edge_counts).chunk(2, dim=1)
        total = sum_over_edges(torch.sigmoid(opening) * F.softplus(core), graph)
        if self._aggregation == "mean":
            total = total / graph.degree.clamp(min=1)[:, None].to(total.dtype)
        return F.softplus(atoms + self.update_norm(total, graph.atom_counts))


class CGCNN(GraphModel):
    """Crystal graph convolutional neural network.

    Whole shells of neighbors and a true mean over atoms keep predictions the same for every
    choice of origin, images, atom order and cell, unless ``with_coordinates``. As published,
    ``CGCNN.published``, a shell is cut at twelve neighbors, by which a supercell may get other
    edges than its cell.

    Args:
        num_outputs: Numbers predicted for each crystal; None follows the targets that it is trained
            on, and is 1 without any.
        element_table: Name, path or table; see ``crystal_embed.load_table``.
        trainable_table: False multiplies the table's vectors by an input layer, which is trained.
            True projects them to ``width`` once and trains one vector for each element from there.
        missing_elements: What to do with elements that the table has no row for.
        width: Length of an atom's vector in the convolutions.
        num_convolutions: Number of convolutions.
        hidden_width: Length of a crystal's vector in the hidden layers.
        num_hidden_layers: Number of hidden layers behind the mean over atoms.
        aggregation: How a convolution combines the messages of an atom's neighbors. The number of
            neighbors varies with whole shells; a mean does not see it, a sum does.
        graph_spec: Which neighbors an atom sees; by default the twelve nearest and the rest of the
            last one's shell.
        with_coordinates: Adds to each element's vector that of the atom's Cartesian position, out
            of the CrystalTransformer that ``element_table`` is the artifact of; trained if the
            table is. Predictions then depend on origin, images, orientation and supercell, which
            augmentations only soften.

    Raises:
        InvalidArgumentError: If the table has no vectors of positions and they are asked for.

    Source:
        Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018).
    """

    def __init__(
        self,
        num_outputs: int | None = None,
        element_table: TableInput = "atom_init",
        trainable_table: bool = False,
        missing_elements: MissingElements = "error",
        width: int = 64,
        num_convolutions: int = 3,
        hidden_width: int = 128,
        num_hidden_layers: int = 1,
        aggregation: Aggregation = "mean",
        graph_spec: GraphSpec | None = None,
        with_coordinates: bool = False,
    ) -> None:
        super().__init__()
        self.graph_spec = graph_spec or GraphSpec(max_neighbors=12)
        table = as_table(element_table)
        if trainable_table:
            table = as_free_vectors(table, width)
        self.atom_embedding = AtomEmbedding(
            table, trainable=trainable_table, missing_elements=missing_elements
        )
        self.coordinates = (
            CoordinateEmbedding(table, trainable=trainable_table) if with_coordinates else None
        )
        self.input = nn.Identity() if trainable_table else nn.Linear(table.width, width)
        self.basis = GaussianBasis()
        self.convolutions = nn.ModuleList(
            CGCNNConv(width, self.basis.num_features, aggregation) for _ in range(num_convolutions)
        )
        widths = [width, *[hidden_width] * num_hidden_layers]
        self.hidden = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))
        self.output = nn.Linear(widths[-1], num_outputs or 1)

    @classmethod
    def published(
        cls,
        num_outputs: int | None = None,
        element_table: TableInput = "atom_init",
        trainable_table: bool = False,
        missing_elements: MissingElements = "error",
        with_coordinates: bool = False,
    ) -> "CGCNN":
        """As the paper's public code: the sum over the 12 nearest within 8 Å, ties cut."""
        return cls(
            num_outputs,
            element_table,
            trainable_table,
            missing_elements,
            aggregation="sum",
            graph_spec=GraphSpec(cutoff=8.0, max_neighbors=12, ties="cut"),
            with_coordinates=with_coordinates,
        )

    @property
    @override
    def num_message_layers(self) -> int | None:
        return len(self.convolutions) if self.coordinates is None else None

    @override
    def crystal_vectors(self, graph: FoldedGraph) -> Tensor:
        """What the output layer sees; shape ``[num_crystals, hidden_width]``."""
        atoms = self.atom_vectors(graph)
        crystals = F.softplus(
            mean_over_atoms(atoms, graph.batch, graph.num_atoms, graph.atom_counts)
        )
        for layer in self.hidden:
            crystals = F.softplus(layer(crystals))
        return crystals

    @override
    def atom_vectors(self, graph: FoldedGraph) -> Tensor:
        """Atoms after the last convolution; shape ``[num_rows, width]``."""
        atoms = self.atom_embedding(graph.atomic_numbers)
        if self.coordinates is not None:
            atoms = atoms + self.coordinates(graph.cart_coords())
        atoms = self.input(atoms)
        edges = self.basis(graph.edge_length)
        for convolution in self.convolutions:
            atoms = convolution(atoms, edges, graph)
        return atoms
