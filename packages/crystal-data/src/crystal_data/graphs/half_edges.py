"""Pairs of atoms and images within a radius, each found once instead of in both directions."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from crystal_data.graphs.cells import Cells
from crystal_data.graphs.periodic_images import (
    Images,
    images_within,
    squared_norms,
    times_matrix,
)

# Atoms this close to the cutoff count as within it, so that rounding decides nothing (as pymatgen).
_CUTOFF_TOLERANCE = 1e-8
# Pairs of each crystal that are tested at once, so that a large crystal takes little memory.
_PAIRS_AT_ONCE = 2**15


class HalfEdges(NamedTuple):
    """Edges to the atoms that follow the center, and to its own images after the home image.

    The others are these with center and neighbor exchanged and the sign of the shift changed.
    Crystal by crystal; those of one center by neighbor and image; those of one neighbor begin
    with its own images and go on from the last center to the first.
    """

    center: Tensor  # int64 [num_half_edges]
    neighbor: Tensor  # int64 [num_half_edges], never below center
    shift: Tensor  # int64 [3, num_half_edges], whole cells as given
    length: Tensor  # [num_half_edges], Å

    @classmethod
    def joined(cls, parts: list["HalfEdges"]) -> "HalfEdges":
        """One part after another."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(torch.cat(values, dim=-1) for values in zip(*parts, strict=True)))


class _Pairs(NamedTuple):
    """Pairs of atoms, crystal by crystal."""

    crystal: Tensor  # int64 [num_pairs], of those that are searched
    center: Tensor  # int64 [num_pairs]
    neighbor: Tensor  # int64 [num_pairs], never below center
    per_crystal: Tensor  # int64 [num_searched]
    of_same: Tensor  # int64 [num_searched], how many are an atom with itself; these come first


