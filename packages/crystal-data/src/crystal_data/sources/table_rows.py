"""Rows of CSV, JSON Lines, JSON and Parquet files, one at a time."""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_data.errors import SourceError
from crystal_data.io.csv_cells import read_cell
from crystal_data.sources.json_list import iter_json_list
from crystal_data.sources.packed import open_text
from crystal_data.sources.table_cells import with_comma

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

Row = dict[str, Any]

# CIF texts of large cells pass the csv module's limit of 131,072 characters for one cell; no
# structure needs more than this. Of a line it is the bytes.
LARGEST_CELL = 64 << 20
_LARGEST_GROUP = 256 << 20  # bytes of a row group of Parquet, and as many more for each row
_LARGE_ROW = 256 << 10
_ROWS_AT_ONCE = 128  # of Parquet: few, because a cell may be large
_PACKED = (".gz", ".zip")
_TEXT_SUFFIXES = (".csv", ".tsv")
TABLE_SUFFIXES = (*_TEXT_SUFFIXES, ".parquet", ".jsonl", ".json")
# The first cell, quoted or not, and what stands behind it.
_FIRST_CELL = re.compile(r' *(?:"(?:[^"]|"")*" *|[^",;\t]*)([,;\t])')


def table_suffix(path: Path) -> str:
    """The suffix that says how a table is written, without that of its packing.

    Raises:
        SourceError: If it is none of those known.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in TABLE_SUFFIXES:
        raise SourceError(
            f"{path} is no table that can be read; expected one of {', '.join(TABLE_SUFFIXES)}, "
            "each also with .gz"
        )
    return suffixes[-1]


def column_names(path: Path) -> list[str]:
    """Names of a table's columns, in the order in which they come up."""
    suffix = table_suffix(path)
    if suffix == ".parquet":
        with _parquet(path) as file:
            return list(file.schema_arrow.names)
    if suffix in _TEXT_SUFFIXES:
        with open_text(path, LARGEST_CELL) as file:
            return _header(next(csv_cells(file, path), (1, []))[1], path)
    return list(dict.fromkeys(name for row in read_rows(path) for name in row))


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a table as column name to cell; cells of a CSV are text.

    A first column without a name, which pandas writes for its index, is left out.

    Raises:
        SourceError: If the file is not a table, or a row of a CSV has more or fewer cells than the
            header.
    """
    suffix = table_suffix(path)
    if suffix in _TEXT_SUFFIXES:
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
        raise SourceError(f"{path}: several columns are named {', '.join(map(repr, doubled))}")
    return names


def _csv_rows(path: Path) -> Iterator[Row]:
    with open_text(path, LARGEST_CELL) as file:
        lines = csv_cells(file, path)
        _, header = next(lines, (1, []))
        names = _header(header, path)
        skipped = len(header) - len(names)
        for number, row in lines:
            if len(row) != len(header):
                raise SourceError(
                    f"{path}, line {number}: {len(row)} cells where the header has {len(header)}",
                    "quote cells that hold separators or line ends",
                )
            yield dict(zip(names, row[skipped:], strict=True))


def csv_cells(file: Iterable[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row that is not empty.

    Cells are separated by commas, semicolons or tabs, whichever stands behind the first cell.

    Raises:
        SourceError: If the file is no CSV.
    """
    csv.field_size_limit(LARGEST_CELL)
    lines = iter(file)
    head = list(_through_first_text(lines))
    found = _FIRST_CELL.match(head[-1]) if head else None
    separator = found[1] if found else ","
    reader = csv.reader(chain(head, lines), delimiter=separator)
    try:
        for row in reader:
            if not row:
                continue
            cells = [read_cell(cell) if cell[:1] == "'" else cell for cell in row]
            yield reader.line_num, cells if separator == "," else list(map(with_comma, cells))
    except csv.Error as error:
        raise SourceError(f"{path}, line {reader.line_num} is no CSV: {error}") from error


def _through_first_text(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if line.strip():
            return


def _parquet_rows(path: Path) -> Iterator[Row]:
    with _parquet(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
            yield from batch.to_pylist()


@contextmanager
def _parquet(path: Path) -> Iterator["ParquetFile"]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            _check_sizes(file, path)
            yield file
    except (SourceError, FileNotFoundError):
        raise
    except (ArrowException, OSError, ValueError, OverflowError) as error:
        raise SourceError(f"{path} is damaged: {error}", "fetch or write it anew") from error


def _check_sizes(file: "ParquetFile", path: Path) -> None:
    """Refuse a file whose rows unpack to more than structures can fill."""
    for number in range(file.metadata.num_row_groups):
        # To ask for the size of one column ends the process where the file is damaged.
        group = file.metadata.row_group(number)
        if group.total_byte_size > _LARGEST_GROUP + group.num_rows * _LARGE_ROW:
            raise SourceError(
                f"{path}: {group.num_rows} rows of one row group unpack to "
                f"{group.total_byte_size >> 20} MB, which is no table of structures"
            )


def _json_lines(path: Path) -> Iterator[Row]:
    with open_text(path, LARGEST_CELL) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise SourceError(f"{path}, line {number} is not JSON: {error}") from None
            yield _object(row, f"{path}, line {number}")


def _json_rows(path: Path) -> Iterator[Row]:
    for number, row in enumerate(iter_json_list(path)):
        yield _object(row, f"{path}, element {number}")


def _object(row: object, place: str) -> Row:
    if not isinstance(row, dict):
        raise SourceError(
            f"{place}: expected an object with named fields, not {type(row).__name__}"
        )
    return row
