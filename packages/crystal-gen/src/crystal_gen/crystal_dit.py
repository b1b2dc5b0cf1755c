"""The default model of structures: flow matching over what symmetry leaves free."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from crystal_data.loading import OrbitBatch
from crystal_data.training import Sums
from crystal_data.transforms import SampleRandom
from crystal_gen.dit.cells import CellScale
from crystal_gen.dit.network import OrbitTransformer, Sites, Sizes
from crystal_gen.exchange import ElementExchange
from crystal_gen.heads import check_heads
from crystal_gen.lattice_vector import lattice_parameters, lattice_vector
from crystal_gen.paths import nearest_description
from crystal_gen.positions import PositionTable, images_of, position_table, turned
from crystal_gen.structure_model import Sampling, StructureModel, composition_of

_FORGOTTEN = 0.2  # share of the crystals whose properties are hidden in training
# What structures are scored by: times, noises at each, weight of the cell's error.
_SCORED_TIMES = (0.3, 0.5, 0.7, 0.85, 0.95)
_DRAWS_PER_TIME = 2
_CELL_IN_SCORE = 0.1
_TORUS_VARIANCE = 1.0 / 12.0  # of a coordinate that may be anything


class _Errors(NamedTuple):
    """Squared errors of velocities, and how many numbers they are of; each ``[num_crystals]``."""

    coordinates: Tensor
    num_coordinates: Tensor
    cell: Tensor
    num_cell: Tensor


class CrystalDiT(StructureModel):
    """Free coordinates of Wyckoff orbits and free components of the cell, from noise.

    Tokens are orbits; each attends to all atoms of the crystal by their nearest images. The group's
    operations make the atoms, so symmetry is exact in every output. A straight path leads from
    noise (uniform points; a normal cell) to the crystal, and the network learns its velocity. The
    cell is denoised earlier than the coordinates.

    Args:
        properties: Columns of the data that may be wished for.
        width: Of a token.
        num_layers: Blocks of attention.
        num_heads: Of attention; divides the width.
        pair_width: Of what is kept for each orbit and atom.
        uses_geometry: Attention sees distances and directions; False is an ablation.
        exchange: Share of training crystals in which elements may be exchanged for others that are
            alike.
        uses_symmetry: False learns and makes primitive cells in space group 1, for compositions
            without symmetry: a token is an atom then, and all coordinates are free.

    Raises:
        InvalidArgumentError: If the heads do not divide the width.

    Source:
        Transformer blocks with adaLN-Zero: Peebles and Xie, arXiv 2212.09748. The cell's vector:
        DiffCSP++, arXiv 2402.03992. Straight paths on tori: FlowMM, arXiv 2406.04713.
    """

    default_sampling: ClassVar[Sampling] = Sampling(num_steps=30, sharpness=2.0)

    def __init__(
        self,
        properties: Sequence[str] = ("formation_energy_per_atom",),
        *,
        width: int = 128,
        num_layers: int = 6,
        num_heads: int = 8,
        pair_width: int = 64,
        uses_geometry: bool = True,
        exchange: float = 0.5,
        uses_symmetry: bool = True,
    ) -> None:
        super().__init__(properties)
        check_heads(width, num_heads)
        self.uses_symmetry = uses_symmetry
        self._table = position_table().float()
        self.network = OrbitTransformer(
            Sizes(width, num_layers, num_heads, pair_width),
            num_site_symmetries=self._table.num_site_symmetries,
            num_properties=len(self.properties),
            uses_geometry=uses_geometry,
        )
        self.scale = CellScale()
        self.exchange = ElementExchange(exchange)

    def table(self, device: torch.device) -> PositionTable:
        """The positions of all groups, on a device."""
        if self._table.first.device != device:
            self._table = self._table.to(device)
        return self._table

    @override
    def fit_scales(self, batch: OrbitBatch) -> None:
        super().fit_scales(batch)
        composition, vector = composition_of(batch), lattice_vector(batch.lattice_parameters)
        self.scale.fit(batch.space_group_number, composition, vector)
        self.exchange.fit(composition)

    @override
    def losses(self, batch: OrbitBatch, random: SampleRandom) -> Sums:
        number = batch.space_group_number
        vector = lattice_vector(batch.lattice_parameters)
        end = self.scale.normalize(number, composition_of(batch), vector)
        if self.training:
            # The cell's normalized vector stays, so that its size is that of the new elements.
            batch = self.exchange(batch, random)
        wishes = self.wishes(batch)
        is_forgotten = random.uniform("forgotten").to(wishes)[:, None] < _FORGOTTEN
        wishes = wishes.masked_fill(is_forgotten, torch.nan)
        time = random.uniform("time").to(end)
        errors = self._errors(batch, end, wishes, time, random)
        return {
            "coordinates": (errors.coordinates.sum(), errors.num_coordinates.sum()),
            "cell": (errors.cell.sum(), errors.num_cell.sum()),
        }

    def _errors(
        self,
        batch: OrbitBatch,
        end: Tensor,
        wishes: Tensor,
        time: Tensor,
        random: SampleRandom,
    ) -> _Errors:
        """How far the network is from the velocities of true crystals at a time."""
        table, number = self.table(batch.mask.device), batch.space_group_number
        sites = self._sites(table, batch, wishes)
        noise = self._noise(batch, random)
        begin = random.normal("cell", 6).to(end) * sites.free_cell
        way = nearest_description(table, batch, noise)
        frac_coords = noise + time[:, None, None] * _along(sites, way)
        level = _cell_level(time)[:, None]
        shape = level * end + (1.0 - level) * begin
        cell = self.scale.denormalize(number, composition_of(batch), shape)
        velocity, cell_velocity = self.network(sites, time, frac_coords, cell, shape)
        free = (batch.free_axes & batch.mask[..., None]).to(end.dtype)
        return _Errors(
            coordinates=((velocity - way) ** 2 * free).sum((1, 2)) / _TORUS_VARIANCE,
            num_coordinates=free.sum((1, 2)),
            cell=((cell_velocity - (end - begin)) ** 2 * sites.free_cell).sum(1) / 2.0,
            num_cell=sites.free_cell.sum(1).to(end.dtype),
        )

    @override
    @torch.no_grad()
    def sample(
        self,
        batch: OrbitBatch,
        random: SampleRandom,
        sampling: Sampling,
        start: float | None = None,
    ) -> OrbitBatch:
        table = self.table(batch.mask.device)
        sites = self._sites(table, batch, self.wishes(batch))
        composition, number = composition_of(batch), batch.space_group_number
        frac_coords = self._noise(batch, random)
        shape = random.normal("cell", 6).to(frac_coords) * sites.free_cell
        begin = 0.0 if start is None else 1.0 - start
        if start is not None:
            way = nearest_description(table, batch, frac_coords)
            frac_coords = frac_coords + begin * _along(sites, way)
            given = self.scale.normalize(
                number, composition, lattice_vector(batch.lattice_parameters)
            )
            level = _cell_level(shape.new_tensor(begin))
            shape = level * given + (1.0 - level) * shape
        times = torch.linspace(begin, 1.0, sampling.num_steps + 1).to(shape)
        for now, then in itertools.pairwise(times):
            cell = self.scale.denormalize(number, composition, shape)
            velocity, cell_velocity = self._velocities(
                sites, now.expand(len(cell)), frac_coords, cell, shape, sampling.guidance
            )
            longer = 1.0 + sampling.sharpness * now
            frac_coords = frac_coords + (then - now) * longer * _along(sites, velocity)
            shape = shape + (_cell_level(then) - _cell_level(now)) * cell_velocity
        cell = self.scale.denormalize(number, composition, shape)
        parameters = lattice_parameters(cell, number, batch.free_lattice)
        return replace(batch, frac_coords=frac_coords, lattice_parameters=parameters)

    @override
    @torch.no_grad()
    def scores(self, batch: OrbitBatch, random: SampleRandom) -> Tensor:
        vector = lattice_vector(batch.lattice_parameters)
        end = self.scale.normalize(batch.space_group_number, composition_of(batch), vector)
        wishes, total = self.wishes(batch), torch.zeros_like(end[:, 0])
        for place, time in enumerate(_SCORED_TIMES):
            for again in range(_DRAWS_PER_TIME):
                noise = random.in_epoch(place * _DRAWS_PER_TIME + again)
                errors = self._errors(batch, end, wishes, torch.full_like(total, time), noise)
                total += errors.coordinates / errors.num_coordinates.clamp(min=1.0)
                # Where no coordinate is free, cells are all that differs.
                total += _CELL_IN_SCORE * errors.cell / errors.num_cell
        return -total / (len(_SCORED_TIMES) * _DRAWS_PER_TIME)

    def _velocities(
        self,
        sites: Sites,
        time: Tensor,
        frac_coords: Tensor,
        cell: Tensor,
        shape: Tensor,
        guidance: float,
    ) -> tuple[Tensor, Tensor]:
        """Velocities under guidance, zero for what is not free."""
        wished, cell_wished = self.network(sites, time, frac_coords, cell, shape)
        if guidance != 1.0 and self.properties:
            plain = sites._replace(properties=torch.full_like(sites.properties, torch.nan))
            any_, cell_any = self.network(plain, time, frac_coords, cell, shape)
            wished = any_ + guidance * (wished - any_)
            cell_wished = cell_any + guidance * (cell_wished - cell_any)
        return wished, cell_wished * sites.free_cell

    def _sites(self, table: PositionTable, batch: OrbitBatch, wishes: Tensor) -> Sites:
        rows, number = table.rows_of(batch), batch.space_group_number
        return Sites(
            space_group_number=number,
            atomic_numbers=batch.atomic_numbers,
            site_symmetry=table.site_symmetry[rows],
            free_axes=batch.free_axes,
            projection=table.projection[rows],
            mask=batch.mask,
            free_cell=self.scale.free[number],
            primitive=table.primitive[number],
            images=images_of(table, batch),
            properties=wishes,
        )

    def _noise(self, batch: OrbitBatch, random: SampleRandom) -> Tensor:
        """Uniform points of the representatives; ``[num_crystals, max_orbits, 3]``."""
        table = self.table(batch.mask.device)
        rows, num_orbits = table.rows_of(batch), batch.mask.shape[1]
        points = random.uniform("coordinates", 3 * num_orbits).to(batch.frac_coords)
        points = points.view(-1, num_orbits, 3)
        return turned(table.projection[rows], points) + table.offset[rows]


def _along(sites: Sites, way: Tensor) -> Tensor:
    """How representatives move with their free coordinates; ``[..., 3]``."""
    return turned(sites.projection, way * sites.free_axes)


def _cell_level(time: Tensor) -> Tensor:
    """Share of the cell's path that is done at the time of the coordinates."""
    return 1.0 - (1.0 - time) ** 2
