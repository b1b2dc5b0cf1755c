"""Periodic neighbor lists of many crystals at once, exact for any cell and any image."""

from collections.abc import Iterator
from math import pi
from typing import NamedTuple

import torch
from torch import Tensor

from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs.neighbor_selection import Candidates, select_neighbors
from crystal_data.graphs.periodic_images import (
    Images,
    images_within,
    plane_spacings,
    reduce_cells,
    squared_norms,
    times_matrix,
)
from crystal_data.graphs.size_groups import groups_of_like_size, max_candidates
from crystal_data.graphs.spec import GraphSpec

# Atoms this close to the cutoff count as within it, so that rounding decides nothing (as pymatgen).
_CUTOFF_TOLERANCE = 1e-8
# First radius: the sphere that would hold this many times the wanted neighbors at the crystal's
# density. Larger tests more pairs, smaller repeats more crystals; the optimum is flat.
_FIRST_VOLUME = 1.8
_GROWTH = 1.25
# Candidate edges held at once: so much that memory is reused from portion to portion, on a CPU, and
# not asked from the system anew.
_PORTION = {"cpu": 2**18, "cuda": 2**26}


class NeighborList(NamedTuple):
    """Directed edges of a batch, ordered by centre, then length, then neighbor and image."""

    edge_index: Tensor  # int64 [2, num_edges], row 0 neighbor, row 1 centre
    edge_shift: Tensor  # int64 [num_edges, 3], whole cells from the home image to the neighbor's
    edge_length: Tensor  # float64 [num_edges], Å


@torch.no_grad()
def neighbor_list(
    lattice: Tensor, frac_coords: Tensor, num_atoms: Tensor, spec: GraphSpec
) -> NeighborList:
    """Finds the neighbors of every atom through periodic images, for all crystals together.

    An image of the atom itself is a neighbor like any other; the atom itself is not. With
    ``spec.max_neighbors`` the radius starts from the density and grows for those crystals that
    still lack neighbors, so none are made up. Everything is computed in float64; what a crystal
    gets does not depend on the others in the batch.

    Args:
        lattice: Rows are a, b, c; shape ``[num_crystals, 3, 3]``, Å.
        frac_coords: Any image; shape ``[num_atoms, 3]``, dimensionless.
        num_atoms: Atoms of each crystal; int64 ``[num_crystals]``.
        spec: Which neighbors count.

    Returns:
        Edges on the device of ``lattice``; there may be none.

    Raises:
        InvalidArgumentError: If the shapes do not fit each other.
    """
    total = int(num_atoms.sum())
    if lattice.shape != (len(num_atoms), 3, 3) or frac_coords.shape != (total, 3):
        raise InvalidArgumentError(
            f"lattice {tuple(lattice.shape)} and frac_coords {tuple(frac_coords.shape)} do not fit "
            f"{len(num_atoms)} crystals of {total} atoms together"
        )
    cells = _prepare(lattice.double(), frac_coords.double(), num_atoms.to(lattice.device).long())
    radius = _first_radius(cells, spec)
    parts = [_neighbors(cells, crystals, radius, spec) for crystals in _portions(cells, radius)]
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return _no_edges(lattice.device)
    index, shift, length = zip(*parts, strict=True)
    return NeighborList(torch.cat(index, dim=1), torch.cat(shift), torch.cat(length))


class _Cells(NamedTuple):
    """What the search needs of the crystals, in reduced cells."""

    lattice: Tensor  # [num_crystals, 3, 3], Å
    change: Tensor | None  # reduced = change @ given; None: as given
    frac_coords: Tensor  # [num_atoms, 3]
    spacings: Tensor  # [num_crystals, 3], Å
    num_atoms: Tensor  # int64 [num_crystals]
    first_atom: Tensor  # int64 [num_crystals]


class _Group(NamedTuple):
    """Crystals searched together and their images, padded with NaN where there is none."""

    crystal: Tensor  # int64 [size]
    width: int  # most atoms in one of them
    image_cart: Tensor  # [size, depth, 3], Å
    image_shift: Tensor  # [size, depth, 3], whole cells as given
    zero_image: Tensor  # int64 [size], place of the home image


class _Edges(NamedTuple):
    """Edges of some centres, one centre after another."""

    atom: Tensor  # int64 [num_rows], the centres
    per_atom: Tensor  # int64 [num_rows], edges of each
    neighbor: Tensor
    shift: Tensor
    length: Tensor


def _prepare(lattice: Tensor, frac_coords: Tensor, num_atoms: Tensor) -> _Cells:
    first_atom = num_atoms.cumsum(0) - num_atoms
    change = None
    if (reduction := reduce_cells(lattice)) is not None:
        lattice, change = reduction.lattice, reduction.change
        frac_coords = times_matrix(
            frac_coords, reduction.inverse, torch.repeat_interleave(num_atoms)
        )
    return _Cells(lattice, change, frac_coords, plane_spacings(lattice), num_atoms, first_atom)


