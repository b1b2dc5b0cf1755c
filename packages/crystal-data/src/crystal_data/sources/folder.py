"""The user's own folders of structure files, with or without a table of properties."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from crystal_data.crystal import Crystal
from crystal_data.errors import Reason, Rejection, SourceError
from crystal_data.io.formats import SUFFIXES, format_of_name, without_suffix
from crystal_data.io.records import records_of_file
from crystal_data.sources.base import CrystalSource, combine_fingerprint, reject_duplicates
from crystal_data.sources.hashing import hash_files
from crystal_data.sources.packed import open_text
from crystal_data.sources.record import Record, Split
from crystal_data.sources.split_paths import SplitPaths
from crystal_data.sources.table_cells import (
    BadCellError,
    Column,
    Kind,
    convert,
    is_missing,
    parse_number,
)
from crystal_data.sources.table_rows import csv_cells


@dataclass(frozen=True, slots=True)
class _Entry:
    """One row of ``id_prop.csv``, or one file where there is no such table."""

    name: str
    cells: tuple[str, ...]
    place: str
    file: Path | None  # None: no file of this name


class FolderSource(CrystalSource):
    """A folder of CIF, POSCAR, pymatgen-JSON or extxyz files, and ``id_prop.csv`` if there is one.

    Files are read as :func:`crystal_data.io.records.iter_records` does, so they may be packed by
    gzip, hold several structures, or have a wrong ending.

    The table's first column is a file's name, with its suffix (as ALIGNN has it) or without (as
    CGCNN has it); the others are properties. A first row without any number names the columns.
    Without a table every structure file in the folder is read.

    Args:
        path: One folder or file for everything; or give one for each split.
        train: Folder or file of the training structures.
        val: Folder or file of the validation structures.
        test: Folder or file of the test structures.
        targets: Names of the table's columns after the first, where it has no header; by default
            ``target``, or ``target_0``, ``target_1`` and so on.
        table: Name of the table in the folder.
        columns: What columns hold, where looking at their cells finds another kind.
        units: Unit of each property that has one.
        name: Short name; by default that of the folder.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        train: str | Path | None = None,
        val: str | Path | None = None,
        test: str | Path | None = None,
        targets: list[str] | None = None,
        table: str = "id_prop.csv",
        columns: dict[str, Kind] | None = None,
        units: dict[str, str] | None = None,
        name: str | None = None,
    ) -> None:
        self._paths = SplitPaths.of(type(self).__name__, path, train=train, val=val, test=test)
        self._targets = list(targets) if targets is not None else None
        self._table = table
        self._declared: dict[str, Kind] = dict(columns or {})
        self._units = dict(units or {})
        self._name = name or self._paths.stem

    @property
    def name(self) -> str:
        """Name given, or that of the folder."""
        return self._name

    @property
    def units(self) -> dict[str, str]:
        """Units as given."""
        return dict(self._units)

    def fingerprint(self) -> str:
        """Hash of the files that are read, and of the options."""
        read: list[Path] = []
        for _, folder in self._paths.existing():
            table = folder / self._table
            if table.is_file():
                read.append(table)
            read.extend(entry.file for entry in self._entries(folder)[1] if entry.file is not None)
        options = {
            "targets": self._targets,
            "table": self._table,
            "declared": self._declared,
            "splits": [split for split, _ in self._paths.paths],
        }
        return combine_fingerprint(self, hash_files(read), options)

    def records(self) -> Iterator[Record | Rejection]:
        """Structures in the order of the table, or of the file names; train first."""
        return reject_duplicates(self._all())

    def _all(self) -> Iterator[Record | Rejection]:
        kinds, widths = self._kinds
        for split, folder in self._paths.existing():
            names, entries = self._entries(folder)
            for entry in entries:
                try:
                    row = dict(zip(names, entry.cells, strict=True))
                    properties = convert(row, kinds, widths) if names else {}
                except BadCellError as error:
                    yield _rejection(entry, Reason.BAD_VALUE, str(error))
                    continue
                if entry.file is None:
                    tried = f"{entry.name} and {entry.name} with {', '.join(SUFFIXES)}"
                    detail = f"{entry.place} names {entry.name!r}, but {folder} has no file {tried}"
                    yield _rejection(entry, Reason.MISSING_FILE, detail)
                    continue
                # A table names its structures; where there is none, they may name themselves.
                listed = without_suffix(entry.name) if (folder / self._table).is_file() else None
                for item in records_of_file(entry.file, listed):
                    yield item if isinstance(item, Rejection) else _with(item, properties, split)

    @cached_property
    def _kinds(self) -> tuple[dict[str, Kind], dict[str, int]]:
        found: dict[str, Column] = {}
        for _, folder in self._paths.existing():
            names, entries = self._entries(folder)
            for name in names:
                found.setdefault(name, Column())
            for entry in entries:
                for name, cell in zip(names, entry.cells, strict=True):
                    found[name].add(cell)
        unknown = sorted(self._declared.keys() - found.keys())
        if unknown:
            raise SourceError(
                f"{self.name}: columns= names {', '.join(unknown)}, but the columns are "
                f"{', '.join(found) or 'none'}"
            )
        kinds: dict[str, Kind] = {name: column.kind for name, column in found.items()}
        kinds |= self._declared
        return kinds, {name: column.width for name, column in found.items()}

    def _entries(self, folder: Path) -> tuple[list[str], list[_Entry]]:
        """Names of the properties, and rows of the table or files of the folder."""
        if folder.is_file():
            return [], [_Entry(folder.name, (), str(folder), folder)]
        table = folder / self._table
        present = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
        if not table.is_file():
            files = [path for path in present.values() if format_of_name(path)]
            if not files:
                raise FileNotFoundError(
                    f"{folder.absolute()} has neither {self._table} nor files with "
                    f"{', '.join(SUFFIXES)} or named POSCAR"
                )
            return [], [_Entry(path.name, (), str(path), path) for path in files]
        names, rows = self._read_table(table, present)
        return names, [
            _Entry(cells[0], tuple(cells[1:]), f"{table}:{line}", _file_of(cells[0], present))
            for line, cells in rows
        ]

    def _read_table(
        self, table: Path, present: Mapping[str, Path]
    ) -> tuple[list[str], list[tuple[int, list[str]]]]:
        with open_text(table) as file:
            rows = [(line, [cell.strip() for cell in row]) for line, row in csv_cells(file, table)]
        if not rows:
            raise SourceError(
                f"{table} is empty; expected rows of a file's name and its properties"
            )
        width = len(rows[0][1])
        for line, cells in rows:
            if len(cells) != width:
                raise SourceError(
                    f"{table}, line {line}: {len(cells)} cells, but {width} in the first row"
                )
        header = rows.pop(0)[1] if _is_header(rows[0][1], present) else None
        names = self._targets or (header[1:] if header else _default_names(width - 1))
        if len(names) != width - 1:
            raise SourceError(
                f"{table} has {width - 1} columns of properties, but targets= names {len(names)}: "
                f"{', '.join(names)}"
            )
        return names, rows


