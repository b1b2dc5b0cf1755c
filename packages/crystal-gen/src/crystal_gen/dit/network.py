"""A transformer whose tokens are Wyckoff orbits and attend to all atoms."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystal_data.elements import SYMBOLS
from crystal_gen.dit.geometry import Cells, Neighbors, neighbors
from crystal_gen.lattice_vector import lattice_basis, lattice_of_vector
from crystal_gen.positions import Images

_NUM_ELEMENTS = len(SYMBOLS)
_NUM_DISTANCES = 16
_LARGEST_DISTANCE = 8.0  # Å
_LARGEST_RATIO = 3.0
_NUM_WAVES = 2
_TIME_FREQUENCIES = 32


class Sites(NamedTuple):
    """What does not change while a structure is made.

    Attributes:
        space_group_number: int64 ``[num_crystals]``.
        atomic_numbers: int64 ``[num_crystals, max_orbits]``.
        site_symmetry: int64 ``[num_crystals, max_orbits]``.
        free_axes: bool ``[num_crystals, max_orbits, 3]``.
        projection: Linear part of each representative; ``[num_crystals, max_orbits, 3, 3]``.
        mask: bool ``[num_crystals, max_orbits]``.
        free_cell: Components of the cell's vector that the group leaves free; bool
            ``[num_crystals, 6]``.
        primitive: Primitive axes; ``[num_crystals, 3, 3]``.
        images: All atoms.
        properties: Wanted values, normalized, NaN where there is no wish;
            ``[num_crystals, num_properties]``.
    """

    space_group_number: Tensor
    atomic_numbers: Tensor
    site_symmetry: Tensor
    free_axes: Tensor
    projection: Tensor
    mask: Tensor
    free_cell: Tensor
    primitive: Tensor
    images: Images
    properties: Tensor


@dataclass(frozen=True)
class Sizes:
    """Of the network.

    Args:
        width: Of a token.
        num_layers: Blocks.
        num_heads: Of attention; divides the width.
        pair_width: Of what is kept for each orbit and atom.
    """

    width: int = 128
    num_layers: int = 4
    num_heads: int = 8
    pair_width: int = 64


class OrbitTransformer(nn.Module):
    """Velocities of orbits and cell, from where they are now.

    Args:
        sizes: Widths.
        num_site_symmetries: Of different symbols.
        num_properties: That may be wished for.
        uses_geometry: Attention sees distances and directions; without, an ablation.
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        num_site_symmetries: int,
        num_properties: int = 0,
        uses_geometry: bool = True,
    ) -> None:
        super().__init__()
        width, pair_width = sizes.width, sizes.pair_width
        self.element = nn.Embedding(_NUM_ELEMENTS, width)
        self.site = nn.Embedding(num_site_symmetries, width)
        self.site_numbers = nn.Linear(14, width)
        self.group = nn.Embedding(231, width)
        self.time = nn.Sequential(
            nn.Linear(2 * _TIME_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.cell = nn.Linear(13, width)
        self.composition = nn.Linear(width, width)
        self.wish = nn.Linear(2 * num_properties, width, bias=False) if num_properties else None
        self.condition = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.pairs = PairFeatures(width, pair_width, uses_geometry=uses_geometry)
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.num_layers))
        self.readout = Readout(width, pair_width)

    def forward(
        self, sites: Sites, time: Tensor, frac_coords: Tensor, cell: Tensor, shape: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Velocities.

        Args:
            sites: What is asked for.
            time: 0 for noise, 1 for a crystal; ``[num_crystals]``.
            frac_coords: ``[num_crystals, max_orbits, 3]``.
            cell: The cell's vector k; ``[num_crystals, 6]``.
            shape: The same, normalized; ``[num_crystals, 6]``.

        Returns:
            Of fractional coordinates ``[num_crystals, max_orbits, 3]``, of which free axes count,
            and of the normalized cell ``[num_crystals, 6]``.
        """
        counts = sites.images.mask.sum(1)
        share = _share_of_orbits(sites.images, sites.mask.shape[1])
        elements = self.element(sites.atomic_numbers)
        tokens = (
            elements
            + self.site(sites.site_symmetry)
            + self.site_numbers(_site_numbers(sites, share, counts))
        )
        free = sites.free_cell.to(shape.dtype)
        crystal = torch.cat([shape * free, free, counts.log()[:, None]], 1)
        condition = (
            self.time(_waves(time))
            + self.group(sites.space_group_number)
            + self.cell(crystal)
            + self.composition((share[..., None] * elements).sum(1))
        )
        if self.wish is not None:
            known = ~sites.properties.isnan()
            values = torch.where(known, sites.properties, 0.0)
            condition = condition + self.wish(torch.cat([values, known.to(values.dtype)], 1))
        condition = self.condition(condition)
        # Where atoms are is not a matter for half precision.
        with torch.autocast(cell.device.type, enabled=False):
            cells = Cells(lattice_of_vector(cell), sites.primitive)
            near = neighbors(cells, sites.images, frac_coords)
        pairs = self.pairs(sites, near, elements)
        for block in self.blocks:
            tokens = block(tokens, pairs, condition, sites.images)
        velocity, cell_velocity = self.readout(tokens, pairs, condition, near, sites, share)
        return velocity.to(frac_coords.dtype), cell_velocity.to(shape.dtype)


class PairFeatures(nn.Module):
    """What an orbit knows of an atom before any attention."""

    def __init__(self, width: int, pair_width: int, *, uses_geometry: bool) -> None:
        super().__init__()
        self.uses_geometry = uses_geometry
        # Logarithms of radii in Å, so that a bond's length means the same for all elements.
        self.log_radii = nn.Parameter(torch.full((_NUM_ELEMENTS,), math.log(1.4)))
        num_inputs = 2 * _NUM_DISTANCES + 6 * _NUM_WAVES + 3
        self.geometry = nn.Linear(num_inputs, pair_width)
        self.ours = nn.Linear(width, pair_width, bias=False)
        self.theirs = nn.Linear(width, pair_width, bias=False)
        self.out = nn.Linear(pair_width, pair_width)

    def forward(self, sites: Sites, near: Neighbors, elements: Tensor) -> Tensor:
        """``[num_crystals, max_orbits, max_images, pair_width]``."""
        owner = sites.images.owner
        hidden = self.ours(elements)[:, :, None] + _take(self.theirs(elements), owner)[:, None]
        if self.uses_geometry:
            radii = self.log_radii.exp()[sites.atomic_numbers]
            sums = radii[:, :, None] + radii.gather(1, owner)[:, None]
            phases = torch.cat([n * near.primitive for n in range(1, _NUM_WAVES + 1)], -1)
            angles = 2.0 * math.pi * phases
            features = [
                _gaussians(near.distance, _LARGEST_DISTANCE),
                _gaussians(near.distance / sums, _LARGEST_RATIO),
                angles.sin(),
                angles.cos(),
                near.unit,
            ]
            hidden = hidden + self.geometry(torch.cat(features, -1))
        return self.out(F.silu(hidden))


class Block(nn.Module):
    """Attention of orbits to atoms, and a perceptron, modulated by the condition (adaLN-Zero).

    Source:
        Peebles and Xie, arXiv 2212.09748.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, self.num_heads = sizes.width, sizes.num_heads
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.bias = nn.Linear(sizes.pair_width, sizes.num_heads, bias=False)
        self.pair_value = nn.Linear(sizes.num_heads * sizes.pair_width, width, bias=False)
        self.out = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 3 * width), nn.SiLU(), nn.Linear(3 * width, width)
        )

    def forward(self, tokens: Tensor, pairs: Tensor, condition: Tensor, images: Images) -> Tensor:
        """Tokens after the block; ``[num_crystals, max_orbits, width]``."""
        modulation = self.modulation(condition)[:, None].chunk(6, -1)
        shift, scale, gate, shift_2, scale_2, gate_2 = modulation
        normed = _normed(tokens) * (1.0 + scale) + shift
        tokens = tokens + gate * self._attention(normed, pairs, images)
        normed = _normed(tokens) * (1.0 + scale_2) + shift_2
        return tokens + gate_2 * self.perceptron(normed)

    def _attention(self, tokens: Tensor, pairs: Tensor, images: Images) -> Tensor:
        num_crystals, num_orbits, width = tokens.shape
        heads, size = self.num_heads, width // self.num_heads
        query, key, value = self.query_key_value(tokens).chunk(3, -1)
        query = query.view(num_crystals, num_orbits, heads, size).transpose(1, 2)
        key = key.view(num_crystals, num_orbits, heads, size).transpose(1, 2)
        # Scores of orbits, repeated for their atoms: each atom adds its own bias.
        scores = query @ key.mT / math.sqrt(size)
        owner = images.owner[:, None, None].expand(-1, heads, num_orbits, -1)
        scores = scores.gather(3, owner) + self.bias(pairs).permute(0, 3, 1, 2)
        scores = scores.masked_fill(~images.mask[:, None, None], -torch.inf)
        weights = scores.softmax(-1)
        values = _take(value, images.owner)
        values = values.view(num_crystals, -1, heads, size).transpose(1, 2)
        attended = (weights @ values).transpose(1, 2).reshape(num_crystals, num_orbits, width)
        seen = weights.transpose(1, 2) @ pairs  # [num_crystals, max_orbits, heads, pair_width]
        return self.out(attended) + self.pair_value(seen.flatten(2))