def _first_radius(cells: _Cells, spec: GraphSpec) -> Tensor:
    if spec.max_neighbors is None:
        return torch.full_like(cells.spacings[:, 0], spec.cutoff or 0.0)
    per_atom = torch.linalg.det(cells.lattice).abs() / cells.num_atoms.clamp(min=1)
    sphere = _FIRST_VOLUME * (spec.max_neighbors + 1) * per_atom
    radius = (sphere * (3 / (4 * pi))) ** (1 / 3)
    return radius if spec.cutoff is None else radius.clamp(max=spec.cutoff)


def _portions(cells: _Cells, radius: Tensor) -> list[Tensor]:
    """Runs of crystals whose edges are held in memory together, about equal in work."""
    if len(radius) == 0:
        return []
    boxes = (2 * radius[:, None] / cells.spacings + 2).prod(dim=1)
    spheres = radius**3 * (4 / 3 * pi) / torch.linalg.det(cells.lattice).abs()
    work = torch.maximum(boxes, spheres * cells.num_atoms**2).cumsum(0)
    portion = torch.div(work, _PORTION[radius.device.type], rounding_mode="floor")
    sizes = torch.unique_consecutive(portion, return_counts=True)[1].tolist()
    return list(torch.arange(len(radius), device=radius.device).split(sizes))


def _neighbors(cells: _Cells, crystals: Tensor, radius: Tensor, spec: GraphSpec) -> NeighborList:
    """Edges of a run of crystals; the radius grows for those that lack neighbors."""
    found: list[_Edges] = []
    pending = crystals
    while len(pending):
        short = []
        for group in _groups(cells, pending, radius):
            is_short = _search(cells, group, radius[group.crystal], spec, found)
            short.append(group.crystal[is_short])
        pending = torch.cat(short).sort().values
        radius = radius * _GROWTH
        if spec.cutoff is not None:
            radius = radius.clamp(max=spec.cutoff)
    first_atom = int(cells.first_atom[crystals[0]])
    return _assemble(found, first_atom, int(cells.num_atoms[crystals].sum()))


def _groups(cells: _Cells, crystals: Tensor, radius: Tensor) -> Iterator[_Group]:
    """The crystals by like size, each group with its images."""
    images = images_within(cells.lattice[crystals], cells.spacings[crystals], radius[crystals])
    num_atoms = cells.num_atoms[crystals].cpu().numpy()
    num_images = images.per_crystal.cpu().numpy()
    for rows in groups_of_like_size(num_atoms, num_images, crystals.device.type):
        place = torch.from_numpy(rows).to(crystals.device)
        crystal, width = crystals[place], int(num_atoms[rows].max())
        yield _Group(crystal, width, *_padded(images, place, cells.change, crystal))


