"""The message-passing network of DiffCSP++ on the atoms of conventional cells."""

from math import log, pi
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from crystal_gen.published.attention import PropertyAttention

#: Elements that have a row in the table: H to Fm.
NUM_ELEMENTS = 100


class CellGraph(NamedTuple):
    """Atoms of a batch of cells, and all ordered pairs of atoms of one cell."""

    atomic_numbers: Tensor  # int64 [num_atoms]
    batch: Tensor  # int64 [num_atoms]
    num_atoms: Tensor  # int64 [num_crystals]
    edge_index: Tensor  # int64 [2, num_edges], row 0 the neighbor, row 1 the center


def fully_connected(num_atoms: Tensor) -> Tensor:
    """All ordered pairs of atoms of one crystal, an atom with itself included.

    Args:
        num_atoms: Of each crystal; int64 ``[num_crystals]``.

    Returns:
        Row 0 neighbor, row 1 center, sorted by center; int64 ``[2, sum of num_atoms squared]``.
    """
    begin = num_atoms.cumsum(0) - num_atoms
    pairs = num_atoms * num_atoms
    size, start = (values.repeat_interleave(pairs) for values in (num_atoms, begin))
    place = torch.arange(len(size), device=num_atoms.device)
    place = place - (pairs.cumsum(0) - pairs).repeat_interleave(pairs)
    return torch.stack([start + place % size, start + place // size])


class CSPNet(nn.Module):
    """Maps noisy cells to the noise of their lattice vector and to a displacement of each atom.

    Only differences of fractional coordinates, through sines and cosines of whole periods, and
    the lattice vector enter. So the output does not change with the origin, with whole cells added
    to an atom and with the orientation; it follows the order of the atoms.

    Args:
        width: Length of an atom's vector.
        num_layers: Message layers.
        num_frequencies: Frequencies of the Fourier features, from 0.
        time_width: Length of the vector of the time.
        num_properties: Properties that a crystal may have; with any, an attention block follows
            each message layer.
        num_heads: Of the attention blocks.

    Source:
        DiffCSP, section 4.3 and appendix B, with the lattice vector of DiffCSP++ in place of the
        inner products.
    """

    def __init__(
        self,
        width: int = 512,
        num_layers: int = 6,
        num_frequencies: int = 128,
        time_width: int = 256,
        num_properties: int = 0,
        num_heads: int = 8,
    ) -> None:
        super().__init__()
        self._time_width = time_width
        self._num_frequencies = num_frequencies
        self.elements = nn.Embedding(NUM_ELEMENTS, width)
        self.begin = nn.Linear(width + time_width, width)
        self.layers = nn.ModuleList(
            MessageLayer(width, 6 * num_frequencies) for _ in range(num_layers)
        )
        self.attention = nn.ModuleList(
            PropertyAttention(width, num_heads) for _ in range(num_layers if num_properties else 0)
        )
        self.norm = nn.LayerNorm(width)
        self.to_coordinates = nn.Linear(width, 3, bias=False)
        self.to_lattice = nn.Linear(width, 6, bias=False)

    @override
    def forward(
        self,
        graph: CellGraph,
        frac_coords: Tensor,
        lattice_vector: Tensor,
        time: Tensor,
        properties: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Output for the lattice ``[num_crystals, 6]`` and for atoms ``[num_atoms, 3]``.

        Args:
            graph: Atoms and pairs.
            frac_coords: Shape ``[num_atoms, 3]``.
            lattice_vector: Shape ``[num_crystals, 6]``.
            time: Shape ``[num_crystals]``.
            properties: Vectors of the properties of each crystal;
                ``[num_crystals, num_properties, width]``. None if the network was made for none.
        """
        neighbor, center = graph.edge_index
        difference = frac_coords[neighbor] - frac_coords[center]
        waves = fourier_features(difference, self._num_frequencies)
        moment = sinusoidal(time, self._time_width).to(frac_coords.dtype)
        atoms = self.elements(graph.atomic_numbers - 1)
        atoms = self.begin(torch.cat([atoms, moment[graph.batch]], dim=1))
        blocks = self.attention if properties is not None else [None] * len(self.layers)
        for layer, block in zip(self.layers, blocks, strict=True):
            atoms, messages = layer(graph, atoms, lattice_vector, waves)
            if block is not None:
                crystals = mean_by_crystal(atoms, graph)
                atoms = block(atoms, messages, lattice_vector, crystals, graph.batch, properties)
        atoms = self.norm(atoms)
        of_lattice = self.to_lattice(mean_by_crystal(atoms, graph))
        return of_lattice.to(lattice_vector), self.to_coordinates(atoms).to(frac_coords)


class MessageLayer(nn.Module):
    """A message from each neighbor, their mean, and an update of the atom.

    Args:
        width: Length of an atom's vector.
        edge_width: Length of a pair's features.
    """

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self._parts = [width, width, 6, edge_width]
        self.norm = nn.LayerNorm(width)
        self.message = nn.Linear(sum(self._parts), width)
        self.message_out = nn.Linear(width, width)
        self.update = nn.Sequential(
            nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    @override
    def forward(
        self, graph: CellGraph, atoms: Tensor, lattice_vector: Tensor, waves: Tensor
    ) -> tuple[Tensor, Tensor]:
        """New vectors of atoms, and their mean messages; both ``[num_atoms, width]``.

        Args:
            graph: Atoms and pairs.
            atoms: Shape ``[num_atoms, width]``.
            lattice_vector: Shape ``[num_crystals, 6]``.
            waves: Features of pairs; ``[num_edges, edge_width]``.
        """
        neighbor, center = graph.edge_index
        normed = self.norm(atoms)
        # The layer on [center, neighbor, lattice, waves] side by side, without putting them so:
        # the first three are multiplied once for an atom or a crystal, not once for each pair.
        of_center, of_neighbor, of_lattice, of_waves = self.message.weight.split(self._parts, dim=1)
        crystals = F.linear(lattice_vector, of_lattice, self.message.bias)
        centers = F.linear(normed, of_center) + crystals[graph.batch]
        neighbors = F.linear(normed, of_neighbor)
        pairs = F.linear(waves, of_waves)
        pairs = pairs + centers.index_select(0, center) + neighbors.index_select(0, neighbor)
        messages = F.silu(self.message_out(F.silu(pairs)))
        # Sums in the precision of atoms, which is full under autocast too.
        total = torch.zeros_like(normed).index_add(0, center, messages.to(normed))
        mean = total / graph.num_atoms[graph.batch][:, None]
        return atoms + self.update(torch.cat([normed, mean], dim=1)), mean


def mean_by_crystal(atoms: Tensor, graph: CellGraph) -> Tensor:
    """Mean over the atoms of each crystal; ``[num_atoms, width]`` to ``[num_crystals, width]``."""
    total = atoms.new_zeros(len(graph.num_atoms), atoms.shape[1])
    return total.index_add(0, graph.batch, atoms) / graph.num_atoms[:, None]


def fourier_features(difference: Tensor, num_frequencies: int) -> Tensor:
    """Sines, then cosines, of 2π n times each component, n from 0.

    Args:
        difference: Of fractional coordinates, any image; ``[num_edges, 3]``.
        num_frequencies: How many n.

    Returns:
        Shape ``[num_edges, 6 * num_frequencies]``.
    """
    orders = torch.arange(num_frequencies, device=difference.device, dtype=difference.dtype)
    # In the first cell, where the products with n keep most digits.
    phases = 2 * pi * torch.remainder(difference, 1.0)[:, :, None] * orders
    return torch.cat([phases.sin().flatten(1), phases.cos().flatten(1)], dim=1)


def sinusoidal(time: Tensor, width: int) -> Tensor:
    """Sines, then cosines, of a time at frequencies from 1 to 1/10,000; ``[n, width]``."""
    half = width // 2
    steps = torch.arange(half, device=time.device, dtype=torch.get_default_dtype())
    phases = time[:, None] * torch.exp(steps * (-log(10_000.0) / (half - 1)))
    return torch.cat([phases.sin(), phases.cos()], dim=1)
