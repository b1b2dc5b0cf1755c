"""Strata of references as a table that other programs write and read."""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import MissingFileError, SourceError
from crystal_data.io.csv_cells import read_csv
from crystal_data.io.files import csv_text, write_text

_IDENTIFIER = "identifier"
_SHOWN = 3  # identifiers in a message


def write_strata(
    path: str | Path, references: Sequence[Crystal], families: Mapping[str, Sequence[str]]
) -> None:
    """Write the table that :func:`read_strata` reads.

    Args:
        path: Of the CSV file.
        references: With distinct identifiers.
        families: Column → the stratum of each reference in it, such as ``yes`` or ``no``.
    """
    names = [each.identifier for each in references]
    rows = zip(names, *families.values(), strict=True)
    write_text(Path(path), csv_text((_IDENTIFIER, *families), rows))


def read_strata(path: str | Path, references: Sequence[Crystal]) -> dict[str, NDArray[np.bool_]]:
    """Strata of references from a CSV file.

    The column ``identifier`` names a reference; every other one is a family of strata, and its
    value the stratum of the reference in it. An empty cell is in none. Rows of other crystals are
    not used.

    Args:
        path: Of the CSV file.
        references: The true structures.

    Returns:
        Name, such as ``"template=no"`` → whether each reference is in it.

    Raises:
        MissingFileError: If there is no such file.
        SourceError: If it has no such columns, an identifier twice, or lacks a reference.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"there is no file {path}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(read_csv(file))
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is no text in UTF-8", "save the table as CSV") from error
    columns = list(rows[0]) if rows else []
    if _IDENTIFIER not in columns or len(columns) < 2:
        raise SourceError(
            f"{path} has the columns {', '.join(columns) or 'of an empty file'}",
            f"it needs '{_IDENTIFIER}' and one for each family of strata",
        )
    by_identifier = {row[_IDENTIFIER]: row for row in rows}
    if len(by_identifier) < len(rows):
        raise SourceError(f"{path} names a crystal twice", "give each identifier one row")
    missing = [each.identifier for each in references if each.identifier not in by_identifier]
    if missing:
        shown = ", ".join(f"'{name}'" for name in islice(missing, _SHOWN))
        raise SourceError(
            f"{path} has no row for {len(missing)} of the {len(references)} references: {shown}"
            f"{', …' if len(missing) > _SHOWN else ''}",
            "give each a row; an empty cell is in no stratum",
        )
    own = [by_identifier[each.identifier] for each in references]
    strata = {}
    for family in columns:
        if family == _IDENTIFIER:
            continue
        values = np.array([row[family].strip() for row in own], dtype=str)
        for value in np.unique(values[values != ""]).tolist():
            strata[f"{family}={value}"] = values == value
    return strata
