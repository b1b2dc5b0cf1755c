"""Crystals whose numbers have a fixed number of decimals, which text and tokens hold exactly.

Rounding keeps what a CIF keeps: lengths, angles and fractional coordinates. The orientation is
lost. A left-handed lattice is replaced by its negative, together with the coordinates, so that a
crystal does not become its mirror image. Coordinates are moved into the cell. With four decimals
an atom moves by at most 5e-5 of each lattice vector.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal, CrystalArrays, end_to_end, lattice_from_parameters
from crystal_data.errors import CrystalError, InvalidArgumentError

IntArray = NDArray[np.int64]

WHOLE_DIGITS = 3  # of lengths below 1000 Å and of angles
_MAX_DECIMALS = 6
_MIN_VOLUME = 0.01  # Å³
# Of the box with the same lengths. In flatter cells angles cannot be told from the lattice exactly.
_MIN_PART_OF_BOX = 1e-3


class CrystalTextError(CrystalError, ValueError):
    """A crystal that no text can hold, or a text that is no crystal."""


class TextFailure(StrEnum):
    """Why a crystal has no text."""

    CELL_TOO_LARGE = "cell_too_large"
    NO_VOLUME = "no_volume"
    SITES_COINCIDE = "sites_coincide"
    TOO_LONG = "too_long"


_EXPLANATIONS = {
    TextFailure.CELL_TOO_LARGE: "a lattice vector is 1000 Å long or longer",
    TextFailure.NO_VOLUME: (
        f"rounded, its cell has less than {_MIN_VOLUME} Å³ or than {_MIN_PART_OF_BOX} of the "
        "volume of a box with these lengths"
    ),
    TextFailure.SITES_COINCIDE: "rounded, two atoms are at the same place; use more decimals",
    TextFailure.TOO_LONG: "it has more tokens than max_length",
}
#: A code is a place in this list; 0 is no failure.
FAILURES = (None, *TextFailure)


class RoundedCrystals(NamedTuple):
    """Many crystals end to end, numbers as multiples of ``10 ** -decimals``.

    Attributes:
        lengths: ``[num_crystals, 3]``, Å.
        angles: ``[num_crystals, 3]``, degrees.
        frac_coords: From 0 up to, but not including, 1; ``[num_atoms, 3]``.
        atomic_numbers: ``[num_atoms]``.
        num_atoms: ``[num_crystals]``.
        decimals: Of every number.
    """

    lengths: IntArray
    angles: IntArray
    frac_coords: IntArray
    atomic_numbers: IntArray
    num_atoms: IntArray
    decimals: int

    def failures(self) -> IntArray:
        """Why each crystal has no text, as places in ``FAILURES``; ``[num_crystals]``."""
        codes = np.zeros(len(self.num_atoms), dtype=np.int64)
        scale = 10**self.decimals
        owner = np.repeat(np.arange(len(self.num_atoms)), self.num_atoms)
        places = np.column_stack([owner, self.frac_coords])
        places = places[np.lexsort(places.T[::-1])]
        coincides = (places[1:] == places[:-1]).all(axis=1)
        codes[places[1:][coincides, 0]] = FAILURES.index(TextFailure.SITES_COINCIDE)
        part_of_box = _parts_of_box(self.angles / scale)
        volumes = part_of_box * (self.lengths / scale).prod(axis=1)
        is_flat = (part_of_box < _MIN_PART_OF_BOX) | (volumes < _MIN_VOLUME)
        codes[is_flat] = FAILURES.index(TextFailure.NO_VOLUME)
        is_large = (self.lengths >= scale * 10**WHOLE_DIGITS).any(axis=1)
        codes[is_large] = FAILURES.index(TextFailure.CELL_TOO_LARGE)
        return codes

    def take(self, is_kept: NDArray[np.bool_]) -> Self:
        """Some of the crystals."""
        is_kept_atom = np.repeat(is_kept, self.num_atoms)
        return self._replace(
            lengths=self.lengths[is_kept],
            angles=self.angles[is_kept],
            frac_coords=self.frac_coords[is_kept_atom],
            atomic_numbers=self.atomic_numbers[is_kept_atom],
            num_atoms=self.num_atoms[is_kept],
        )

    def check(self, name: str) -> Self:
        """The same, if text can hold all of them.

        Args:
            name: For the message.

        Raises:
            CrystalTextError: If no text can hold one of them.
        """
        for code in np.unique(self.failures()):
            if code:
                raise CrystalTextError(failure_message(name, int(code)))
        return self

    def crystal(self, identifier: str = "") -> Crystal:
        """The only crystal of one, a along x and b in the xy plane."""
        scale = 10**self.decimals
        return Crystal(
            lattice=lattice_from_parameters(self.lengths[0] / scale, self.angles[0] / scale),
            frac_coords=self.frac_coords / scale,
            atomic_numbers=self.atomic_numbers,
            identifier=identifier,
        )


def failure_message(name: str, code: int) -> str:
    """What is wrong with a crystal that has no text."""
    reason = FAILURES[code]
    return f"{name}: it has no text: {_EXPLANATIONS[reason] if reason else 'no reason'}"


def check_decimals(decimals: int) -> None:
    """Refuses too few or too many decimals with an ``InvalidArgumentError``."""
    if not 1 <= decimals <= _MAX_DECIMALS:
        raise InvalidArgumentError(f"decimals is {decimals}; it must be from 1 to {_MAX_DECIMALS}")


def round_arrays(crystals: CrystalArrays, decimals: int) -> RoundedCrystals:
    """The nearest crystals whose numbers have so many decimals; unchecked."""
    lattice, frac_coords, atomic_numbers, num_atoms = crystals
    scale = 10**decimals
    lengths = np.linalg.norm(lattice, axis=2)
    unit = lattice / lengths[..., None]
    cosines = np.einsum("nij,nij->ni", unit[:, [1, 0, 0]], unit[:, [2, 2, 1]])
    angles = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
    sign = np.where(np.linalg.det(lattice) < 0, -1.0, 1.0)
    # Moved into the cell before they are scaled, so that large coordinates do not overflow.
    inside = frac_coords * np.repeat(sign, num_atoms)[:, None]
    inside = inside - np.floor(inside)
    return RoundedCrystals(
        lengths=np.rint(np.minimum(lengths, 10.0**WHOLE_DIGITS) * scale).astype(np.int64),
        angles=np.rint(angles * scale).astype(np.int64),
        frac_coords=np.rint(inside * scale).astype(np.int64) % scale,
        atomic_numbers=np.asarray(atomic_numbers, dtype=np.int64),
        num_atoms=np.asarray(num_atoms, dtype=np.int64),
        decimals=decimals,
    )


def round_crystal(crystal: Crystal, decimals: int = 4) -> Crystal:
    """The crystal that text and tokens with so many decimals hold; the order of sites is kept.

    Args:
        crystal: Its properties and notes are not kept.
        decimals: Of lengths (Å), angles (degrees) and fractional coordinates.

    Raises:
        CrystalTextError: If no text can hold it.
    """
    check_decimals(decimals)
    return round_checked(crystal, decimals).crystal(crystal.identifier)


def round_checked(crystal: Crystal, decimals: int) -> RoundedCrystals:
    """One crystal, rounded.

    Raises:
        CrystalTextError: If no text can hold it.
    """
    rounded = round_arrays(end_to_end([crystal]), decimals)
    return rounded.check(crystal.identifier or crystal.formula)


def fixed_point(values: IntArray, decimals: int) -> list[str]:
    """Multiples of ``10 ** -decimals`` as words such as ``"0.2500"``."""
    whole, part = np.divmod(values, 10**decimals)
    pairs = np.column_stack([whole, part])
    pattern = f"%d.%0{decimals}d "
    return (pattern * len(values) % tuple(pairs.ravel().tolist())).split()


def parse_numbers(
    name: str, words: Sequence[str], decimals: int, *, is_fraction: bool = False
) -> IntArray:
    """What ``fixed_point`` has written; ``[words]``.

    Args:
        name: For the message.
        words: The numbers.
        decimals: Of each.
        is_fraction: They are fractional coordinates, below 1.

    Raises:
        CrystalTextError: If a word is no such number.
    """
    whole = "0" if is_fraction else rf"(?:0|[1-9][0-9]{{0,{WHOLE_DIGITS - 1}}})"
    pattern = re.compile(rf"{whole}\.[0-9]{{{decimals}}}")
    for word in words:
        if not pattern.fullmatch(word):
            limit = "a coordinate below 1" if is_fraction else f"a number below {10**WHOLE_DIGITS}"
            raise CrystalTextError(f"{name}: {word[:40]!r} is not {limit} with {decimals} decimals")
    return np.array([int(word.replace(".", "")) for word in words], dtype=np.int64)


def _parts_of_box(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Volume divided by the product of the lengths, 0 if no cell has these angles (degrees)."""
    cosines = np.cos(np.radians(angles))
    squared = 1.0 - (cosines**2).sum(axis=1) + 2.0 * cosines.prod(axis=1)
    # Angles of 360 degrees together or more, or one that is the sum of the others, make no cell.
    total = angles.sum(axis=1)
    is_cell = (total < 360.0) & (total > 2 * angles.max(axis=1))
    return np.where(is_cell, np.sqrt(np.maximum(squared, 0.0)), 0.0)
