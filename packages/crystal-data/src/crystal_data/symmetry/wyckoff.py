"""Wyckoff positions and operations of the 230 space groups, in their standard settings.

The settings are those of the International Tables for Crystallography A: unique axis b with cell
choice 1, hexagonal axes for rhombohedral groups, origin choice 2. ``wyckoff.json.gz`` holds
coordinate triplets, written by ``scripts/make_wyckoff_table.py``; all else follows from them.
"""

import gzip
import json
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystal_data.errors import InvalidArgumentError

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

_TERM = re.compile(r"([+-]?)(\d+(?:/\d+)?)?([xyz])?")


@dataclass(frozen=True, eq=False)
class WyckoffPosition:
    """One position of one space group: which points it holds and how they are joined.

    A point of the representative is ``projection @ p + offset`` for any ``p``; the other members
    of its orbit are ``rotations[k] @ point + translations[k]``, the first being the point itself.

    Args:
        space_group_number: 1 to 230.
        letter: Wyckoff letter, ``"a"`` the most special.
        multiplicity: Points of one orbit in the conventional cell.
        site_symmetry: Oriented symbol of the site-symmetry group, such as ``"-43m"``.
        projection: Linear part of the representative, whole numbers, idempotent; ``[3, 3]``.
        offset: Fixed part of the representative; ``[3]``.
        rotations: Group operations that lead to each member; int64 ``[multiplicity, 3, 3]``.
        translations: Their translations, 0 up to 1; ``[multiplicity, 3]``.
    """

    space_group_number: int
    letter: str
    multiplicity: int
    site_symmetry: str
    projection: IntArray
    offset: Array
    rotations: IntArray
    translations: Array

    @property
    def label(self) -> str:
        """Multiplicity and letter, such as ``"8c"``."""
        return f"{self.multiplicity}{self.letter}"

    @cached_property
    def free_axes(self) -> tuple[int, ...]:
        """Coordinates (0, 1, 2 for x, y, z) that may be chosen; empty for a fixed point."""
        return tuple(int(axis) for axis in np.flatnonzero(np.abs(self.projection).sum(axis=0)))

    @property
    def num_free(self) -> int:
        """Dimension of the position: 0 a point, 1 a line, 2 a plane, 3 the general position."""
        return len(self.free_axes)

    @property
    def affine_rotations(self) -> IntArray:
        """Linear parts from free coordinates to members, of rank ``num_free``; ``[m, 3, 3]``."""
        return self.rotations @ self.projection

    @property
    def affine_translations(self) -> Array:
        """Fixed parts of the members, beside ``affine_rotations``; ``[m, 3]``."""
        return self.rotations @ self.offset + self.translations

    def point(self, parameters: ArrayLike) -> Array:
        """The representative point with these free parameters.

        Args:
            parameters: Value of each of ``free_axes``; ``[..., num_free]``.

        Returns:
            Fractional coordinates; ``[..., 3]``.
        """
        values = np.asarray(parameters, dtype=np.float64)
        if values.shape[-1:] != (self.num_free,):
            raise InvalidArgumentError(
                f"position {self.label} of space group {self.space_group_number} has "
                f"{self.num_free} free parameters; the given array has shape {values.shape}"
            )
        return values @ self.projection[:, self.free_axes].T + self.offset

    def project(self, point: ArrayLike) -> Array:
        """The point with the same free parameters that lies on the representative; ``[..., 3]``."""
        return np.asarray(point, dtype=np.float64) @ self.projection.T + self.offset

    def expand(self, point: ArrayLike) -> Array:
        """All members of the orbit of a representative point.

        Args:
            point: On the representative; ``[..., 3]``.

        Returns:
            Fractional coordinates from 0 up to 1, the point itself first;
            ``[..., multiplicity, 3]``.
        """
        members = np.einsum("kij,...j->...ki", self.rotations, np.asarray(point, np.float64))
        return wrap(members + self.translations)

    def site_symmetry_operations(self) -> tuple[IntArray, Array]:
        """Operations that leave every point of the representative in its place.

        Returns:
            Rotations ``[order, 3, 3]`` and translations ``[order, 3]``, lattice translations
            included, so that ``rotation @ point + translation`` is the point.
        """
        rotations, translations = space_group_operations(self.space_group_number)
        shift = self.offset - (rotations @ self.offset + translations)
        keeps_line = (rotations @ self.projection == self.projection).all(axis=(1, 2))
        keeps = keeps_line & (np.abs(shift - np.rint(shift)) < 1e-9).all(axis=1)
        return rotations[keeps], translations[keeps] + np.rint(shift[keeps])


def wyckoff_positions(space_group_number: int) -> tuple[WyckoffPosition, ...]:
    """All Wyckoff positions of a space group in its standard setting, ``"a"`` first.

    Raises:
        InvalidArgumentError: If the number is not 1 to 230.
    """
    return _positions(_checked(space_group_number))


def wyckoff_position(space_group_number: int, letter: str) -> WyckoffPosition:
    """One Wyckoff position by its letter.

    Raises:
        InvalidArgumentError: If the number is not 1 to 230, or the group has no such letter.
    """
    positions = wyckoff_positions(space_group_number)
    for position in positions:
        if position.letter == letter:
            return position
    raise InvalidArgumentError(
        f"space group {space_group_number} ({space_group_symbol(space_group_number)}) has no "
        f"Wyckoff letter {letter!r}; its letters are {''.join(p.letter for p in positions)}"
    )


