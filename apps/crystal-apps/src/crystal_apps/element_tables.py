"""The element vectors that a run has left behind."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystal_apps.runs import RunError
from crystal_data.elements import ATOMIC_NUMBERS

ELEMENTS_CSV = "elements.csv"


def element_table(folder: Path) -> tuple[list[str], NDArray[np.float64]] | None:
    """Elements and their vectors, ``[num_elements, width]``, from a run's ``elements.csv``.

    Returns:
        None if the run has none, as most have not.

    Raises:
        RunError: If the file is not a table of elements.
    """
    path = folder / ELEMENTS_CSV
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    symbols = [row[0] for row in rows]
    unknown = [symbol for symbol in symbols if symbol not in ATOMIC_NUMBERS]
    if unknown or not rows:
        raise RunError(f"{path}: elements in the first column expected, not {unknown[:3]}")
    try:
        return symbols, np.array([[float(value) for value in row[1:]] for row in rows])
    except ValueError as error:
        raise RunError(f"{path}: numbers expected after the element: {error}") from error
