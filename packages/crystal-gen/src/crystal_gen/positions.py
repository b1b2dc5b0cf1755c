"""All Wyckoff positions as tensors, to expand the orbits of a batch at once."""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_data.loading import OrbitBatch
from crystal_data.symmetry import (
    WyckoffPosition,
    crystal_system,
    space_group_operations,
    wyckoff_positions,
)

_NUM_GROUPS = 230
# Fractions of the tables are multiples of 1/24.
_DENOMINATOR = 24


@dataclass(frozen=True, eq=False)
class PositionTable:
    """Every position of every space group in one table.

    A row of the table is a position; row ``first[number] + place`` is the one whose letter has
    that place in ``WYCKOFF_LETTERS``. Images are counted in the primitive cell: of points that a
    centring joins one is kept.

    Args:
        first: Row of the first position of each group; int64 ``[231]``.
        site_symmetry: Number of its site-symmetry symbol; int64 ``[num_positions]``.
        free_axes: Coordinates that may be chosen; bool ``[num_positions, 3]``.
        projection: Linear part of the representative; ``[num_positions, 3, 3]``.
        offset: Fixed part of the representative; ``[num_positions, 3]``.
        image_start: First image of each position, and the end; int64 ``[num_positions + 1]``.
        image_rotation: From a point of the representative to its images, itself first;
            ``[num_images, 3, 3]``.
        image_translation: ``[num_images, 3]``.
        num_shifts: Other origins that each group has, the present one included; int64 ``[231]``.
        shifted_start: First row of each position in the table of positions and origins, where
            those of one position stand together; int64 ``[num_positions]``.
        twin_start: First twin of each position from each origin, and the end; int64
            ``[num_shifted + 1]``. There are none where the letter becomes another one.
        twin_rotation: From a point to those of its orbit that lie on the representative, after
            the change of origin: other descriptions of the same orbit; ``[num_twins, 3, 3]``.
        twin_translation: ``[num_twins, 3]``.
        primitive: Rows are the primitive axes in terms of the conventional ones;
            ``[231, 3, 3]``.
        polar_axes: Axes along which the origin may lie anywhere; bool ``[231, 3]``.
        num_site_symmetries: Of different symbols.
    """

    first: Tensor
    site_symmetry: Tensor
    free_axes: Tensor
    projection: Tensor
    offset: Tensor
    image_start: Tensor
    image_rotation: Tensor
    image_translation: Tensor
    num_shifts: Tensor
    shifted_start: Tensor
    twin_start: Tensor
    twin_rotation: Tensor
    twin_translation: Tensor
    primitive: Tensor
    polar_axes: Tensor
    num_site_symmetries: int

    def to(self, device: torch.device | str) -> Self:
        """The table on a device."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)

    def float(self) -> Self:
        """The table in single precision."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        single: dict[str, Any] = {
            name: value.float()
            for name, value in values.items()
            if isinstance(value, Tensor) and value.is_floating_point()
        }
        return replace(self, **single)

    def rows_of(self, batch: OrbitBatch) -> Tensor:
        """Row of each orbit's position; int64 ``[num_crystals, max_orbits]``, any where padded."""
        return self.first[batch.space_group_number][:, None] + batch.wyckoff


class Images(NamedTuple):
    """Points that operations make of the orbits of a batch, padded to the most in a crystal.

    Attributes:
        owner: Orbit of each point; int64 ``[num_crystals, max_images]``, 0 where padded.
        rotation: From the orbit's point; ``[num_crystals, max_images, 3, 3]``.
        translation: ``[num_crystals, max_images, 3]``.
        is_self: It is the orbit's point itself; bool ``[num_crystals, max_images]``.
        mask: True where there is a point; bool ``[num_crystals, max_images]``.
    """

    owner: Tensor
    rotation: Tensor
    translation: Tensor
    is_self: Tensor
    mask: Tensor

    def points(self, frac_coords: Tensor) -> Tensor:
        """Their coordinates.

        Args:
            frac_coords: A point of each orbit; ``[num_crystals, max_orbits, 3]``.

        Returns:
            Fractional, in any cell; ``[num_crystals, max_images, 3]``.
        """
        owned = frac_coords.gather(1, self.owner[..., None].expand(-1, -1, 3))
        return turned(self.rotation, owned) + self.translation


