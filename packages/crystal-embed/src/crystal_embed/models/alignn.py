"""The atomistic line graph network, in front of it any element table."""

from typing import ClassVar

from torch import Tensor, nn
from typing_extensions import override

from crystal_data import GraphSpec
from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs import FoldedGraph
from crystal_data.layers import mean_over_atoms
from crystal_embed.layers.atom_embedding import AtomEmbedding, MissingElements, as_free_vectors
from crystal_embed.layers.dense import DenseLayer, ScalarEmbedding
from crystal_embed.layers.edge_gated import EdgeGatedConv, GatedGraph
from crystal_embed.models.base import GraphModel
from crystal_embed.tables.load import TableInput, as_table

_LONGEST_BOND = 8.0  # Å; longer ones look alike


class ALIGNN(GraphModel):
    """Atomistic line graph neural network: atoms learn from bonds, and bonds from angles.

    Each ALIGNN layer is one edge-gated convolution over atoms and bonds, then one over bonds and
    the angles between them; GCN layers do the first alone. A mean over atoms and one linear layer
    follow. The line graph, which joins bonds that meet in an atom, is made for each batch.

    Whole shells of neighbors keep predictions the same for every choice of origin, images, atom
    order, orientation and cell. The public code's neighbors are the same: the twelve nearest and
    the rest of the last one's shell, its radius of 8 Å growing where there are fewer. It then adds
    the way back to every bond that only one of its two atoms lists; here a bond is there once for
    each atom that lists it. A bond from an atom to its own image goes on to the next image as in a
    supercell, an angle of 180 degrees that the public code leaves out. Its biases that add up to
    one are one here, and the edge norms whose results nothing reads are left out; neither changes
    what can be computed.

    Args:
        num_outputs: Numbers predicted for each crystal; None follows the targets that it is trained
            on, and is 1 without any.
        element_table: Name, path or table; see ``crystal_embed.load_table``.
        trainable_table: False sends the table's vectors through an input layer, which is trained.
            True projects them to ``width`` once and trains one vector for each element from there.
        missing_elements: What to do with elements that the table has no row for.
        width: Length of the vectors of atoms, bonds and angles.
        embedding_width: Length between the two input layers of bonds, and of angles.
        num_alignn_layers: Layers that see angles, at least 1.
        num_gcn_layers: Layers behind them that see bonds alone, at least 1.
        num_length_bins: Gaussians for the length of a bond, 0 to 8 Å.
        num_angle_bins: Gaussians for the cosine of an angle, −1 to 1.
        graph_spec: Which neighbors an atom sees; by default the twelve nearest and the rest of the
            last one's shell. It needs ``line_graph=True``.

    Raises:
        InvalidArgumentError: If a kind of layer is missing, or ``graph_spec`` has no line graph.

    Source:
        Choudhary and DeCost, npj Comput. Mater. 7, 185 (2021). Of each ALIGNN layer the
        convolution over atoms comes first, as in the public code; the paper writes it second.
    """

    sees_angles: ClassVar[bool] = True

    def __init__(
        self,
        num_outputs: int | None = None,
        element_table: TableInput = "atom_init",
        trainable_table: bool = False,
        missing_elements: MissingElements = "error",
        width: int = 64,
        embedding_width: int = 64,
        num_alignn_layers: int = 2,
        num_gcn_layers: int = 2,
        num_length_bins: int = 80,
        num_angle_bins: int = 40,
        graph_spec: GraphSpec | None = None,
    ) -> None:
        super().__init__()
        if num_alignn_layers < 1 or num_gcn_layers < 1:
            raise InvalidArgumentError(
                f"num_alignn_layers is {num_alignn_layers} and num_gcn_layers {num_gcn_layers}; "
                "ALIGNN needs at least 1 of each, since a last layer's angles reach no atom"
            )
        self.graph_spec = graph_spec or GraphSpec(max_neighbors=12, line_graph=True)
        if not self.graph_spec.line_graph:
            raise InvalidArgumentError(
                "ALIGNN sees angles", "give it a graph_spec with line_graph: true"
            )
        table = as_table(element_table)
        if trainable_table:
            table = as_free_vectors(table, width)
        self.atom_embedding = AtomEmbedding(
            table, trainable=trainable_table, missing_elements=missing_elements
        )
        self.input = nn.Identity() if trainable_table else DenseLayer(table.width, width)
        self.bond_input = ScalarEmbedding(
            0.0, _LONGEST_BOND, num_length_bins, embedding_width, width
        )
        self.angle_input = ScalarEmbedding(-1.0, 1.0, num_angle_bins, embedding_width, width)
        self.bond_layers = nn.ModuleList(EdgeGatedConv(width) for _ in range(num_alignn_layers))
        self.angle_layers = nn.ModuleList(
            EdgeGatedConv(width, updates_edges=layer < num_alignn_layers - 1)
            for layer in range(num_alignn_layers)
        )
        self.gcn_layers = nn.ModuleList(
            EdgeGatedConv(width, updates_edges=layer < num_gcn_layers - 1)
            for layer in range(num_gcn_layers)
        )
        self.output = nn.Linear(width, num_outputs or 1)

    @classmethod
    def published(
        cls,
        num_outputs: int | None = None,
        element_table: TableInput = "atom_init",
        trainable_table: bool = False,
        missing_elements: MissingElements = "error",
    ) -> "ALIGNN":
        """The paper's size: 4 + 4 layers of width 256."""
        return cls(
            num_outputs,
            element_table,
            trainable_table,
            missing_elements,
            width=256,
            num_alignn_layers=4,
            num_gcn_layers=4,
        )

    @property
    @override
    def num_message_layers(self) -> int:
        return len(self.bond_layers) + len(self.gcn_layers)

    @override
    def crystal_vectors(self, graph: FoldedGraph) -> Tensor:
        atoms = self.atom_vectors(graph)
        return mean_over_atoms(atoms, graph.batch, graph.num_atoms, graph.atom_counts)

    @override
    def atom_vectors(self, graph: FoldedGraph) -> Tensor:
        of_atoms, of_bonds = GatedGraph.of_atoms(graph), GatedGraph.of_bonds(graph)
        atoms = self.atom_embedding(graph.atomic_numbers)
        if isinstance(self.input, DenseLayer):
            atoms = self.input(atoms, graph.atom_counts)
        bonds = self.bond_input(graph.edge_length, graph.edge_counts)
        angles = self.angle_input(graph.cosine, graph.angle_counts)
        for bond_layer, angle_layer in zip(self.bond_layers, self.angle_layers, strict=True):
            atoms, bonds = bond_layer(atoms, bonds, of_atoms)
            bonds, angles = angle_layer(bonds, angles, of_bonds)
        for gcn_layer in self.gcn_layers:
            atoms, bonds = gcn_layer(atoms, bonds, of_atoms)
        return atoms
