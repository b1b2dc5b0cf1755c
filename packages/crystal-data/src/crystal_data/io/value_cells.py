"""Values of a field as the cells of a table: a number as it is, several as one JSON list."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def value_cells(values: Iterable[NDArray[np.float64]]) -> list[str]:
    """One cell for each value of a crystal; sources of tables and folders read it again.

    Args:
        values: Numbers, or arrays of numbers, which become a list row after row.

    Returns:
        Nine digits, which keep a float32 exactly; empty where all of a value is missing.
    """
    return [_cell(np.asarray(value, dtype=np.float64).ravel()) for value in values]


def atom_value_cells(values: Iterable[NDArray[np.float64]]) -> list[str]:
    """One cell for each crystal: the list of its atoms' values, each of which is such a list.

    Args:
        values: Of each crystal; ``[num_atoms]``, ``[num_atoms, k]`` or ``[num_atoms, 3, 3]``.

    Returns:
        As :func:`value_cells`; atoms without a value have ``null``.
    """
    return [_rows(np.asarray(value, dtype=np.float64)) for value in values]


def _cell(numbers: NDArray[np.float64]) -> str:
    if np.isnan(numbers).all():
        return ""
    return _text(numbers[0]) if len(numbers) == 1 else _list(numbers)


def _rows(values: NDArray[np.float64]) -> str:
    if np.isnan(values).all():
        return ""
    rows = values.reshape(len(values), -1)
    cells = [_text(row[0]) if len(row) == 1 else _list(row) for row in rows]
    return f"[{', '.join(cells)}]"


def _list(numbers: NDArray[np.float64]) -> str:
    return f"[{', '.join(map(_text, numbers.tolist()))}]"


def _text(number: float) -> str:
    return "null" if np.isnan(number) else f"{number:.9g}"