def space_group_operations(space_group_number: int) -> tuple[IntArray, Array]:
    """Operations of the conventional cell in the standard setting, the identity first.

    Returns:
        Rotations int64 ``[order, 3, 3]`` and translations from 0 up to 1 ``[order, 3]``, for
        fractional columns: ``rotation @ point + translation``.

    Raises:
        InvalidArgumentError: If the number is not 1 to 230.
    """
    return _operations(_checked(space_group_number))


def space_group_symbol(space_group_number: int) -> str:
    """Short Hermann–Mauguin symbol, such as ``"Fd-3m"``."""
    return str(_table()[_checked(space_group_number) - 1]["symbol"])


def crystal_system(space_group_number: int) -> str:
    """One of triclinic, monoclinic, orthorhombic, tetragonal, trigonal, hexagonal, cubic."""
    number = _checked(space_group_number)
    for last, system in _LAST_OF_SYSTEM:
        if number <= last:
            return system
    raise InvalidArgumentError(f"space group {space_group_number} does not exist")


#: The seven, in the order of their space groups.
CRYSTAL_SYSTEMS = (
    "triclinic",
    "monoclinic",
    "orthorhombic",
    "tetragonal",
    "trigonal",
    "hexagonal",
    "cubic",
)
_LAST_OF_SYSTEM = (
    (2, "triclinic"),
    (15, "monoclinic"),
    (74, "orthorhombic"),
    (142, "tetragonal"),
    (167, "trigonal"),
    (194, "hexagonal"),
    (230, "cubic"),
)


def wrap(frac_coords: Array) -> Array:
    """Fractional coordinates moved into the cell, 0 up to but not including 1.

    A coordinate that is 0 or 1 but for rounding becomes 0, so that equal points look equal.
    """
    wrapped = frac_coords - np.floor(frac_coords)
    return np.where(np.abs(wrapped - 1.0) < 1e-12, 0.0, wrapped)


def parse_triplet(text: str) -> tuple[IntArray, Array]:
    """Read a coordinate triplet such as ``"-x+y,2x,z+1/2"``.

    Returns:
        Linear part ``[3, 3]``, whole numbers, and fixed part ``[3]``.

    Raises:
        InvalidArgumentError: If it is not a coordinate triplet.
    """
    linear = np.zeros((3, 3), dtype=np.int64)
    fixed = np.zeros(3)
    parts = text.split(",")
    if len(parts) != 3 or not all(parts):
        raise InvalidArgumentError(f"{text!r} is not a coordinate triplet such as 'x,y,z+1/2'")
    for row, part in enumerate(parts):
        position = 0
        while position < len(part):
            match = _TERM.match(part, position)
            if match is None or match.end() == position or not any(match.groups()[1:]):
                raise InvalidArgumentError(
                    f"{text!r}: {part[position:]!r} is not a term such as -x or 1/2"
                )
            sign, amount, axis = match.groups()
            numerator, _, denominator = (amount or "1").partition("/")
            value = int(numerator) * (-1 if sign == "-" else 1)
            if axis:
                linear[row, "xyz".index(axis)] += value
            else:
                fixed[row] += value / int(denominator or 1)
            position = match.end()
    return linear, fixed


def _checked(number: int) -> int:
    if not 1 <= number <= 230:
        raise InvalidArgumentError(
            f"space group {number} does not exist; numbers run from 1 to 230"
        )
    return int(number)


@lru_cache(maxsize=1)
def _table() -> list[dict[str, Any]]:
    data = files("crystal_data.symmetry").joinpath("wyckoff.json.gz").read_bytes()
    groups: list[dict[str, Any]] = json.loads(gzip.decompress(data))["groups"]
    return groups


@lru_cache(maxsize=230)
def _operations(number: int) -> tuple[IntArray, Array]:
    parsed = [parse_triplet(text) for text in _table()[number - 1]["operations"]]
    rotations = np.array([linear for linear, _ in parsed])
    translations = wrap(np.array([fixed for _, fixed in parsed]))
    return _frozen(rotations), _frozen(translations)


@lru_cache(maxsize=230)
def _positions(number: int) -> tuple[WyckoffPosition, ...]:
    rotations, translations = _operations(number)
    positions = []
    for letter, multiplicity, site_symmetry, triplet in _table()[number - 1]["positions"]:
        projection, offset = parse_triplet(triplet)
        members = _first_of_each_member(
            rotations @ projection, wrap(rotations @ offset + translations)
        )
        positions.append(
            WyckoffPosition(
                space_group_number=number,
                letter=letter,
                multiplicity=multiplicity,
                site_symmetry=site_symmetry,
                projection=_frozen(projection),
                offset=_frozen(offset),
                rotations=_frozen(rotations[members]),
                translations=_frozen(translations[members]),
            )
        )
    return tuple(positions)


def _first_of_each_member(linear: IntArray, fixed: Array) -> IntArray:
    # Two operations lead to the same member if their affine maps agree up to a lattice vector.
    # All fractions of the tables are multiples of 1/24.
    key = np.hstack([linear.reshape(len(linear), 9), np.rint(fixed * 24).astype(np.int64) % 24])
    _, first = np.unique(key, axis=0, return_index=True)
    return np.sort(first)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
