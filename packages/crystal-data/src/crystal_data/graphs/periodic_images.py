"""Which periodic images can lie within a radius: reduced cells and their lattice points."""

from itertools import permutations
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Cells whose edges multiply to more than this many times the volume are reduced; below it there are
# few images to save. The primitive cell of fcc has 1.4.
_WORTH_REDUCING = 2.0
# Share of an edge that another's projection on it must exceed; the margin over one half keeps
# rounding noise from moving cells with exact 60° angles to and fro.
_WORTH_A_STEP = 0.501
_MAX_REDUCTION_SWEEPS = 100


class Images(NamedTuple):
    """Lattice points of many crystals end to end, in an order symmetric about the origin."""

    shift: Tensor  # [num_images, 3], whole cells
    cart: Tensor  # [num_images, 3], Å
    per_crystal: Tensor  # int64 [num_crystals]
    first: Tensor  # int64 [num_crystals], the crystal's first row

    def split(self, counts: list[int]) -> list["Images"]:
        """Those of runs of so many crystals each."""
        if len(counts) == 1:
            return [self]
        per_crystal = self.per_crystal.split(counts)
        sizes = [int(one.sum()) for one in per_crystal]
        parts = zip(self.shift.split(sizes), self.cart.split(sizes), per_crystal, strict=True)
        return [Images(*part, _starts(part[-1])) for part in parts]


class Reduction(NamedTuple):
    """Shorter, less skewed vectors of the same lattices."""

    lattice: Tensor  # [num_crystals, 3, 3], change @ given, Å
    change: Tensor  # [num_crystals, 3, 3], whole numbers
    inverse: Tensor  # [num_crystals, 3, 3], of change, whole numbers too


def reduce_cells(lattice: Tensor) -> Reduction | None:
    """Shortens each vector by whole multiples of the others until none gets shorter.

    For all crystals at once. The result need not be unique: it only keeps the images few.

    Args:
        lattice: Rows are a, b, c; shape ``[num_crystals, 3, 3]``, Å.

    Returns:
        None where nothing is gained.
    """
    skewed = lattice.norm(dim=2).prod(dim=1) > _WORTH_REDUCING * volumes(lattice)
    if not bool(skewed.any()):
        return None
    whole = torch.eye(3, dtype=lattice.dtype, device=lattice.device).repeat(2, len(lattice), 1, 1)
    whole[:, skewed] = torch.from_numpy(_reduction(lattice[skewed].cpu().numpy())).to(whole)
    # From the whole numbers, not from running sums, so that no rounding piles up.
    return Reduction(whole[0] @ lattice, whole[0], whole[1])


@np.errstate(divide="ignore", invalid="ignore")  # of vectors in one plane, which stay as they are
def _reduction(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """The change to shorter vectors and its inverse; ``[2, num_crystals, 3, 3]``."""
    # In NumPy, in which many small steps take a third of the time that torch takes.
    rows = np.concatenate((cells, np.tile(np.eye(3), (len(cells), 1, 1))), axis=2)
    cells = rows[:, :, :3]  # a view: one step changes the cell and the change
    inverse = np.tile(np.eye(3), (len(cells), 1, 1))
    for _ in range(_MAX_REDUCTION_SWEEPS):
        products = cells @ cells.transpose(0, 2, 1)
        shares = products / np.diagonal(products, axis1=1, axis2=2)[:, None, :]
        if (np.abs(shares - np.eye(3)) <= _WORTH_A_STEP).all():
            break
        for i, j in permutations(range(3), 2):
            share = (cells[:, i] * cells[:, j]).sum(1) / np.square(cells[:, j]).sum(1)
            multiple = np.where(np.abs(share) > _WORTH_A_STEP, share.round(), 0.0)[:, None]
            rows[:, i] -= multiple * rows[:, j]
            inverse[:, :, j] += multiple * inverse[:, :, i]
    return np.stack((rows[:, :, 3:], inverse))


def times_matrix(vectors: Tensor, matrices: Tensor, row: Tensor) -> Tensor:
    """``vectors[n] @ matrices[row[n]]`` for many short vectors; shape ``[n, 3]``."""
    entries = matrices.flatten(1).T.contiguous()  # so that each is gathered as a plain column
    product = torch.empty_like(vectors)
    for column in range(3):
        total = entries[column].index_select(0, row).mul_(vectors[:, 0])
        total.addcmul_(entries[3 + column].index_select(0, row), vectors[:, 1])
        total.addcmul_(entries[6 + column].index_select(0, row), vectors[:, 2])
        product[:, column] = total
    return product


def volumes(lattice: Tensor) -> Tensor:
    """Volumes of cells, Å³; shape ``[num_crystals]``."""
    a, b, c = lattice.unbind(1)
    return (torch.linalg.cross(a, b) * c).sum(1).abs()


def squared_norms(vectors: Tensor) -> Tensor:
    """Sum of squares over the last axis of three; faster than a general reduction."""
    x, y, z = vectors.square().unbind(-1)
    return x + y + z


def plane_spacings(lattice: Tensor) -> Tensor:
    """Distance between neighboring lattice planes (100), (010), (001).

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
    rank = torch.arange(len(crystal), device=device) - _starts(box_count).index_select(0, crystal)
    width = widths.index_select(0, crystal)
    first, rest = _divmod(rank, width[:, 1] * width[:, 2])
    second, third = _divmod(rest, width[:, 2])
    box = torch.stack((first, second, third), dim=1) - bounds.index_select(0, crystal)
    shift = box.to(lattice.dtype)
    cart = times_matrix(shift, lattice, crystal)
    reach = (radius + _half_diagonal(lattice) + 1e-6).square()
    near = (squared_norms(cart) <= reach.index_select(0, crystal)).nonzero()[:, 0]
    per_crystal = torch.bincount(crystal.index_select(0, near), minlength=num_crystals)
    shift, cart = shift.index_select(0, near), cart.index_select(0, near)
    return Images(shift, cart, per_crystal, _starts(per_crystal))


def _half_diagonal(lattice: Tensor) -> Tensor:
    signs = lattice.new_tensor([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]])
    return (signs @ lattice).norm(dim=2).amax(dim=1) / 2


def _divmod(value: Tensor, divisor: Tensor) -> tuple[Tensor, Tensor]:
    quotient = torch.div(value, divisor, rounding_mode="floor")
    return quotient, value - quotient * divisor


def _starts(count: Tensor) -> Tensor:
    return count.cumsum(0) - count
