"""A rival of CrystalDiT: Gaussian noise in Å, projected onto what each site leaves free.

The default draws free coordinates uniformly and moves them on a straight way to the crystal: at
each time a long axis is blurred by more Å than a short one. Other models blur all crystals alike.
``ProjectedNoise`` is CrystalDiT with such noise:

- *Noise.* Every representative is displaced by an isotropic normal of σ Å, of which the part within
  the point, line or plane that its site symmetry leaves free is kept. The current cell says what is
  orthogonal. Coordinates wrap around the cell, and a blur of 0.6 of a period is uniform to 0.2 % of
  the density, so no free coordinate is blurred by more.
- *Levels.* σ = (1 Å) (1 − t) / t: infinite at t = 0, where noise is uniform as the default's, and
  at t = ½ about what the default has along a line of 7.8 Å, the median free one of MP-20.
- *Target.* The mean displacement to the crystal, given the noised points: the score of the wrapped
  normal times its covariance. The mean is over all periodic images and all equivalent descriptions
  of the crystal, which the default gets by way of the nearest one.
- *Errors* of that mean are measured in Å, in units of σ.
- *Sampler.* The probability flow of this noise in the default's steps, with its sharpness.

Network, cell, exchange of elements and everything about training are the default's.

Source:
    Scores of wrapped normals: Jiao et al. (DiffCSP), arXiv 2309.04475. Projection onto what a site
    leaves free: Jiao et al. (DiffCSP++), arXiv 2402.03992. Probability flow: Song et al.,
    arXiv 2011.13456.
"""

import itertools
from dataclasses import replace

import torch
from torch import Tensor
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError
from crystal_data.loading import OrbitBatch
from crystal_data.transforms import SampleRandom
from crystal_gen import CrystalDiT, Sampling
from crystal_gen.crystal_dit import _along, _cell_level, _Errors
from crystal_gen.dit.network import Sites
from crystal_gen.lattice_vector import lattice_of_vector, lattice_parameters
from crystal_gen.paths import nearest_description, wrapped
from crystal_gen.positions import PositionTable, turned, twins_of
from crystal_gen.structure_model import composition_of

_HALF_TIME_SIGMA = 1.0  # Å
_UNIFORM = 0.6  # of a period: the deviation of a blur that is uniform for all purposes
_NUM_IMAGES = 2  # periodic images to either side that such a blur reaches
_LATEST = 0.99  # time in training, where σ is 0.01 Å


