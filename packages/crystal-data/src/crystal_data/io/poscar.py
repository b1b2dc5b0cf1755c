"""VASP's POSCAR and CONTCAR to crystals and back."""

from itertools import chain, groupby, repeat

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.distances import check_distances, check_ranges
from crystal_data.io.options import DEFAULT, UNCHECKED, ReadOptions
from crystal_data.io.sites import crystal_from_symbols, fractional
from crystal_data.io.symbols import atomic_number

_MIN_VOLUME = 1e-12  # before scaling; what is less cannot be divided by
_MOST_DIGITS = 12  # of a count
_CELL_LINES = 5  # a remark, the scale and three vectors


def parse_poscar(text: str, identifier: str = "", options: ReadOptions = DEFAULT) -> Crystal:
    """The structure of a POSCAR text, VASP 4 or 5, direct or Cartesian.

    Velocities and what follows them are not read. Without a line of symbols they are taken from
    behind the coordinates, or from the first line if it has one for each count.

    Args:
        text: With any line ends.
        identifier: The crystal's, and what messages name.
        options: How to read.

    Raises:
        InvalidCrystalError: With the reason, if the text cannot be used.
    """
    lines = text.splitlines()
    if not text.strip():
        raise InvalidCrystalError(identifier, Reason.EMPTY, "the POSCAR is empty")
    if len(lines) < _CELL_LINES:
        detail = f"a POSCAR has a cell in its first 5 lines, this one has {len(lines)} lines"
        raise InvalidCrystalError(identifier, Reason.NO_CELL, detail)
    lattice, scale = _lattice(lines, identifier)
    rows = [line.split() for line in lines[_CELL_LINES:]]
    symbols: list[str] | None = None
    if rows and rows[0] and not rows[0][0].isdigit():
        symbols = [token.split("/")[0].split("_")[0] for token in rows.pop(0)]
    counts = _counts(rows, identifier)
    rows = rows[1:]
    if rows and rows[0] and rows[0][0][0] in "sS":
        rows = rows[1:]
    if not rows or not rows[0]:
        detail = "the text ends before the line 'Direct' or 'Cartesian'"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    is_cartesian = rows[0][0][0] in "cCkK"
    first_line = 1 + len(lines) - len(rows[1:])  # of the coordinates, counted from 1
    rows = rows[1 : 1 + sum(counts)]
    coords = _coordinates(rows, sum(counts), identifier)
    if is_cartesian:
        coords = fractional(coords * scale, lattice, identifier)
    if symbols is None:
        symbols = _symbols_elsewhere(lines[0].split(), rows, counts)
    elif len(symbols) != len(counts):
        detail = f"{len(symbols)} symbols but {len(counts)} counts"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    if symbols is None:
        detail = "VASP 4 format names no elements; add a line of symbols above the counts"
        raise InvalidCrystalError(identifier, Reason.UNKNOWN_ELEMENT, detail)
    if len(symbols) == len(counts):
        symbols = list(chain.from_iterable(map(repeat, symbols, counts)))
    crystal = crystal_from_symbols(identifier, lattice, coords, symbols, options=UNCHECKED)
    names = [f"{symbol} in line {line}" for line, symbol in enumerate(symbols, start=first_line)]
    check_distances(crystal, options.min_distance, names)
    return crystal


def _lattice(lines: list[str], identifier: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lattice in Å and what Cartesian coordinates are multiplied with; shapes [3, 3] and [3]."""
    try:
        scale = np.array([float(token) for token in lines[1].split()[:3]])
        rows = [[float(token) for token in line.split()[:3]] for line in lines[2:_CELL_LINES]]
        lattice = np.array(rows).reshape(3, 3)
    except ValueError as error:
        detail = f"lines 2 to 5 should be a scale and three vectors: {error}"
        raise InvalidCrystalError(identifier, Reason.NO_CELL, detail) from error
    if len(scale) not in (1, 3) or not np.isfinite(scale).all() or not scale.all():
        detail = f"the scale in line 2 is {lines[1].strip()!r}, not one or three numbers"
        raise InvalidCrystalError(identifier, Reason.BAD_CELL, detail)
    check_ranges(identifier, np.concatenate([lattice.ravel(), scale]), np.empty(0))
    volume = abs(np.linalg.det(lattice))
    if volume < _MIN_VOLUME:
        raise InvalidCrystalError(identifier, Reason.BAD_CELL, "the cell has no volume")
    if len(scale) == 1:
        factor = scale[0] if scale[0] > 0.0 else (-scale[0] / volume) ** (1.0 / 3.0)
        scale = np.full(3, factor)
    lattice = lattice * scale
    check_ranges(identifier, lattice, np.empty(0))
    return lattice, scale


def _counts(rows: list[list[str]], identifier: str) -> list[int]:
    tokens = rows[0] if rows else []
    # Remarks may follow the numbers.
    digits = tokens[: _leading_digits(tokens)]
    # Python refuses to read numbers of thousands of digits.
    counts = [int(token) for token in digits if len(token) <= _MOST_DIGITS]
    if len(counts) < len(digits) or not counts or sum(counts) == 0:
        detail = f"no atoms: the line of counts is {' '.join(tokens)!r}"
        raise InvalidCrystalError(identifier, Reason.NO_ATOMS, detail)
    return counts


def _leading_digits(tokens: list[str]) -> int:
    return next((i for i, token in enumerate(tokens) if not token.isdecimal()), len(tokens))


def _coordinates(rows: list[list[str]], count: int, identifier: str) -> NDArray[np.float64]:
    if len(rows) < count:
        detail = f"{count} atoms are counted but {len(rows)} lines of coordinates follow"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    try:
        return np.array([[float(token) for token in row[:3]] for row in rows]).reshape(count, 3)
    except ValueError as error:
        detail = f"a line of coordinates has not three numbers: {error}"
        raise InvalidCrystalError(identifier, Reason.BAD_COORDINATES, detail) from error


def _symbols_elsewhere(
    title: list[str], rows: list[list[str]], counts: list[int]
) -> list[str] | None:
    behind = [next((t for t in row[3:] if atomic_number(t) and t not in "TF"), "") for row in rows]
    if all(behind):
        return behind
    return title if len(title) == len(counts) and all(map(atomic_number, title)) else None


def to_poscar(crystal: Crystal) -> str:
    """POSCAR text: lattice, order of atoms and images as they are, to 16 digits.

    A species that occurs in several runs of atoms is named once for each run, as VASP allows.
    """
    runs = [(symbol, len(list(run))) for symbol, run in groupby(crystal.species)]
    title = " ".join(crystal.identifier.split()) or crystal.formula
    lines = [
        title,
        "1.0",
        *(" ".join(f"{x:24.16f}" for x in row) for row in crystal.lattice),
        " ".join(symbol for symbol, _ in runs),
        " ".join(str(count) for _, count in runs),
        "Direct",
        *(" ".join(f"{x:24.16f}" for x in row) for row in crystal.frac_coords),
    ]
    return "\n".join(lines) + "\n"