def _padded(
    images: Images, place: Tensor, change: Tensor | None, crystal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    count = images.per_crystal[place]
    rank = torch.arange(int(count.max()), device=place.device)
    row = torch.minimum(rank, count[:, None] - 1) + images.first[place][:, None]
    flat = row.flatten()
    cart = images.cart.index_select(0, flat).view(*row.shape, 3)
    shift = images.shift.index_select(0, flat).view(*row.shape, 3)
    cart.masked_fill_((rank >= count[:, None])[:, :, None], torch.nan)
    if change is not None:
        shift = shift @ change[crystal]
    return cart, shift, torch.div(count, 2, rounding_mode="floor")


def _search(
    cells: _Cells, group: _Group, radius: Tensor, spec: GraphSpec, found: list[_Edges]
) -> Tensor:
    """Adds the edges of a group to ``found``, except of crystals that lack neighbors.

    Returns:
        The crystals that lack neighbors; bool ``[size]``.
    """
    num_atoms = cells.num_atoms[group.crystal]
    rank = torch.arange(group.width, device=num_atoms.device)
    is_real = rank < num_atoms[:, None]
    atom = cells.first_atom[group.crystal][:, None] + torch.minimum(rank, num_atoms[:, None] - 1)
    frac_coords = cells.frac_coords[atom].masked_fill(~is_real[:, :, None], torch.nan)
    is_short = torch.zeros_like(num_atoms, dtype=torch.bool)
    edges = []
    for centres in rank.split(_centres_at_once(group)):
        table = _candidate_tables(cells, group, frac_coords, centres)
        candidates = _candidates_within(table, group, centres, radius)
        chosen, lacking = select_neighbors(candidates, radius, is_real[:, centres], spec)
        is_short |= lacking
        edges.append(_edges(table, atom, centres, candidates, chosen))
    # Only a crystal that is alone in its group is searched in several parts.
    if len(edges) == 1 or not bool(is_short.any()):
        found += edges
    return is_short


def _centres_at_once(group: _Group) -> int:
    per_centre = len(group.crystal) * group.width * group.image_cart.shape[1]
    at_once = max_candidates(group.crystal.device.type) // per_centre
    return max(at_once, 1) if len(group.crystal) == 1 else group.width


class _Tables(NamedTuple):
    """What pairs and images add to the displacement of a candidate (pair, image)."""

    pair_cart: Tensor  # [size, num_centres * width, 3], Å
    pair_shift: Tensor  # int64, likewise, whole cells
    image_cart: Tensor  # [size, depth, 3], Å
    image_shift: Tensor  # int64, likewise, whole cells


def _candidate_tables(
    cells: _Cells, group: _Group, frac_coords: Tensor, centres: Tensor
) -> _Tables:
    difference = frac_coords[:, None, :, :] - frac_coords[:, centres, None, :]
    difference = difference.flatten(1, 2)
    rounded = difference.round()
    cart = (difference - rounded) @ cells.lattice[group.crystal]
    if cells.change is not None:
        rounded = rounded @ cells.change[group.crystal]
    shift = rounded.nan_to_num_(0.0).neg_().long()
    return _Tables(cart, shift, group.image_cart, group.image_shift.long())


def _candidates_within(
    table: _Tables, group: _Group, centres: Tensor, radius: Tensor
) -> Candidates:
    size, depth = table.image_cart.shape[:2]
    # |p + t|² = |p|² + 2 p·t + |t|², all pairs and images in one matrix product.
    pair_square = squared_norms(table.pair_cart)[:, :, None]
    image_square = squared_norms(table.image_cart)[:, :, None]
    left = torch.cat((2 * table.pair_cart, pair_square, torch.ones_like(pair_square)), dim=2)
    right = torch.cat((table.image_cart, torch.ones_like(image_square), image_square), dim=2)
    squares = (left @ right.transpose(1, 2)).view(size, len(centres), group.width, depth)
    row = torch.arange(size, device=centres.device)[:, None]
    place = torch.arange(len(centres), device=centres.device)
    squares[row, place, centres, group.zero_image[:, None]] = torch.inf  # the atom itself
    limit = (radius + _CUTOFF_TOLERANCE).square()[:, None, None, None]
    columns = group.width * depth
    found = (squares <= limit).view(-1).nonzero()[:, 0]
    rows = torch.arange(size * len(centres) + 1, device=found.device)
    count = torch.searchsorted(found, rows * columns).diff()
    centre = torch.repeat_interleave(rows[:-1], count, output_size=len(found))
    column = found - centre * columns
    length = squares.view(-1).index_select(0, found).clamp_(min=0).sqrt_()
    return Candidates(count, centre, column, length)


def _edges(
    table: _Tables, atom: Tensor, centres: Tensor, candidates: Candidates, chosen: Tensor
) -> _Edges:
    """Global atoms and whole cells of the chosen candidates."""
    centre = candidates.centre.index_select(0, chosen)
    column = candidates.column.index_select(0, chosen)
    depth = table.image_cart.shape[1]
    size, width = atom.shape
    rows = torch.arange(size * len(centres), device=atom.device)
    columns = torch.arange(width * depth, device=atom.device)
    crystal = torch.div(rows, len(centres), rounding_mode="floor").index_select(0, centre)
    neighbor = torch.div(columns, depth, rounding_mode="floor").index_select(0, column)
    shift = table.pair_shift.view(-1, 3).index_select(0, centre * width + neighbor)
    image = (crystal - neighbor) * depth + column
    shift += table.image_shift.view(-1, 3).index_select(0, image)
    return _Edges(
        atom=atom[:, centres].flatten(),
        per_atom=torch.bincount(centre, minlength=len(rows)),
        neighbor=atom.view(-1).index_select(0, crystal * width + neighbor),
        shift=shift,
        length=candidates.length.index_select(0, chosen),
    )


def _assemble(found: list[_Edges], first_atom: int, num_atoms: int) -> NeighborList:
    """Puts the edges of all groups in the order of their centres."""
    atom, found_count, neighbor, shift, length = (torch.cat(p) for p in zip(*found, strict=True))
    has_edges = found_count > 0  # rows that only pad have none
    atom, found_count = atom[has_edges] - first_atom, found_count[has_edges]
    count = atom.new_zeros(num_atoms)
    count[atom] = found_count
    # A centre's edges are together and in order already, so each only moves as a block.
    move = torch.zeros_like(count)
    move[atom] = found_count.cumsum(0) - found_count
    move -= count.cumsum(0) - count
    total = len(length)
    centre = torch.repeat_interleave(count, output_size=total)
    place = torch.arange(total, device=atom.device) + move.index_select(0, centre)
    return NeighborList(
        torch.stack((neighbor.index_select(0, place), centre.add_(first_atom))),
        shift.index_select(0, place),
        length.index_select(0, place),
    )


def _no_edges(device: torch.device) -> NeighborList:
    index = torch.zeros((2, 0), dtype=torch.int64, device=device)
    return NeighborList(index, index.new_zeros((0, 3)), index.new_zeros(0, dtype=torch.float64))
