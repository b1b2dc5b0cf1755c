"""Periodic neighbor lists of many crystals at once, exact for any cell and any image."""

from math import pi
from typing import NamedTuple

import torch
from torch import Tensor

from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs.cells import Cells, reduced_cells
from crystal_data.graphs.half_edges import HalfEdges, half_edges, images_of
from crystal_data.graphs.neighbor_selection import (
    Candidates,
    by_length,
    half_edge_of,
    nearest,
    tie_tolerance,
)
from crystal_data.graphs.periodic_images import Images, volumes
from crystal_data.graphs.spec import GraphSpec

# First radius: the sphere that would hold this many times the wanted neighbors at the crystal's
# density. Larger tests more pairs, smaller repeats more crystals; the optimum is flat.
_FIRST_VOLUME = 1.8
_GROWTH = 1.25
# Edges found at once: on a CPU so many that a core's cache holds them, on a GPU enough to fill it.
_PORTION = {"cpu": 2**17, "cuda": 2**23}


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
    cells = reduced_cells(
        lattice.double(), frac_coords.double(), num_atoms.to(lattice.device).long()
    )
    radius = _first_radius(cells, spec)
    portions = _portions(cells, radius)
    parts = [
        _find(cells, crystals, radius, spec, images)
        for crystals, images in zip(portions, _first_images(cells, portions, radius), strict=True)
    ]
    counts = [len(part.candidates.center) for part in parts]
    edges = NeighborList(
        torch.empty((2, sum(counts)), dtype=torch.int64, device=lattice.device),
        torch.empty((sum(counts), 3), dtype=torch.int64, device=lattice.device),
        torch.empty(sum(counts), dtype=torch.float64, device=lattice.device),
    )
    end = 0
    for part, count in zip(parts, counts, strict=True):
        begin, end = end, end + count
        _write(part, edges.edge_index[:, begin:end], edges.edge_shift[begin:end])
        edges.edge_length[begin:end] = part.candidates.length
    return edges


class _Found(NamedTuple):
    """Edges of a run of crystals: place n < len(half) is half edge len(half) - 1 - n exchanged."""

    half: HalfEdges
    candidates: Candidates


def _first_radius(cells: Cells, spec: GraphSpec) -> Tensor:
    if spec.max_neighbors is None:
        return torch.full_like(cells.spacings[:, 0], spec.cutoff or 0.0)
    per_atom = volumes(cells.lattice) / cells.num_atoms.clamp(min=1)
    sphere = _FIRST_VOLUME * (spec.max_neighbors + 1) * per_atom
    radius = (sphere * (3 / (4 * pi))) ** (1 / 3)
    return radius if spec.cutoff is None else radius.clamp(max=spec.cutoff)


def _portions(cells: Cells, radius: Tensor) -> list[Tensor]:
    """Runs of crystals whose edges are held in memory together, about equal in work."""
    if len(radius) == 0:
        return []
    boxes = (2 * radius[:, None] / cells.spacings + 2).prod(dim=1)
    spheres = radius**3 * (4 / 3 * pi) / volumes(cells.lattice)
    work = torch.maximum(boxes, spheres.clamp(min=1) * cells.num_atoms**2).cumsum(0)
    portion = torch.div(work, _PORTION[radius.device.type], rounding_mode="floor")
    sizes = torch.unique_consecutive(portion, return_counts=True)[1].tolist()
    return list(torch.arange(len(radius), device=radius.device).split(sizes))


def _first_images(cells: Cells, portions: list[Tensor], radius: Tensor) -> list[Images]:
    """Of each portion, found together: they are few, and so many small steps take long."""
    if not portions:
        return []
    images = images_of(cells, torch.cat(portions), radius)
    return images.split([len(crystals) for crystals in portions])


def _find(
    cells: Cells, crystals: Tensor, radius: Tensor, spec: GraphSpec, first_images: Images
) -> _Found:
    """Edges of a run of crystals."""
    if spec.max_neighbors is None:
        half = half_edges(cells, crystals, radius, first_images)
        return _Found(half, by_length(half))
    complete: list[HalfEdges] = []
    while len(crystals):
        half = half_edges(cells, crystals, radius, None if complete else first_images)
        is_short = _lacks_neighbors(cells, crystals, half, radius, spec.max_neighbors, spec)
        if bool(is_short.any()):
            is_kept = ~is_short[cells.batch[half.center]]
            half = HalfEdges(*(values[..., is_kept] for values in half))
        complete.append(half)
        crystals = crystals[is_short[crystals]]
        radius = radius * _GROWTH
        if spec.cutoff is not None:
            radius = radius.clamp(max=spec.cutoff)
    half = HalfEdges.joined(complete)
    return _Found(half, nearest(by_length(half), spec.max_neighbors, spec))


def _lacks_neighbors(
    cells: Cells,
    crystals: Tensor,
    half: HalfEdges,
    radius: Tensor,
    max_neighbors: int,
    spec: GraphSpec,
) -> Tensor:
    """Crystals with an atom whose last shell may not be complete; bool ``[num_crystals]``."""
    safe = (radius - tie_tolerance(spec)).index_select(0, cells.batch[half.center])
    is_safe = half.length <= safe
    num_atoms = len(cells.batch)
    count = torch.bincount(half.center[is_safe], minlength=num_atoms)
    count += torch.bincount(half.neighbor[is_safe], minlength=num_atoms)
    is_short = torch.zeros_like(radius, dtype=torch.bool)
    is_short[cells.batch[count < max_neighbors]] = True
    if spec.cutoff is not None:
        is_short &= radius < spec.cutoff
    is_searched = torch.zeros_like(is_short)
    is_searched[crystals] = True
    return is_short & is_searched


def _write(found: _Found, edge_index: Tensor, edge_shift: Tensor) -> None:
    """Fills in neighbors, centres and shifts."""
    half, (center, place, _) = found
    row, sign = half_edge_of(place, half)
    edge_index[1] = center
    torch.sub((half.center + half.neighbor).index_select(0, row), center, out=edge_index[0])
    for axis in range(3):
        torch.mul(half.shift[axis].index_select(0, row), sign, out=edge_shift[:, axis])
