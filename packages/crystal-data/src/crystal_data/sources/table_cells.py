"""What the cells of a table mean: numbers, vectors, values of atoms, text, or nothing."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import CrystalError
from crystal_data.io.record import PropertyValue

Kind = Literal["number", "vector", "per_atom", "text", "skip"]

# "Na" is sodium. In text, where NaN may be a formula too, only what is in lower case is missing.
_MISSING_TEXT = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
_MISSING = _MISSING_TEXT | {"NA", "N/A", "NaN", "NAN", "Null", "NULL", "None", "NONE"}
_COMMA = re.compile(r"\s*[+-]?\d+,\d+(?:[eE][+-]?\d+)?\s*")
_THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2},\d{3}\s*")
_WORDS = {"true": 1.0, "false": 0.0}
_LARGEST_NUMBER = 3.4e38  # that training, in single precision, holds


class BadCellError(CrystalError, ValueError):
    """A cell that is not of its column's kind."""


class AmbiguousNumberError(BadCellError):
    """A number whose comma may stand for the decimal point or between thousands."""


class CommaNumber(str):
    """A cell such as ``1,5``, of a table whose cells are not separated by commas."""

    __slots__ = ()


def with_comma(cell: str) -> str:
    """A cell of such a table, marked if it may be a number with a decimal comma."""
    return CommaNumber(cell) if len(cell) < 40 and _COMMA.fullmatch(cell) else cell


def is_missing(cell: object) -> bool:
    """Whether a cell says that there is no value, as an empty one, ``na`` or NaN does."""
    if cell is None:
        return True
    if isinstance(cell, str):
        return cell.strip() in _MISSING
    return isinstance(cell, Real) and not isinstance(cell, Integral) and math.isnan(cell)


def parse_text(cell: object) -> str:
    """The text of a cell, empty where it is missing."""
    if isinstance(cell, str):
        text = cell.strip()
        return "" if text in _MISSING_TEXT else text
    return "" if is_missing(cell) else str(cell)


def parse_number(cell: object) -> float:
    """The finite number that a cell holds; NaN where it is missing, 1 and 0 for true and false.

    Raises:
        AmbiguousNumberError: For ``1,234`` where commas are decimal, but may be thousands too.
        BadCellError: If there is something else.
    """
    if is_missing(cell):
        return math.nan
    number = math.nan
    if isinstance(cell, CommaNumber):
        if _THOUSANDS.fullmatch(cell):
            raise AmbiguousNumberError(
                f"{cell.strip()} may be {cell.strip().replace(',', '.')} or "
                f"{cell.strip().replace(',', '')}",
                "write numbers with a decimal point",
            )
        number = float(cell.replace(",", "."))
    elif isinstance(cell, Real):
        try:
            number = float(cell)
        except OverflowError:  # a whole number of hundreds of digits
            number = math.nan
    elif isinstance(cell, str) and "_" not in cell:  # float() would take 1_000
        word = cell.strip()
        try:
            number = _WORDS[word.casefold()] if word.casefold() in _WORDS else float(word)
        except ValueError:
            number = math.nan
    if not math.isfinite(number):
        raise BadCellError(f"{_short(cell)} is not a number")
    if abs(number) > _LARGEST_NUMBER:
        raise BadCellError(f"{_short(cell)} is beyond what single precision holds")
    return number


def parse_vector(cell: object) -> list[float] | None:
    """The finite numbers of a list, or of its JSON, or of a text with ``;`` between them.

    None where they are missing.

    A list of three lists of three, such as a stress, is taken row after row.

    Raises:
        BadCellError: If there is something else.
    """
    if is_missing(cell):
        return None
    cell = _unpacked(cell)
    if isinstance(cell, str):
        items: Iterable[object] = cell.strip().strip("[]").split(";")
    elif isinstance(cell, list | tuple | np.ndarray):
        is_matrix = len(cell) == 3 and all(isinstance(x, list) and len(x) == 3 for x in cell)
        items = [item for row in cell for item in row] if is_matrix else cell
    else:
        raise BadCellError(f"{_short(cell)} is not a list of numbers")
    values = [parse_number(item) for item in items]
    if any(math.isnan(value) for value in values):
        raise BadCellError(f"{_short(cell)} has a gap among its numbers")
    return values