class ProjectedNoise(CrystalDiT):
    """CrystalDiT with projected Cartesian noise; arguments are the same."""

    @override
    def _errors(
        self,
        batch: OrbitBatch,
        end: Tensor,
        wishes: Tensor,
        time: Tensor,
        random: SampleRandom,
    ) -> _Errors:
        table, number = self.table(batch.mask.device), batch.space_group_number
        time = time.clamp(max=_LATEST)
        sites = self._sites(table, batch, wishes)
        begin = random.normal("cell", 6).to(end) * sites.free_cell
        level = _cell_level(time)[:, None]
        shape = level * end + (1.0 - level) * begin
        cell = self.scale.denormalize(number, composition_of(batch), shape)
        with torch.autocast(end.device.type, enabled=False):
            blur = Blur(sites, cell, time)
            # Any of the equivalent descriptions, each as often.
            uniform = self._noise(batch, random)
            crystal = uniform + _along(sites, nearest_description(table, batch, uniform))
            draws = random.normal("projected", 3 * batch.mask.shape[1]).to(end)
            noised = crystal + _along(sites, blur.colored(draws.view_as(crystal)))
            true = replace(batch, frac_coords=crystal)
            way = mean_way(table, true, blur.precision, noised)
        velocity, cell_velocity = self.network(sites, time, noised, cell, shape)
        free = (batch.free_axes & batch.mask[..., None]).to(end.dtype)
        with torch.autocast(end.device.type, enabled=False):
            errors = (blur.way(velocity) - way) * free
            squares = (errors * turned(blur.precision, errors)).sum((1, 2))
        return _Errors(
            coordinates=squares,
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
        if start is not None:
            raise InvalidArgumentError(
                "this variant makes crystals from noise alone", "leave the start out"
            )
        sites = self._sites(self.table(batch.mask.device), batch, self.wishes(batch))
        composition, number = composition_of(batch), batch.space_group_number
        frac_coords = self._noise(batch, random)
        shape = random.normal("cell", 6).to(frac_coords) * sites.free_cell
        times = torch.linspace(0.0, 1.0, sampling.num_steps + 1).to(shape)
        with torch.autocast(shape.device.type, enabled=False):
            cell = self.scale.denormalize(number, composition, shape)
            for now, then in itertools.pairwise(times):
                velocity, cell_velocity = self._velocities(
                    sites, now.expand(len(cell)), frac_coords, cell, shape, sampling.guidance
                )
                shape = shape + (_cell_level(then) - _cell_level(now)) * cell_velocity
                before = Blur(sites, cell, now.expand(len(cell)))
                cell = self.scale.denormalize(number, composition, shape)
                after = Blur(sites, cell, then.expand(len(cell)))
                way = before.way(velocity)
                longer = 1.0 + sampling.sharpness * now
                step = way - after.colored(before.whitened(way))
                frac_coords = frac_coords + longer * _along(sites, step)
        parameters = lattice_parameters(cell, number, batch.free_lattice)
        return replace(batch, frac_coords=frac_coords, lattice_parameters=parameters)


class Blur:
    """The normal distribution of free coordinates at a time, before they wrap around the cell.

    Args:
        sites: Of the crystals.
        cell: Vectors k; ``[num_crystals, 6]``.
        time: From 0 to 1; ``[num_crystals]``.

    Attributes:
        precision: Inverse of the covariance, in squared free coordinates;
            ``[num_crystals, max_orbits, 3, 3]``.
    """

    def __init__(self, sites: Sites, cell: Tensor, time: Tensor) -> None:
        lattice = lattice_of_vector(cell)
        # Rows: how far an orbit's point moves, in Å, with each free coordinate.
        moves = (sites.projection * sites.free_axes[:, :, None]).mT @ lattice[:, None]
        self._metric = moves @ moves.mT
        self._per_sigma = (time / (_HALF_TIME_SIGMA * (1.0 - time).clamp(min=1e-6)))[:, None, None]
        eye = torch.eye(3, dtype=cell.dtype, device=cell.device)
        within_sigma = self._metric * self._per_sigma[..., None] ** 2
        self.precision = within_sigma + eye / _UNIFORM**2
        self._root = torch.linalg.cholesky(self.precision)

    def colored(self, draws: Tensor) -> Tensor:
        """Displacements by standard normal draws; ``[num_crystals, max_orbits, 3]``."""
        solved = torch.linalg.solve_triangular(self._root.mT, draws[..., None], upper=True)
        return solved[..., 0]

    def whitened(self, displacements: Tensor) -> Tensor:
        """The draws that give displacements; ``[num_crystals, max_orbits, 3]``."""
        return turned(self._root.mT, displacements)

    def way(self, velocity: Tensor) -> Tensor:
        """The mean displacement that the network's output stands for, about σ times it.

        Args:
            velocity: In free coordinates to an Å; ``[num_crystals, max_orbits, 3]``.
        """
        force = turned(self._metric, velocity) * self._per_sigma
        return torch.cholesky_solve(force[..., None], self._root)[..., 0]


def mean_way(table: PositionTable, batch: OrbitBatch, precision: Tensor, noised: Tensor) -> Tensor:
    """The mean way back from noised points to the crystal.

    Args:
        table: Of positions, on the batch's device.
        batch: The crystals, with the points that noise was added to.
        precision: Of the noise; ``[num_crystals, max_orbits, 3, 3]``.
        noised: Points on the representatives; ``[num_crystals, max_orbits, 3]``.

    Returns:
        In free coordinates, zero on others: the mean over periodic images, other points of each
        orbit and other origins, by how likely the noise made the given points of them. A common
        shift along polar axes, which nobody can see, is taken out;
        ``[num_crystals, max_orbits, 3]``.
    """
    num_crystals, num_orbits = batch.mask.shape
    twins = twins_of(table, batch)
    crystal = torch.div(twins.place, twins.max_shifts * num_orbits, rounding_mode="floor")
    orbit = crystal * num_orbits + twins.place % num_orbits
    points = turned(twins.rotation, batch.frac_coords.flatten(0, 1)[orbit]) + twins.translation
    ways = wrapped(points - noised.flatten(0, 1)[orbit]) * batch.free_axes.flatten(0, 1)[orbit]
    means, logs = _over_images(ways, precision.flatten(0, 1), orbit)
    # Points of an orbit are alternatives of their own, origins are those of a whole crystal.
    num_places = num_crystals * twins.max_shifts * num_orbits
    most = logs.new_full((num_places,), -torch.inf).scatter_reduce(0, twins.place, logs, "amax")
    shares = (logs - most[twins.place]).exp()
    totals = shares.new_zeros(num_places).index_add(0, twins.place, shares)
    sums = means.new_zeros(num_places, 3).index_add(0, twins.place, shares[:, None] * means)
    of_origin = (num_crystals, twins.max_shifts, num_orbits)
    likely = (most + totals.log()).view(of_origin).masked_fill(~batch.mask[:, None], 0.0)
    origins = likely.sum(2).softmax(1)[..., None, None]
    way = (origins * (sums / totals.clamp(min=1e-30)[:, None]).view(*of_origin, 3)).sum(1)
    way = way * batch.free_axes * batch.mask[..., None]
    common = way.sum(1, keepdim=True) / batch.mask.sum(1)[:, None, None]
    return (
        way - common * table.polar_axes[batch.space_group_number][:, None] * batch.mask[..., None]
    )


def _over_images(ways: Tensor, precision: Tensor, orbit: Tensor) -> tuple[Tensor, Tensor]:
    """Mean way over periodic images, and logarithm of the summed density of all.

    Args:
        ways: Shortest ones; ``[num_twins, 3]``.
        precision: ``[num_crystals * max_orbits, 3, 3]``.
        orbit: Of each way; int64 ``[num_twins]``.
    """
    steps = torch.arange(-_NUM_IMAGES, _NUM_IMAGES + 1, dtype=ways.dtype, device=ways.device)
    images = torch.cartesian_prod(steps, steps, steps)
    far = ((images @ precision) * images).sum(-1)
    pulled = turned(precision[orbit], ways)
    squares = (ways * pulled).sum(1, keepdim=True) + 2.0 * pulled @ images.T + far[orbit]
    logs = -0.5 * squares
    return ways + logs.softmax(1) @ images, logs.logsumexp(1)
