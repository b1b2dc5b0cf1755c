"""An equivariant graph network that moves cell and atoms to the relaxed crystal."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data.crystal import Crystal
from crystal_data.elements import SYMBOLS
from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs import CrystalBatch, GraphSpec
from crystal_data.trajectories import Change, changed
from crystal_relax.graph.geometry import (
    Geometry,
    current_edges,
    displacements,
    mean_of_crystals,
    strained,
    to_fractional,
)
from crystal_relax.graph.layer import (
    AtomState,
    EdgeFeatures,
    RadialBasis,
    RelaxLayer,
    angular_features,
)
from crystal_relax.model import Prediction, RelaxationModel

# Of one layer. What goes beyond is a fault of the layer: where it brings two atoms nearly together,
# messages of the next one grow without bound, and gradients with them.
_MAX_STRAIN = 0.5
_MAX_MOVE = 2.0  # Å


class GraphRelaxer(RelaxationModel):
    """Predicts the relaxed crystal in one pass; every layer moves cell and atoms on.

    Atoms have scalars and vectors, as in PaiNN. The lattice vectors of a crystal are a node too,
    with scalars and symmetric tensors: it gathers tensors of all atoms, as a stress does, gives
    them back to the atoms, and is moved by a strain. After each layer directions and lengths of
    the edges are those of the moved crystal. Edges stay those of the start.

    Rotations, reflections and permutations of the crystal turn and permute what is predicted;
    another origin, other images, another cell and a larger one change nothing.

    The idea is that of E3Relax and E3Relax-H2, with these differences. There each of the three
    lattice vectors has weights and features of its own, so that predictions depend on which is
    called a and on the choice of the cell; the update of the cell is added as its transpose, which
    does not turn with the crystal; and a site whose edges sum to zero gets a fixed direction. Here
    one strain moves all lattice vectors, and what is smooth at zero needs no direction.

    Args:
        width: Channels.
        num_layers: Layers.
        cutoff: Longest edge, Å.
        max_neighbors: Edges of an atom; a shell of equal lengths is kept whole.
        num_radial: Functions of an edge's length.
        num_tensors: Channels of the lattice's tensors.

    Source:
        Yang et al., arXiv 2511.12243 and 2603.23941.

    Raises:
        InvalidArgumentError: If a number is out of its range.
    """

    def __init__(
        self,
        width: int = 64,
        num_layers: int = 4,
        cutoff: float = 6.0,
        max_neighbors: int = 24,
        num_radial: int = 16,
        num_tensors: int = 8,
    ) -> None:
        super().__init__()
        for name, value in (("width", width), ("num_layers", num_layers)):
            if value < 1:
                raise InvalidArgumentError(f"{name} is {value}; at least 1 is needed")
        self.graph_spec: GraphSpec = GraphSpec(cutoff=cutoff, max_neighbors=max_neighbors)
        self.num_tensors = num_tensors
        self.elements = nn.Embedding(len(SYMBOLS), width)
        self.cell = nn.Linear(1, width)
        self.basis = RadialBasis(cutoff, num_radial)
        self.layers = nn.ModuleList(
            RelaxLayer(width, num_radial, num_tensors) for _ in range(num_layers)
        )
        self.moves = nn.ModuleList(nn.Linear(width, 1, bias=False) for _ in range(num_layers))
        self.strains = nn.ModuleList(nn.Linear(width, num_tensors + 1) for _ in range(num_layers))
        # At the start of a training nothing moves: the prediction is the identity.
        for head in (*self.moves, *self.strains):
            for weight in head.parameters():
                nn.init.zeros_(weight)

    @override
    def forward(self, batch: CrystalBatch) -> list[Geometry]:
        """The geometry after each layer; the last is the prediction.

        Args:
            batch: Starts, with edges of ``graph_spec``.
        """
        zero = batch.lattice.new_zeros((batch.num_crystals, 3, 3))
        geometry = Geometry(zero, batch.frac_coords)
        state = self._first(batch)
        geometries = []
        for number, layer in enumerate(self.layers):
            state = layer(state, self._edges(batch, geometry), batch)
            geometry = self._moved(batch, geometry, state, number)
            geometries.append(geometry)
        return geometries

    @override
    @torch.no_grad()
    def relaxed(self, starts: Sequence[Crystal]) -> list[Prediction]:
        batch = CrystalBatch.from_crystals(starts).with_edges(self.graph_spec).float32()
        batch = batch.to(self.cell.weight.device)
        last = self(batch)[-1]
        strains = last.strain.double().cpu().numpy()
        moved = displacements(batch, last).double().cpu().split(batch.num_atoms.tolist())
        return [
            Prediction(changed(start, Change(strain, motion.numpy())))
            for start, strain, motion in zip(starts, strains, moved, strict=True)
        ]

    def _first(self, batch: CrystalBatch) -> AtomState:
        scalars = self.elements(batch.atomic_numbers)
        volume = torch.linalg.det(batch.lattice).abs() / batch.num_atoms
        return AtomState(
            scalars,
            scalars.new_zeros((len(scalars), 3, scalars.shape[1])),
            self.cell(volume.log()[:, None]),
            scalars.new_zeros((batch.num_crystals, 3, 3, self.num_tensors)),
        )

    def _edges(self, batch: CrystalBatch, geometry: Geometry) -> EdgeFeatures:
        source, target = batch.edges("GraphRelaxer").edge_index
        unit, lengths = current_edges(batch, geometry)
        radial, envelope = self.basis(lengths)
        angular = angular_features(unit, envelope, target, batch.num_nodes)
        return EdgeFeatures(source, target, unit, radial, envelope, angular)

    def _moved(
        self, batch: CrystalBatch, geometry: Geometry, state: AtomState, number: int
    ) -> Geometry:
        weights = self.strains[number](state.cell_scalars)
        identity = torch.eye(3, dtype=weights.dtype, device=weights.device)
        step = torch.einsum("gijt,gt->gij", state.cell_tensors, weights[:, :-1])
        step = step + identity * weights[:, -1, None, None]
        step = _shrunk(step, _MAX_STRAIN, (1, 2))
        strain = geometry.strain + step
        move = _shrunk(self.moves[number](state.vectors)[..., 0], _MAX_MOVE, (1,))
        move = move - mean_of_crystals(move, batch)[batch.batch]
        lattice = strained(batch.lattice, strain)
        return Geometry(strain, geometry.frac_coords + to_fractional(move, lattice, batch.batch))


def _shrunk(values: Tensor, limit: float, dim: tuple[int, ...]) -> Tensor:
    """Shorter than a limit; shrunk as a whole, not cut, so that they turn with the crystal."""
    size = (values.square().sum(dim=dim, keepdim=True) + 1e-12).sqrt()
    return values * (limit * torch.tanh(size / limit) / size)