def parse_per_atom(cell: object) -> NDArray[np.float64] | None:
    """Numbers for each atom as ``[num_atoms, k]``; None if missing.

    The cell is a list, a list of lists, or JSON of one.

    Raises:
        BadCellError: If there is something else.
    """
    if is_missing(cell):
        return None
    try:
        values = np.asarray(_unpacked(cell), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise BadCellError(f"{_short(cell)} does not have the same numbers for each atom") from None
    if values.ndim not in (1, 2):
        raise BadCellError(f"{_short(cell)} is not a list with numbers for each atom")
    return values.reshape(len(values), -1) if values.size else None


def _unpacked(cell: object) -> object:
    """The list of a text that is JSON of one; anything else as it is."""
    if not isinstance(cell, str) or not cell.lstrip().startswith("["):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


class Column:
    """Collects the cells of one column and says what the column is.

    A column is of numbers if at least half of its cells that are not missing are numbers, so that
    one mistyped cell is found instead of turning the column into text. It is of vectors if all of
    them are lists of numbers of one length. Other lists are skipped: how many atoms there are is
    not known here, so values of atoms have to be declared.
    """

    def __init__(self) -> None:
        self.numbers = 0
        self.others = 0
        self.lists = 0
        self.lengths: Counter[int] = Counter()

    def add(self, cell: object) -> None:
        """Count one cell."""
        if is_missing(cell):
            return
        try:
            parse_number(cell)
        except AmbiguousNumberError:
            self.numbers += 1
        except BadCellError:
            self._add_other(cell)
        else:
            self.numbers += 1

    def _add_other(self, cell: object) -> None:
        self.others += 1
        self.lists += not isinstance(cell, str)
        try:
            vector = parse_vector(cell)
        except BadCellError:
            self.lengths[-1] += 1
        else:
            self.lengths[len(vector or ())] += 1

    @property
    def kind(self) -> Kind:
        """What the cells counted so far make of the column."""
        if self.numbers >= self.others:
            return "number"
        if self.numbers == 0 and len(self.lengths) == 1 and min(self.lengths) > 0:
            return "vector"
        return "skip" if self.lists else "text"

    @property
    def width(self) -> int:
        """Most frequent length of the vectors; 0 where none was counted."""
        vectors = Counter({length: n for length, n in self.lengths.items() if length >= 0})
        return vectors.most_common(1)[0][0] if vectors else 0


def convert(
    row: Mapping[str, Any], kinds: Mapping[str, Kind], widths: Mapping[str, int]
) -> dict[str, PropertyValue]:
    """The properties of one row, each of its column's kind; a missing one is NaN or empty.

    Raises:
        BadCellError: Naming the column, what came and what was expected.
    """
    properties: dict[str, PropertyValue] = {}
    for name, kind in kinds.items():
        cell = row.get(name)
        try:
            if kind == "number":
                properties[name] = parse_number(cell)
            elif kind == "vector":
                properties[name] = _fixed_vector(cell, widths[name])
            elif kind == "per_atom":
                values = parse_per_atom(cell)
                properties[name] = math.nan if values is None else values
            elif kind == "text":
                properties[name] = parse_text(cell)
        except BadCellError as error:
            raise BadCellError(
                f"column {name}: {error}",
                "correct the cell, leave it empty, or declare the "
                f"column with columns={{{name!r}: 'text'}}",
            ) from None
    return properties


def _fixed_vector(cell: object, width: int) -> np.ndarray:
    values = parse_vector(cell)
    if values is None:
        return np.full(width, np.nan)
    if len(values) != width:
        raise BadCellError(f"{len(values)} numbers where the column has {width}")
    return np.array(values)


def _short(cell: object) -> str:
    text = repr(cell)
    return text if len(text) <= 60 else f"{text[:57]}..."