def half_edges(
    cells: Cells, crystals: Tensor, radius: Tensor, images: Images | None = None
) -> HalfEdges:
    """All pairs of some crystals within a radius.

    Args:
        cells: Of the whole batch.
        crystals: Those to search; int64 ``[num_searched]``.
        radius: Shape ``[num_crystals]``, Å.
        images: ``images_of`` these crystals, if known.
    """
    images = images_of(cells, crystals, radius) if images is None else images
    limit = radius[crystals]
    most = int(cells.num_atoms[crystals].max()) if len(crystals) else 0
    return HalfEdges.joined(
        [
            _within(cells, crystals, _pairs(cells, crystals, first), images, limit)
            for first in range(0, max(most * (most + 1) // 2, 1), _PAIRS_AT_ONCE)
        ]
    )


def images_of(cells: Cells, crystals: Tensor, radius: Tensor) -> Images:
    """Lattice points within a radius, with shifts in whole cells as given.

    Args:
        cells: Of the whole batch.
        crystals: Those to search; int64 ``[num_searched]``.
        radius: Shape ``[num_crystals]``, Å.
    """
    images = images_within(cells.lattice[crystals], cells.spacings[crystals], radius[crystals])
    if cells.change is None:
        return images
    crystal = torch.repeat_interleave(images.per_crystal, output_size=len(images.shift))
    return images._replace(shift=times_matrix(images.shift, cells.change[crystals], crystal))


def _pairs(cells: Cells, crystals: Tensor, first: int) -> _Pairs:
    """Pairs of each crystal from the one numbered ``first`` on."""
    num_atoms = cells.num_atoms[crystals]
    all_pairs = torch.div(num_atoms * (num_atoms + 1), 2, rounding_mode="floor")
    count = (all_pairs - first).clamp(0, _PAIRS_AT_ONCE)
    crystal = torch.repeat_interleave(count)
    rank = torch.arange(first, first + len(crystal), device=crystal.device)
    rank -= (count.cumsum(0) - count).index_select(0, crystal)
    # After the atoms with themselves: the last but one with the last, the one before it with the
    # two that follow it, and so on; the row of k pairs begins after k (k - 1) / 2.
    in_rows = rank - num_atoms.index_select(0, crystal)
    is_same = in_rows < 0
    row = (((8 * in_rows.clamp(min=0) + 1).double().sqrt() + 1) / 2).long()
    place = in_rows - torch.div(row * (row - 1), 2, rounding_mode="floor")
    last = (cells.first_atom[crystals] + num_atoms - 1).index_select(0, crystal)
    center = last - torch.where(is_same, rank, row)
    neighbor = center + torch.where(is_same, 0, place + 1)
    return _Pairs(crystal, center, neighbor, count, (num_atoms - first).clamp_(0, _PAIRS_AT_ONCE))


def _within(
    cells: Cells, crystals: Tensor, pairs: _Pairs, images: Images, radius: Tensor
) -> HalfEdges:
    difference = cells.frac_coords.index_select(0, pairs.neighbor)
    difference -= cells.frac_coords.index_select(0, pairs.center)
    rounded = difference.round()
    difference -= rounded
    cart = times_matrix(difference, cells.lattice[crystals], pairs.crystal)
    if cells.change is not None:
        rounded = times_matrix(rounded, cells.change[crystals], pairs.crystal)

    # |p + t|² - r² = 2 p·t + |p|² + (|t|² - r²) is a matrix product, of all pairs and images.
    limit = (radius + _CUTOFF_TOLERANCE).square()
    image_limit = torch.repeat_interleave(limit, images.per_crystal)
    pair_square, image_square = squared_norms(cart)[:, None], squared_norms(images.cart)
    left = torch.cat((2 * cart, pair_square, torch.ones_like(pair_square)), dim=1)
    right = torch.stack(
        (*images.cart.unbind(1), torch.ones_like(image_square), image_square - image_limit)
    )
    products = _products_by_crystal if left.device.type == "cpu" else _products_at_once
    excess = products(left, right, pairs, images)
    found = _true_places(excess <= 0)

    width = images.per_crystal.index_select(0, pairs.crystal)
    ends = width.cumsum(0)
    per_pair = torch.searchsorted(found, ends).diff(prepend=found.new_zeros(1))
    pair = torch.repeat_interleave(per_pair, output_size=len(found))
    first_image = images.first.index_select(0, pairs.crystal) - (ends - width)
    image = first_image.index_select(0, pair).add_(found)
    shift = torch.empty((3, len(found)), dtype=torch.int64, device=found.device)
    for axis in range(3):
        torch.index_select(images.shift[:, axis].long(), 0, image, out=shift[axis])
        shift[axis] -= rounded[:, axis].long().index_select(0, pair)
    pair_limit = limit.index_select(0, pairs.crystal)
    square = excess.index_select(0, found).add_(pair_limit.index_select(0, pair))
    return HalfEdges(
        pairs.center.index_select(0, pair),
        pairs.neighbor.index_select(0, pair),
        shift,
        square.clamp_(min=0).sqrt_(),
    )


def _products_by_crystal(left: Tensor, right: Tensor, pairs: _Pairs, images: Images) -> Tensor:
    """Rows of ``left`` times columns of ``right``, of each crystal, end to end.

    Infinite where both ends are the same atom and the image is not after the home image.
    """
    counts = (pairs.per_crystal, images.per_crystal, pairs.of_same)
    total = int((counts[0] * counts[1]).sum())
    rows, columns = left.numpy(), right.numpy()
    result = np.empty(total)
    row = column = place = 0
    for num_pairs, num_images, num_same in zip(*(c.tolist() for c in counts), strict=True):
        next_row, next_column = row + num_pairs, column + num_images
        block = result[place : place + num_pairs * num_images].reshape(num_pairs, num_images)
        np.matmul(rows[row:next_row], columns[:, column:next_column], out=block)
        block[:num_same, : num_images // 2 + 1] = np.inf
        row, column, place = next_row, next_column, place + num_pairs * num_images
    return torch.from_numpy(result)


def _products_at_once(left: Tensor, right: Tensor, pairs: _Pairs, images: Images) -> Tensor:
    """The same without a loop over crystals, which a GPU would wait for."""
    width = images.per_crystal.index_select(0, pairs.crystal)
    pair = torch.repeat_interleave(width)
    rank = torch.arange(len(pair), device=pair.device) - (width.cumsum(0) - width)[pair]
    image = images.first[pairs.crystal[pair]] + rank
    product = (left[pair] * right.T[image]).sum(dim=1)
    is_same = pairs.center == pairs.neighbor
    return product.masked_fill_(is_same[pair] & (rank <= width[pair] // 2), torch.inf)


def _true_places(mask: Tensor) -> Tensor:
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))  # several times faster than torch's
    return mask.nonzero()[:, 0]
