"""Rows of CSV, JSON Lines, JSON and Parquet files, one at a time."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crystal_data.sources.json_list import iter_json_list, open_text

Row = dict[str, Any]

# CIF texts of large cells pass the csv module's limit of 131,072 characters for one cell.
_LARGEST_CELL = 1 << 30
_PACKED = (".gz", ".zip")
TABLE_SUFFIXES = (".csv", ".parquet", ".jsonl", ".json")


def table_suffix(path: Path) -> str:
    """The suffix that says how a table is written, without that of its packing.

    Raises:
        ValueError: If it is none of those known.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in TABLE_SUFFIXES:
        raise ValueError(
            f"{path} is no table that can be read; expected one of {', '.join(TABLE_SUFFIXES)}, "
            "each also with .gz"
        )
    return suffixes[-1]


def column_names(path: Path) -> list[str]:
    """Names of a table's columns, in the order in which they come up."""
    suffix = table_suffix(path)
    if suffix == ".parquet":
        from pyarrow import parquet

        return list(parquet.read_schema(path).names)
    if suffix == ".csv":
        with open_text(path) as file:
            return _header(next(csv.reader(file), []), path)
    return list(dict.fromkeys(name for row in read_rows(path) for name in row))


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a table as column name to cell; cells of a CSV are text.

    A first column without a name, which pandas writes for its index, is left out.

    Raises:
        ValueError: If the file is not a table, or a row of a CSV has more or fewer cells than the
            header.
    """
    suffix = table_suffix(path)
    if suffix == ".csv":
        return _csv_rows(path)
    if suffix == ".parquet":
        return _parquet_rows(path)
    if suffix == ".jsonl":
        return _json_lines(path)
    return _json_rows(path)


def _header(cells: list[str], path: Path) -> list[str]:
    names = [cell.strip() for cell in cells]
    if names and (not names[0] or names[0].startswith("Unnamed:")):
        names.pop(0)
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"{path}: several columns are named {', '.join(map(repr, doubled))}")
    return names


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_LARGEST_CELL)
    with open_text(path) as file:
        reader = csv.reader(file)
        cells = next(reader, [])
        names = _header(cells, path)
        skipped = len(cells) - len(names)
        for row in reader:
            if not row:
                continue
            if len(row) != len(cells):
                raise ValueError(
                    f"{path}, line {reader.line_num}: {len(row)} cells where the header has "
                    f"{len(cells)}; quote cells that hold commas or line ends"
                )
            yield dict(zip(names, row[skipped:], strict=True))


def _parquet_rows(path: Path) -> Iterator[Row]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()


def _json_lines(path: Path) -> Iterator[Row]:
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
            yield _object(row, f"{path}, line {number}")


def _json_rows(path: Path) -> Iterator[Row]:
    for number, row in enumerate(iter_json_list(path)):
        yield _object(row, f"{path}, element {number}")


def _object(row: object, place: str) -> Row:
    if not isinstance(row, dict):
        raise ValueError(f"{place}: expected an object with named fields, not {type(row).__name__}")
    return row