def _default_names(count: int) -> list[str]:
    return ["target"] if count == 1 else [f"target_{number}" for number in range(count)]


def _is_header(cells: list[str], present: Mapping[str, Path]) -> bool:
    """A row of words that names no file; one number or gap makes it a row of data."""
    if _file_of(cells[0], present) is not None or len(cells) == 1:
        return False
    return all(not is_missing(cell) and not _is_number(cell) for cell in cells[1:])


def _is_number(cell: str) -> bool:
    try:
        parse_number(cell)
    except BadCellError:
        return False
    return True


def _file_of(name: str, present: Mapping[str, Path]) -> Path | None:
    endings = (f"{suffix}{packing}" for suffix in SUFFIXES for packing in ("", ".gz"))
    candidates = (name, *(f"{name}{ending}" for ending in endings))
    return next((present[candidate] for candidate in candidates if candidate in present), None)


def _rejection(entry: _Entry, reason: Reason, detail: str) -> Rejection:
    return Rejection(without_suffix(entry.name), entry.place, "read", reason, detail)


def _with(record: Record, properties: Mapping[str, Any], split: Split) -> Record:
    structure = record.structure
    if isinstance(structure, Crystal):
        structure = structure.replace(properties={})  # the record has them, in the forms of columns
    properties = {**record.properties, **properties}
    return replace(record, structure=structure, properties=properties, split=split)
