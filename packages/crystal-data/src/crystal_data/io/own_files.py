"""Reads JSON, YAML and CSV files that these packages have written; what is damaged is refused."""

import csv
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from crystal_data.errors import CrystalError
from crystal_data.io.csv_cells import read_cell
from crystal_data.io.yaml_text import NestingError, load_yaml


class DamagedFileError(CrystalError, ValueError):
    """A file that is not what the program that wrote it left; the message names it."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = " ".join(what.split())
        super().__init__(
            f"{path}: damaged: {self.what}",
            "restore it, or delete it and run the command that writes it again",
        )

    @property
    def without_remedy(self) -> str:
        """File and fault, for messages that have a better remedy."""
        return f"{self.path}: {self.what}"


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        DamagedFileError: If it is not one.
    """
    return _parsed(path, json.loads, (ValueError, RecursionError), "not JSON")


def read_yaml(path: Path) -> Any:
    """Content of a YAML file: plain values, lists and mappings.

    Raises:
        DamagedFileError: If it is not one.
    """
    return _parsed(path, load_yaml, (yaml.YAMLError, ValueError, RecursionError), "not YAML")


def read_rows(path: Path, columns: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """Rows of a CSV file, each as column to cell.

    Args:
        path: The file; its last line has to be complete.
        columns: Those that it must have.

    Raises:
        DamagedFileError: If a row has not as many cells as the header, or a column is missing.
    """
    text = _text(path)
    if not text.endswith("\n"):
        raise DamagedFileError(path, "the last line is cut off" if text else "it is empty")
    try:
        header, *rows = csv.reader(StringIO(text, newline=""), strict=True)
    except (csv.Error, ValueError) as error:
        raise DamagedFileError(path, f"not CSV: {error}") from error
    names = [read_cell(cell) for cell in header]
    if missing := [name for name in columns if name not in names]:
        raise DamagedFileError(path, f"it has no column {missing[0]}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise DamagedFileError(
                path, f"row {number} has {len(row)} cells, the header {len(header)}"
            )
    return [dict(zip(names, map(read_cell, row), strict=True)) for row in rows]


def read_number(path: Path, column: str, cell: str) -> float:
    """The number in a cell of a CSV file; NaN if it is empty.

    Raises:
        DamagedFileError: If it holds something else.
    """
    try:
        return float(cell) if cell else float("nan")
    except ValueError as error:
        raise DamagedFileError(path, f"column {column} holds {cell!r}, not a number") from error


def _parsed(
    path: Path, parse: Callable[[str], Any], errors: tuple[type[Exception], ...], what: str
) -> Any:
    text = _text(path)
    try:
        return parse(text)
    except NestingError as error:
        raise DamagedFileError(path, str(error)) from error
    except errors as error:
        raise DamagedFileError(path, f"{what}: {error}") from error


def _text(path: Path) -> str:
    try:
        # As it is: a line feed within a cell stays one.
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise DamagedFileError(path, f"not UTF-8: {error}") from error
    except IsADirectoryError as error:
        raise DamagedFileError(path, "it is a folder") from error