class Readout(nn.Module):
    """Velocities: a token's own, and along the displacements to the atoms."""

    def __init__(self, width: int, pair_width: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(width, 2 * width)
        self.ours = nn.Linear(width, pair_width)
        self.theirs = nn.Linear(width, pair_width, bias=False)
        self.weights = nn.Linear(pair_width, 2, bias=False)
        self.coordinates = nn.Linear(width, 3)
        self.cell = nn.Sequential(nn.Linear(2 * width + 6, width), nn.SiLU(), nn.Linear(width, 6))
        last: nn.Linear = self.cell[2]  # type: ignore[assignment]
        for layer in (self.modulation, self.coordinates, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        tokens: Tensor,
        pairs: Tensor,
        condition: Tensor,
        near: Neighbors,
        sites: Sites,
        share: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """As the network returns them."""
        shift, scale = self.modulation(condition)[:, None].chunk(2, -1)
        tokens = _normed(tokens) * (1.0 + scale) + shift
        owner = sites.images.owner
        hidden = pairs + self.ours(tokens)[:, :, None] + _take(self.theirs(tokens), owner)[:, None]
        weights = self.weights(F.silu(hidden)) * sites.images.mask[:, None, :, None]
        along = (weights[..., :1] * near.step).sum(2)
        velocity = along + self.coordinates(tokens)
        # A pull along the displacements strains the cell, as forces do.
        pull = (weights[..., 1:] * near.unit).mT @ near.unit  # [num_crystals, max_orbits, 3, 3]
        strain = torch.einsum("bn,bnij,kij->bk", share, pull, lattice_basis().to(pull))
        pooled = (share[..., None] * tokens).sum(1)
        return velocity, self.cell(torch.cat([pooled, condition, strain], 1))


def _share_of_orbits(images: Images, num_orbits: int) -> Tensor:
    """Share of each orbit in the atoms; ``[num_crystals, max_orbits]``."""
    counts = images.rotation.new_zeros(len(images.owner), num_orbits)
    counts = counts.scatter_add(1, images.owner, images.mask.to(counts.dtype))
    return counts / counts.sum(1, keepdim=True)


def _site_numbers(sites: Sites, share: Tensor, counts: Tensor) -> Tensor:
    size = (share * counts[:, None] + 1.0).log()[..., None]
    free = sites.free_axes.to(share.dtype)
    return torch.cat([size, free, free.sum(-1, keepdim=True), sites.projection.flatten(2)], -1)


def _waves(time: Tensor) -> Tensor:
    frequencies = torch.exp(
        torch.linspace(0.0, math.log(1000.0), _TIME_FREQUENCIES, device=time.device)
    ).to(time.dtype)
    angles = time[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)


def _gaussians(values: Tensor, largest: float) -> Tensor:
    centers = torch.linspace(0.0, largest, _NUM_DISTANCES, device=values.device).to(values.dtype)
    width = largest / (_NUM_DISTANCES - 1)
    return torch.exp(-0.5 * ((values[..., None] - centers) / width) ** 2)


def _normed(tokens: Tensor) -> Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:])


def _take(tokens: Tensor, owner: Tensor) -> Tensor:
    """Values of the orbits that images belong to; ``[num_crystals, max_images, ...]``."""
    return tokens.gather(1, owner[..., None].expand(-1, -1, tokens.shape[-1]))
