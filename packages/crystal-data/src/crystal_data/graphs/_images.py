"""Which periodic images can lie within a radius: reduced cells and their lattice points."""

from itertools import permutations
from typing import NamedTuple

import torch
from torch import Tensor

# A projection longer than half an edge by this share is worth a step of the reduction; without the
# margin, rounding noise would move cells with exact 60° angles to and fro.
_REDUCTION_MARGIN = 1e-3
_MAX_REDUCTION_SWEEPS = 100


class Images(NamedTuple):
    """Lattice points of many crystals end to end, in an order symmetric about the origin."""

    shift: Tensor  # [num_images, 3], whole cells
    cart: Tensor  # [num_images, 3], Å
    per_crystal: Tensor  # int64 [num_crystals]
    first: Tensor  # int64 [num_crystals], the crystal's first row


def reduce_cells(lattice: Tensor) -> tuple[Tensor, Tensor] | None:
    """Shorter, less skewed lattice vectors of the same lattices.

    Each vector is shortened by whole multiples of the others until none gets shorter, for all
    crystals at once. The result need not be unique: it only keeps the number of images small.

    Args:
        lattice: Rows are a, b, c; shape ``[num_crystals, 3, 3]``, Å.

    Returns:
        The reduced lattices and the whole-numbered ``change`` with ``reduced = change @ lattice``,
        both ``[num_crystals, 3, 3]``; None where nothing is gained.
    """
    gram = lattice @ lattice.transpose(1, 2)
    squares = gram.diagonal(dim1=1, dim2=2)
    projections = (gram / squares[:, None, :]).abs()
    limit = 0.5 + _REDUCTION_MARGIN
    skewed = ((projections > limit).sum(dim=(1, 2)) > 3).nonzero()[:, 0]  # the diagonal is 3 ones
    if len(skewed) == 0:
        return None
    change = torch.eye(3, dtype=lattice.dtype, device=lattice.device).repeat(len(lattice), 1, 1)
    reduced = lattice.clone()
    cells, steps = reduced[skewed], change[skewed]
    for _ in range(_MAX_REDUCTION_SWEEPS):
        moved = False
        for i, j in permutations(range(3), 2):
            projection = (cells[:, i] * cells[:, j]).sum(1) / cells[:, j].square().sum(1)
            multiple = torch.where(projection.abs() > limit, projection.round(), 0.0)[:, None]
            cells[:, i] -= multiple * cells[:, j]
            steps[:, i] -= multiple * steps[:, j]
            moved = moved or bool(multiple.any())
        if not moved:
            break
    change[skewed] = steps
    # From the whole numbers, not from the running sums, so that no rounding piles up.
    reduced[skewed] = steps @ lattice[skewed]
    return reduced, change


def plane_spacings(lattice: Tensor) -> Tensor:
    """Distance between neighbouring lattice planes (100), (010), (001).

    Args:
        lattice: Rows are a, b, c; shape ``[num_crystals, 3, 3]``, Å.

    Returns:
        Shape ``[num_crystals, 3]``, Å.
    """
    normals = torch.linalg.cross(lattice.roll(-1, dims=1), lattice.roll(-2, dims=1))
    volume = (normals[:, 0] * lattice[:, 0]).sum(1).abs()
    return volume[:, None] / normals.norm(dim=2)


def images_within(lattice: Tensor, spacings: Tensor, radius: Tensor) -> Images:
    """Lattice points that may bring two atoms within ``radius`` of each other.

    Holds for pairs whose difference in fractional coordinates is rounded to the nearest image,
    so that each component is within one half: along an axis of plane spacing h, no image further
    than ``radius / h + 1/2`` counts, and none further from the origin than the radius and half of
    the longest diagonal of the cell together.

    Args:
        lattice: Rows are a, b, c; shape ``[num_crystals, 3, 3]``, Å.
        spacings: ``plane_spacings(lattice)``, Å.
        radius: Shape ``[num_crystals]``, Å.

    Returns:
        For each crystal its images in lexicographic order; the zero image is the middle one.
    """
    num_crystals = len(lattice)
    device = lattice.device
    bounds = (radius[:, None] / spacings + (0.5 + 1e-9)).floor().long()
    widths = 2 * bounds + 1
    box_count = widths.prod(dim=1)
    crystal = torch.repeat_interleave(torch.arange(num_crystals, device=device), box_count)
    rank = torch.arange(len(crystal), device=device) - _starts(box_count)[crystal]
    first, rest = _divmod(rank, (widths[:, 1] * widths[:, 2])[crystal])
    second, third = _divmod(rest, widths[:, 2][crystal])
    shift = (torch.stack((first, second, third), dim=1) - bounds[crystal]).to(lattice.dtype)
    cart = shift[:, :1] * lattice[crystal, 0]
    cart += shift[:, 1:2] * lattice[crystal, 1]
    cart += shift[:, 2:] * lattice[crystal, 2]
    reach = radius + _half_diagonal(lattice) + 1e-6
    near = cart.square().sum(1) <= reach.square()[crystal]
    count = torch.bincount(crystal[near], minlength=num_crystals)
    return Images(shift[near], cart[near], count, _starts(count))


def _half_diagonal(lattice: Tensor) -> Tensor:
    signs = lattice.new_tensor([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]])
    return (signs @ lattice).norm(dim=2).amax(dim=1) / 2


def _divmod(value: Tensor, divisor: Tensor) -> tuple[Tensor, Tensor]:
    quotient = torch.div(value, divisor, rounding_mode="floor")
    return quotient, value - quotient * divisor


def _starts(count: Tensor) -> Tensor:
    return count.cumsum(0) - count
