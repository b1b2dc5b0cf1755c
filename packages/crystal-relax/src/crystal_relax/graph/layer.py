"""One round of messages between atoms, and between atoms and the lattice."""

from math import pi
from typing import NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data.graphs import CrystalBatch
from crystal_relax.graph.geometry import mean_of_crystals

NUM_ANGULAR = 4
# Lengths that no channel of a trained model reaches. Layers multiply vectors by vectors and by
# tensors, so that a crystal unlike all others would go beyond any number in a few of them.
_MAX_VECTOR, _MAX_TENSOR = 50.0, 20.0


class AtomState(NamedTuple):
    """What atoms and lattices know.

    Args:
        scalars: ``[num_atoms, width]``.
        vectors: They turn with the crystal; ``[num_atoms, 3, width]``.
        cell_scalars: ``[num_crystals, width]``.
        cell_tensors: Symmetric, they turn with the crystal; ``[num_crystals, 3, 3, num_tensors]``.
    """

    scalars: Tensor
    vectors: Tensor
    cell_scalars: Tensor
    cell_tensors: Tensor


class EdgeFeatures(NamedTuple):
    """What is known of edges before any message.

    Args:
        source: The neighbor; int64 ``[num_edges]``.
        target: The centre; int64 ``[num_edges]``.
        unit: From centre to neighbor; ``[num_edges, 3]``.
        radial: Of the length, zero at the cutoff; ``[num_edges, num_radial]``.
        envelope: From one to zero at the cutoff; ``[num_edges, 1]``.
        angular: Of the angles to the other edges of the centre; ``[num_edges, NUM_ANGULAR]``.
    """

    source: Tensor
    target: Tensor
    unit: Tensor
    radial: Tensor
    envelope: Tensor
    angular: Tensor


