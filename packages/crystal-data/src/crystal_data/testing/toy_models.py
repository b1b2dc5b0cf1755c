"""The smallest models of vectors and tensors that learn, to try a training with."""

import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data.artifacts.pretrained import PretrainedModel
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.graphs.geometry import edge_vectors
from crystal_data.graphs.spec import GraphSpec

_CUTOFF = 4.0  # Å
_NUM_DISTANCES = 8


class _Pairs(PretrainedModel):
    """Numbers of each edge, from its elements and its length; they vanish at the cutoff.

    Args:
        num_outputs: Numbers of each edge.
        width: Of the vectors of elements and of the hidden layer.
    """

    graph_spec = GraphSpec(cutoff=_CUTOFF, max_neighbors=None)
    distances: Tensor

    def __init__(self, num_outputs: int, width: int) -> None:
        super().__init__()
        self.elements = nn.Embedding(119, width)
        self.hidden = nn.Linear(2 * width + _NUM_DISTANCES, width)
        self.output = nn.Linear(width, num_outputs)
        self.register_buffer("distances", torch.linspace(0.5, _CUTOFF, _NUM_DISTANCES))

    def edges(self, batch: CrystalBatch) -> tuple[Tensor, Tensor]:
        """Directions from centre to neighbor and their numbers; a row for each edge."""
        edge_index, edge_shift, length = batch.edges(type(self).__name__)
        vectors = edge_vectors(
            batch.lattice, batch.frac_coords, edge_index, edge_shift.to(length), batch.batch
        )
        elements = self.elements(batch.atomic_numbers)[edge_index]
        basis = torch.exp(-((length[:, None] - self.distances) ** 2) / 0.5)
        features = torch.cat((elements[0], elements[1], basis), dim=1)
        envelope = (1 - (length / _CUTOFF) ** 2).clamp(min=0) ** 2
        numbers = self.output(torch.tanh(self.hidden(features))) * envelope[:, None]
        return vectors / length[:, None], numbers


def _at_atoms(values: Tensor, batch: CrystalBatch) -> Tensor:
    centre = batch.edges().edge_index[1]
    out = values.new_zeros(batch.num_nodes, values.shape[1])
    return out.index_add(0, centre, values)


class AtomVectors(_Pairs):
    """A vector of each atom: the sum over its neighbors of directions, weighed by the pair.

    Args:
        width: Of the vectors of elements and of the hidden layer.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__(1, width)

    @override
    def forward(self, batch: CrystalBatch) -> Tensor:
        """Shape ``[num_atoms, 3]``."""
        directions, weights = self.edges(batch)
        return _at_atoms(directions * weights, batch)


class CrystalTensors(_Pairs):
    """A symmetric tensor of each crystal: the mean over atoms of sums over their neighbors.

    A pair gives the product of its direction with itself and the identity, each with a weight.

    Args:
        width: Of the vectors of elements and of the hidden layer.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__(2, width)

    @override
    def forward(self, batch: CrystalBatch) -> Tensor:
        """Row after row; shape ``[num_crystals, 9]``."""
        directions, weights = self.edges(batch)
        along = (directions[:, :, None] * directions[:, None]).flatten(1)
        identity = torch.eye(3).to(along).flatten()
        atoms = _at_atoms(along * weights[:, :1] + identity * weights[:, 1:], batch)
        sums = atoms.new_zeros(batch.num_crystals, 9).index_add(0, batch.batch, atoms)
        return sums / batch.num_atoms[:, None]
