"""The layers of CHGNet, with its weights, over arrays in which equal rows are there once.

A layer multiplies the features of an edge's ends and of its bond by parts of its first matrix
before they are gathered, as there are fewer of them than of edges; likewise those of an angle.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from crystal_data.trajectories.chgnet_graph import FoldedBonds

if TYPE_CHECKING:
    from chgnet.model.model import CHGNet

_WITHIN = 1 - 1e-6  # as published: keeps the derivative of the arc cosine finite


class ChgnetNetwork:
    """Energies of atoms.

    Args:
        model: Of the package; from now on without gradients of its weights.
    """

    def __init__(self, model: "CHGNet") -> None:
        parts: Any = model.eval().requires_grad_(False)  # kinds of its parts depend on settings
        self._model = parts
        self.cutoff: float = parts.graph_converter.atom_graph_cutoff
        self.short_cutoff: float = parts.graph_converter.bond_graph_cutoff
        self.num_elements: int = parts.atom_embedding.embedding.num_embeddings
        self._atom_layers = [_Gated(one.twoBody_atom, 3) for one in parts.atom_conv_layers]
        self._bond_layers = [_Gated(one.twoBody_bond, 4) for one in parts.bond_conv_layers]
        self._angle_layers = [_Gated(one.twoBody_bond, 4) for one in parts.angle_layers]

    @property
    def num_layers(self) -> int:
        """How often atoms receive messages."""
        return len(self._atom_layers)

    def energies(self, graph: FoldedBonds) -> Tensor:
        """Of the atoms of a folded graph, eV; differentiable by lengths and cosines."""
        model, num_short = self._model, graph.num_short
        basis = model.bond_basis_expansion.rbf_expansion_ag(graph.length)
        short_basis = model.bond_basis_expansion.rbf_expansion_bg(graph.length[:num_short])
        weight = model.bond_weights_ag(basis).index_select(0, graph.bond)
        weight = weight * graph.edge_counts[:, None]
        short_weight = model.bond_weights_bg(short_basis)
        angle_weight = short_weight.index_select(0, graph.second) * graph.angle_counts[:, None]
        angle = torch.acos(graph.cosine * _WITHIN).float()
        angles = model.angle_embedding(model.angle_basis_expansion.fourier_expansion(angle))
        atoms = model.atom_embedding(graph.elements)
        bonds = model.bond_embedding(basis)
        shorts, longs = bonds.split((num_short, len(bonds) - num_short))
        last = len(self._bond_layers) - 1
        for place, bond_layer in enumerate(self._bond_layers):
            atoms = self._updated(place, atoms, torch.cat((shorts, longs)), weight, graph)
            message = bond_layer.of_angles(atoms, shorts, angles, graph) * angle_weight
            summed = torch.zeros_like(shorts).index_add(0, graph.first, message) * short_weight
            shorts = shorts + model.bond_conv_layers[place].mlp_out(summed)
            if place < last:  # nothing reads what the last one would say of angles
                angles = angles + self._angle_layers[place].of_angles(atoms, shorts, angles, graph)
        atoms = self._updated(last + 1, atoms, torch.cat((shorts, longs)), weight, graph)
        energies: Tensor = model.mlp(model.readout_norm(atoms))[:, 0]
        return energies + model.composition_model.fc.weight[0].index_select(0, graph.elements)

    def _updated(
        self, place: int, atoms: Tensor, bonds: Tensor, weight: Tensor, graph: FoldedBonds
    ) -> Tensor:
        message = self._atom_layers[place].of_edges(atoms, bonds, graph) * weight
        summed = torch.zeros_like(atoms).index_add(0, graph.center, message)
        gained: Tensor = self._model.atom_conv_layers[place].mlp_out(summed)
        return atoms + gained


class _Gated:
    """A gated perceptron of edges or of angles, its core and its gate side by side."""

    def __init__(self, layer: Any, num_parts: int) -> None:
        (core, *cores), (gate, *gates) = (
            [one for one in branch.layers if isinstance(one, torch.nn.Linear)]
            for branch in (layer.mlp_core, layer.mlp_gate)
        )
        self._is_deep = len(cores) > 0
        self._core = torch.nn.Sequential(*cores, layer.bn1, torch.nn.SiLU())
        self._gate = torch.nn.Sequential(*gates, layer.bn2, torch.nn.Sigmoid())
        weight = torch.cat((core.weight, gate.weight))
        # One for each part of the input.
        self._parts = [part.contiguous() for part in weight.chunk(num_parts, dim=1)]
        self._bias = torch.cat((core.bias, gate.bias))

    def of_edges(self, atoms: Tensor, bonds: Tensor, graph: FoldedBonds) -> Tensor:
        center, bond, neighbor = self._parts
        sums = linear(atoms, center, self._bias).index_select(0, graph.center)
        sums += linear(bonds, bond).index_select(0, graph.bond)
        sums += linear(atoms, neighbor).index_select(0, graph.neighbor)
        return self._rest(sums)

    def of_angles(
        self, atoms: Tensor, shorts: Tensor, angles: Tensor, graph: FoldedBonds
    ) -> Tensor:
        first, second, angle, vertex = self._parts
        sums = linear(angles, angle, self._bias)
        sums += linear(shorts, first).index_select(0, graph.first)
        sums += linear(shorts, second).index_select(0, graph.second)
        sums += linear(atoms, vertex).index_select(0, graph.vertex)
        return self._rest(sums)

    def _rest(self, sums: Tensor) -> Tensor:
        """What the other layers make of the first one's sums."""
        core, gate = (silu(sums) if self._is_deep else sums).chunk(2, dim=1)
        found: Tensor = self._core(core) * self._gate(gate)
        return found
