"""Straight paths from noise to crystals, on the torus of fractional coordinates.

A crystal has many equivalent descriptions: by another point of an orbit, from another origin. Noise
prefers none of them, so each noise is joined with the nearest one: paths are short and cross less.

Source:
    Flow matching on tori: Chen and Lipman, arXiv 2302.03660; Miller et al. (FlowMM),
    arXiv 2406.04713. Nearest equivalent ends: Klein et al., arXiv 2306.15030.
"""

import math

import torch
from torch import Tensor

from crystal_data.loading import OrbitBatch
from crystal_gen.positions import PositionTable, Twins, turned, twins_of


def wrapped(difference: Tensor) -> Tensor:
    """The shortest of the displacements that differ by whole cells, -½ to ½."""
    return difference - difference.round()


def nearest_description(table: PositionTable, batch: OrbitBatch, noise: Tensor) -> Tensor:
    """The displacement from noise to the nearest description of each crystal.

    Args:
        table: Of positions, on the batch's device.
        batch: The crystals.
        noise: Points on the representatives; ``[num_crystals, max_orbits, 3]``.

    Returns:
        What is added to the noise; zero on axes that are not free;
        ``[num_crystals, max_orbits, 3]``.
    """
    num_orbits = batch.mask.shape[1]
    polar = table.polar_axes[batch.space_group_number][:, None]
    # Along polar axes the first guess of the origin lets the crystal's mean meet the noise's.
    mean = _circular_mean(noise - batch.frac_coords, batch.mask)[:, None]
    start = batch.frac_coords + mean * polar
    twins = twins_of(table, batch)
    crystal = torch.div(twins.place, twins.max_shifts * num_orbits, rounding_mode="floor")
    orbit = crystal * num_orbits + twins.place % num_orbits
    points = turned(twins.rotation, start.flatten(0, 1)[orbit]) + twins.translation
    ways = wrapped(points - noise.flatten(0, 1)[orbit]) * batch.free_axes.flatten(0, 1)[orbit]
    way = _nearest(batch, twins, ways)
    # A common shift along polar axes moves the origin alone, so it is left out.
    common = _circular_mean(way, batch.mask)[:, None] * polar
    return (way - common) * batch.free_axes


def _nearest(batch: OrbitBatch, twins: Twins, ways: Tensor) -> Tensor:
    """Each orbit's shortest displacement, from the origin with the least sum over the crystal."""
    num_crystals, num_orbits = batch.mask.shape
    shape = (num_crystals, twins.max_shifts, num_orbits)
    num_places = num_crystals * twins.max_shifts * num_orbits
    squares = (ways**2).sum(1)
    least = squares.new_full((num_places,), torch.inf)
    least = least.scatter_reduce(0, twins.place, squares, "amin")
    is_least = squares == least[twins.place]
    which = torch.arange(len(squares), device=squares.device)
    chosen = torch.full((num_places,), len(squares), device=squares.device)
    chosen = chosen.scatter_reduce(0, twins.place[is_least], which[is_least], "amin")
    costs = least.view(shape).masked_fill(~batch.mask[:, None], 0.0).sum(2)
    crystal = torch.arange(num_crystals, device=squares.device)
    taken = chosen.view(shape)[crystal, costs.argmin(1)]
    padded = torch.cat([ways, ways.new_zeros(1, 3)])
    return padded[taken.masked_fill(~batch.mask, len(squares))]


def _circular_mean(ways: Tensor, mask: Tensor) -> Tensor:
    angles = 2.0 * math.pi * ways
    weights = mask[..., None].to(ways.dtype)
    sines, cosines = (angles.sin() * weights).sum(1), (angles.cos() * weights).sum(1)
    return torch.atan2(sines, cosines + 1e-9) / (2.0 * math.pi)
