"""Values of a field as the cells of a table: a number as it is, several as one JSON list."""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_WITH_UNIT = re.compile(r"(.*\S) \[([^\[\]]+)\]", re.DOTALL)


def with_unit(name: str, unit: str) -> str:
    """The header of a column: the name with its unit, ``band_gap [eV]``."""
    return f"{name} [{unit}]" if unit else name


def without_unit(column: str) -> tuple[str, str]:
    """Name and unit of a column; the unit is empty where the header has none."""
    found = _WITH_UNIT.fullmatch(column)
    return (found[1], found[2]) if found else (column, "")


def value_cells(values: Iterable[NDArray[np.float64]], decimals: int | None = None) -> list[str]:
    """One cell for each value of a crystal; sources of tables and folders read it again.

    Args:
        values: Numbers, or arrays of numbers, which become a list row after row.
        decimals: Digits behind the point; None for all that a float32 has.

    Returns:
        By default nine digits, which keep a float32 exactly; empty where all of a value is missing.
    """
    rounded = _rounded(values, decimals)
    return [_cell(value.ravel(), decimals) for value in rounded]


def atom_value_cells(
    values: Iterable[NDArray[np.float64]], decimals: int | None = None
) -> list[str]:
    """One cell for each crystal: the list of its atoms' values, each of which is such a list.

    Args:
        values: Of each crystal; ``[num_atoms]``, ``[num_atoms, k]`` or ``[num_atoms, 3, 3]``.
        decimals: As :func:`value_cells`.

    Returns:
        As :func:`value_cells`; atoms without a value have ``null``.
    """
    return [_rows(value, decimals) for value in _rounded(values, decimals)]


def _rounded(
    values: Iterable[NDArray[np.float64]], decimals: int | None
) -> Iterable[NDArray[np.float64]]:
    exact = (np.asarray(value, dtype=np.float64) for value in values)
    # Adding 0 makes -0 a 0.
    return exact if decimals is None else (np.round(value, decimals) + 0.0 for value in exact)


def _cell(numbers: NDArray[np.float64], decimals: int | None) -> str:
    if np.isnan(numbers).all():
        return ""
    return _text(numbers[0], decimals) if len(numbers) == 1 else _list(numbers, decimals)


def _rows(values: NDArray[np.float64], decimals: int | None) -> str:
    if np.isnan(values).all():
        return ""
    rows = values.reshape(len(values), -1)
    cells = [_text(row[0], decimals) if len(row) == 1 else _list(row, decimals) for row in rows]
    return f"[{', '.join(cells)}]"


def _list(numbers: NDArray[np.float64], decimals: int | None) -> str:
    return f"[{', '.join(_text(number, decimals) for number in numbers.tolist())}]"


def _text(number: float, decimals: int | None) -> str:
    if np.isnan(number):
        return "null"
    return f"{number:.9g}" if decimals is None else f"{number:.{max(decimals, 0)}f}"