class RadialBasis(nn.Module):
    """Sines of the length over the length, which vanish smoothly at the cutoff.

    Args:
        cutoff: Å.
        num_radial: Functions.

    Source:
        Gasteiger, Groß and Günnemann, arXiv 2003.03123, equations 7 and 8.
    """

    def __init__(self, cutoff: float, num_radial: int) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.frequencies: Tensor
        self.register_buffer("frequencies", pi * torch.arange(1, num_radial + 1).float())

    @override
    def forward(self, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Functions ``[num_edges, num_radial]`` and envelope ``[num_edges, 1]`` of lengths in Å."""
        ratio = (lengths / self.cutoff)[:, None]
        inside = ratio.clamp(max=1.0)
        envelope = 1 - 28 * inside**6 + 48 * inside**7 - 21 * inside**8
        return envelope * torch.sin(ratio * self.frequencies) / ratio, envelope


def angular_features(unit: Tensor, envelope: Tensor, target: Tensor, num_atoms: int) -> Tensor:
    """How an edge lies to the others of its centre; shape ``[num_edges, NUM_ANGULAR]``.

    Solid Legendre polynomials of the edge and the mean of all edges of its centre, degrees 1 to 3,
    and the second moment of all edges along this one. They are smooth where the mean is zero, as
    at a centre of inversion, so no direction has to be made up for it. (With the normalized mean
    they would be the invariants of E3Relax-H2, which by the addition theorem are the Legendre
    polynomials of the angle.)
    """
    weight = unit.new_zeros((num_atoms, 1)).index_add_(0, target, envelope).clamp(min=1e-6)
    mean = unit.new_zeros((num_atoms, 3)).index_add_(0, target, envelope * unit) / weight
    outer = unit[:, :, None] * unit[:, None, :]
    moment = unit.new_zeros((num_atoms, 3, 3))
    moment = moment.index_add_(0, target, envelope[:, :, None] * outer) / weight[:, :, None]
    along = (unit * mean[target]).sum(dim=1)
    square = mean.square().sum(dim=1)[target]
    stretched = torch.einsum("ei,eij,ej->e", unit, moment[target], unit) - 1 / 3
    legendre = (along, (3 * along**2 - square) / 2, (5 * along**3 - 3 * square * along) / 2)
    return torch.stack((*legendre, stretched), dim=1)


class RelaxLayer(nn.Module):
    """Messages along edges, a step of each atom by itself, and an exchange with the lattice.

    Args:
        width: Channels of atoms and lattices.
        num_radial: Functions of an edge's length.
        num_tensors: Channels of the lattice's tensors.
    """

    def __init__(self, width: int, num_radial: int, num_tensors: int) -> None:
        super().__init__()
        self.width = width
        self.num_tensors = num_tensors
        self.norm = nn.LayerNorm(width)
        self.of_neighbor = _mlp(width, 3 * width)
        self.of_edge = nn.Linear(num_radial, 3 * width, bias=False)
        self.of_angle = _mlp(NUM_ANGULAR, 3 * width, width)
        # Both directions of an edge have the same tensor, so both atoms count alike.
        self.tensor_of_atom = nn.Linear(width, width)
        self.tensor_of_edge = nn.Linear(num_radial, width, bias=False)
        self.tensor_out = nn.Linear(width, num_tensors, bias=False)
        self.mix = nn.Linear(width, 2 * width, bias=False)
        self.update = _mlp(2 * width, 3 * width)
        self.pairs = nn.Linear(width, num_tensors, bias=False)
        self.to_cell = _mlp(2 * width + 2 * num_tensors, width)
        self.from_cell = _mlp(2 * width, 2 * width)
        self.turn = nn.Linear(num_tensors, width, bias=False)

    @override
    def forward(self, state: AtomState, edges: EdgeFeatures, batch: CrystalBatch) -> AtomState:
        """The state after this layer."""
        state = self._messages(state, edges)
        state = self._by_itself(state)
        return self._exchange(state, edges, batch)

    def _messages(self, state: AtomState, edges: EdgeFeatures) -> AtomState:
        """PaiNN's message, whose filter also knows angles (Schütt et al., arXiv 2102.03150)."""
        scalars = self.norm(state.scalars)
        filters = self.of_edge(edges.radial) * (1 + torch.tanh(self.of_angle(edges.angular)))
        message = self.of_neighbor(scalars)[edges.source] * filters
        on_scalars, on_vectors, on_edges = message.split(self.width, dim=1)
        carried = state.vectors[edges.source] * on_vectors[:, None]
        carried = carried + edges.unit[:, :, None] * on_edges[:, None]
        # Sums in the precision of atoms, which is full under autocast too.
        return state._replace(
            scalars=state.scalars.index_add(0, edges.target, on_scalars.to(state.scalars)),
            vectors=_limited(
                state.vectors.index_add(0, edges.target, carried.to(state.vectors)),
                _MAX_VECTOR,
                (1,),
            ),
        )

    def _by_itself(self, state: AtomState) -> AtomState:
        first, second = self.mix(state.vectors).split(self.width, dim=2)
        length = (second.square().sum(dim=1) + 1e-8).sqrt()
        gates = self.update(torch.cat((state.scalars, length), dim=1))
        on_vectors, on_product, on_scalars = gates.split(self.width, dim=1)
        product = (first * second).sum(dim=1)
        return state._replace(
            scalars=state.scalars + on_product * product + on_scalars,
            vectors=_limited(state.vectors + first * on_vectors[:, None], _MAX_VECTOR, (1,)),
        )

    def _exchange(self, state: AtomState, edges: EdgeFeatures, batch: CrystalBatch) -> AtomState:
        atoms = self.norm(state.scalars)
        moments = mean_of_crystals(self._moments(state, edges), batch)
        tensors = _limited(state.cell_tensors + moments, _MAX_TENSOR, (1, 2))
        invariants = torch.cat((_trace(tensors), _size(tensors)), dim=1)
        known = torch.cat((mean_of_crystals(atoms, batch), state.cell_scalars, invariants), dim=1)
        cell = state.cell_scalars + self.to_cell(known)
        back = self.from_cell(torch.cat((atoms, cell[batch.batch]), dim=1))
        on_scalars, gate = back.split(self.width, dim=1)
        turning = self.turn(tensors)[batch.batch]  # [num_atoms, 3, 3, width]
        turned = torch.einsum("nijw,njw->niw", turning, state.vectors)
        vectors = _limited(state.vectors + gate[:, None] * turned, _MAX_VECTOR, (1,))
        return AtomState(state.scalars + on_scalars, vectors, cell, tensors)

    def _moments(self, state: AtomState, edges: EdgeFeatures) -> Tensor:
        """Tensors of each atom: of its edges, as in a virial, and of pairs of its vectors."""
        atoms = self.tensor_of_atom(self.norm(state.scalars))
        weight = (atoms[edges.source] * atoms[edges.target]) * self.tensor_of_edge(edges.radial)
        weight = self.tensor_out(weight)
        outer = edges.unit[:, :, None] * edges.unit[:, None, :]
        of_edges = outer[..., None] * weight[:, None, None]
        moments = of_edges.new_zeros((len(state.scalars), 3, 3, self.num_tensors))
        moments.index_add_(0, edges.target, of_edges)
        vectors = self.pairs(state.vectors)
        return moments + vectors[:, :, None] * vectors[:, None]


def _mlp(width: int, out: int, hidden: int | None = None) -> nn.Sequential:
    hidden = hidden or width
    return nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, out))


def _trace(tensors: Tensor) -> Tensor:
    return torch.einsum("giit->gt", tensors)


def _size(tensors: Tensor) -> Tensor:
    return (tensors.square().sum(dim=(1, 2)) + 1e-8).sqrt()


def _limited(values: Tensor, limit: float, dim: tuple[int, ...]) -> Tensor:
    """What is longer than a limit is shortened to it, as a whole, so that it turns as before."""
    size = (values.square().sum(dim=dim, keepdim=True) + 1e-12).sqrt()
    return values * (limit / size).clamp(max=1.0)