def turned(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Matrices times vectors, in full precision under autocast too; ``[..., 3]``."""
    return (matrices * vectors[..., None, :]).sum(-1)


def images_of(table: PositionTable, batch: OrbitBatch) -> Images:
    """All atoms of the primitive cells of a batch, as images of their orbits' points."""
    rows = table.rows_of(batch)
    place, start, total = _ragged(table.image_start, rows, batch.mask)
    num_crystals, num_orbits = rows.shape
    crystal = torch.div(place, num_orbits, rounding_mode="floor")
    counts = torch.zeros(num_crystals, dtype=torch.int64, device=rows.device)
    counts.index_add_(0, crystal, torch.ones_like(crystal))
    width = int(counts.max())
    column = torch.arange(total, device=rows.device) - (counts.cumsum(0) - counts)[crystal]
    dtype = batch.frac_coords.dtype

    def padded(values: Tensor) -> Tensor:
        filled = values.new_zeros((num_crystals, width, *values.shape[1:]))
        filled[crystal, column] = values
        return filled

    return Images(
        owner=padded(place - crystal * num_orbits),
        rotation=padded(table.image_rotation[start].to(dtype)),
        translation=padded(table.image_translation[start].to(dtype)),
        is_self=padded(start == table.image_start[rows.reshape(-1)[place]]),
        mask=padded(torch.ones_like(start, dtype=torch.bool)),
    )


class Twins(NamedTuple):
    """Other points that describe the same orbits, from all origins that a group may have.

    Attributes:
        place: Which orbit from which origin, ``(crystal * max_shifts + shift) * max_orbits +
            orbit``; int64 ``[num_twins]``.
        rotation: From the orbit's point; ``[num_twins, 3, 3]``.
        translation: ``[num_twins, 3]``.
        max_shifts: Most origins of a crystal.
    """

    place: Tensor
    rotation: Tensor
    translation: Tensor
    max_shifts: int


def twins_of(table: PositionTable, batch: OrbitBatch) -> Twins:
    """All twins of the orbits of a batch."""
    shifts = table.num_shifts[batch.space_group_number]
    max_shifts = int(shifts.max())
    # Orbits from each origin first, then the twins of each.
    shift = torch.arange(max_shifts, device=shifts.device)
    is_origin = (shift < shifts[:, None])[:, :, None] & batch.mask[:, None]
    rows = table.shifted_start[table.rows_of(batch)][:, None] + shift[:, None]
    place, entry, _ = _ragged(table.twin_start, torch.where(is_origin, rows, 0), is_origin)
    dtype = batch.frac_coords.dtype
    return Twins(
        place,
        table.twin_rotation[entry].to(dtype),
        table.twin_translation[entry].to(dtype),
        max_shifts,
    )


def _ragged(starts: Tensor, rows: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, int]:
    """Orbit and row of the ragged table of each of an orbit's entries, end to end."""
    flat = rows.reshape(-1)
    first = starts[flat]
    counts = (starts[flat + 1] - first) * mask.reshape(-1)
    total = int(counts.sum())
    orbit = torch.repeat_interleave(
        torch.arange(len(flat), device=rows.device), counts, output_size=total
    )
    within = torch.arange(total, device=rows.device) - (counts.cumsum(0) - counts)[orbit]
    return orbit, first[orbit] + within, total


@lru_cache(maxsize=1)
def position_table() -> PositionTable:
    """The table of all groups, on the CPU, in double precision."""
    groups = [wyckoff_positions(number) for number in range(1, _NUM_GROUPS + 1)]
    positions = [position for group in groups for position in group]
    symbols = sorted({position.site_symmetry for position in positions})
    images = [_images(position) for position in positions]
    shifts = {number: _origin_shifts(number) for number in range(1, _NUM_GROUPS + 1)}
    twins = [
        _twins(position, shift)
        for position in positions
        for shift in shifts[position.space_group_number]
    ]
    num_shifts = [0, *(len(shifts[number]) for number in range(1, _NUM_GROUPS + 1))]
    of_position = [num_shifts[position.space_group_number] for position in positions]
    first = np.cumsum([0, 0, *(len(group) for group in groups)])[: _NUM_GROUPS + 1]
    primitive = [np.eye(3), *(_primitive(number) for number in range(1, _NUM_GROUPS + 1))]
    free = np.zeros((len(positions), 3), dtype=bool)
    for row, position in enumerate(positions):
        free[row, list(position.free_axes)] = True
    polar = [np.zeros(3, dtype=bool), *(_polar(n) for n in range(1, _NUM_GROUPS + 1))]
    return PositionTable(
        first=torch.from_numpy(first),
        site_symmetry=torch.tensor([symbols.index(p.site_symmetry) for p in positions]),
        free_axes=torch.from_numpy(free),
        projection=_float([p.projection for p in positions]),
        offset=_float([p.offset for p in positions]),
        image_start=_starts(images),
        image_rotation=_float(np.concatenate([rotation for rotation, _ in images])),
        image_translation=_float(np.concatenate([shift for _, shift in images])),
        num_shifts=torch.tensor(num_shifts),
        shifted_start=torch.from_numpy(np.cumsum([0, *of_position])[:-1]),
        twin_start=_starts(twins),
        twin_rotation=_float(np.concatenate([rotation for rotation, _ in twins])),
        twin_translation=_float(np.concatenate([shift for _, shift in twins])),
        primitive=_float(primitive),
        polar_axes=torch.from_numpy(np.array(polar)),
        num_site_symmetries=len(symbols),
    )


_Maps = tuple[NDArray[Any], NDArray[np.float64]]


def _images(position: WyckoffPosition) -> _Maps:
    """One of each set of members that centrings join, the representative first."""
    centrings = _centrings(position.space_group_number)
    linear = position.affine_rotations.reshape(-1, 9)
    fixed = _units(position.affine_translations)
    kept: list[int] = []
    seen: set[tuple[int, ...]] = set()
    for member in range(position.multiplicity):
        key = (*linear[member].tolist(), *fixed[member].tolist())
        if key in seen:
            continue
        kept.append(member)
        for shift in centrings:
            moved = (fixed[member] + shift) % _DENOMINATOR
            seen.add((*linear[member].tolist(), *moved.tolist()))
    return position.rotations[kept], position.translations[kept]


def _twins(position: WyckoffPosition, shift: NDArray[np.float64]) -> _Maps:
    """Ways from the representative, after a change of origin, back onto it."""
    rotations, translations = space_group_operations(position.space_group_number)
    projection, eye = position.projection, np.eye(3, dtype=np.int64)
    on_line = ((projection - eye) @ rotations @ projection == 0).all(axis=(1, 2))
    moved = rotations @ (position.offset + shift) + translations
    off = moved @ (projection - eye).T + position.offset
    keeps = on_line & (np.abs(off - np.rint(off)) < 1e-9).all(axis=1)
    linear = (projection @ rotations)[keeps]
    fixed = (translations[keeps] + rotations[keeps] @ shift) @ projection.T + position.offset
    # Acting on a point of the representative, p -> linear p + fixed; equal ones are kept once.
    effect = _units(fixed + linear @ position.offset)
    effect = np.hstack([(linear @ projection).reshape(-1, 9), effect])
    _, first = np.unique(effect, axis=0, return_index=True)
    order = np.sort(first)
    return linear[order], fixed[order]


def _origin_shifts(number: int) -> NDArray[np.float64]:
    """Changes of origin that leave every operation as it is; none first, not along polar axes.

    An operation (R, w) becomes (R, w + p - R p), which has to differ by a lattice translation.
    """
    rotations, _ = space_group_operations(number)
    parts = [np.arange(4) / 4] * 3
    if crystal_system(number) in ("trigonal", "hexagonal"):
        parts = [np.arange(3) / 3, np.arange(3) / 3, np.arange(4) / 4]
    grid = np.stack(np.meshgrid(*parts, indexing="ij"), -1).reshape(-1, 3)
    grid = grid[(grid[:, _polar(number)] == 0).all(axis=1)]
    centrings = _centrings(number)
    change = _units(grid[:, None] - np.einsum("kij,sj->ski", rotations, grid))
    is_lattice = (change[:, :, None] == centrings).all(axis=3).any(axis=2).all(axis=1)
    kept: list[NDArray[np.float64]] = []
    for shift in grid[is_lattice]:
        # Origins that a centring joins are one.
        moved = (_units(shift) + centrings) % _DENOMINATOR
        if not any((moved == _units(other)).all(axis=1).any() for other in kept):
            kept.append(shift)
    return np.array(kept)


def _centrings(number: int) -> NDArray[np.int64]:
    rotations, translations = space_group_operations(number)
    return _units(translations[(rotations == np.eye(3)).all(axis=(1, 2))])


def _primitive(number: int) -> NDArray[np.float64]:
    """Shortest basis of the lattice points, as in a cell of common proportions; ``[3, 3]``."""
    shifts = _centrings(number) / _DENOMINATOR
    steps = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    points = (shifts + steps).reshape(-1, 3)
    is_hexagonal = crystal_system(number) in ("trigonal", "hexagonal")
    metric = np.array([[1, -0.5, 0], [-0.5, 1, 0], [0, 0, 2]]) if is_hexagonal else np.eye(3)
    squares = np.einsum("ni,ij,nj->n", points, metric, points)
    points = points[np.lexsort((*points.T, np.round(squares, 9)))]
    basis: list[NDArray[np.float64]] = []
    for point in points[1:]:
        if np.linalg.matrix_rank(np.array([*basis, point])) > len(basis):
            basis.append(point)
        if len(basis) == 3:
            break
    found = np.array(basis)
    return found if np.linalg.det(found) > 0 else -found


def _polar(number: int) -> NDArray[np.bool_]:
    rotations, _ = space_group_operations(number)
    return np.array((rotations == np.eye(3)[None]).all(axis=(0, 1)))


def _units(fractions: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(fractions * _DENOMINATOR).astype(np.int64) % _DENOMINATOR


def _starts(maps: list[_Maps]) -> Tensor:
    return torch.from_numpy(np.cumsum([0, *(len(shift) for _, shift in maps)]))


def _float(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64))
