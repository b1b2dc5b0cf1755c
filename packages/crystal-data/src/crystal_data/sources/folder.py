"""The user's own folders of structure files, with or without a table of properties."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import override

from crystal_data.crystal import Crystal
from crystal_data.errors import MissingFileError, Reason, Rejection, SourceError
from crystal_data.field import TurnsAs
from crystal_data.io.formats import (
    SUFFIXES,
    format_of_name,
    has_structure_ending,
    without_suffix,
)
from crystal_data.io.record import Record, Split
from crystal_data.io.records import records_of_file
from crystal_data.sources.base import CrystalSource, combine_fingerprint, reject_duplicates
from crystal_data.sources.hashing import hash_files
from crystal_data.sources.packed import open_text
from crystal_data.sources.split_paths import SplitPaths
from crystal_data.sources.table_cells import (
    AmbiguousNumberError,
    BadCellError,
    Column,
    Kind,
    convert,
    is_missing,
    parse_number,
)
from crystal_data.sources.table_rows import LARGEST_CELL, csv_cells

_WHOLE_NUMBER = re.compile(r"(\d+)\.0+")


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
    Endings are found in capitals too, and ``1.0``, into which spreadsheets turn the name ``1``,
    finds ``1.cif``. Without a table every structure file in the folder is read; a link to nothing,
    a pipe or a folder that is named like one is rejected.

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
        turns_as: ``vector``, ``tensor`` or ``symmetric_tensor`` for properties that turn with the
            crystal. A tensor is nine numbers, row after row.
        name: Short name; by default that of the folder.
    """

    reading_version: ClassVar[int] = 2

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
        turns_as: dict[str, TurnsAs] | None = None,
        name: str | None = None,
    ) -> None:
        self._paths = SplitPaths.of(type(self).__name__, path, train=train, val=val, test=test)
        self._targets = list(targets) if targets is not None else None
        self._table = table
        self._declared: dict[str, Kind] = dict(columns or {})
        self._units = dict(units or {})
        self._turns_as: dict[str, TurnsAs] = dict(turns_as or {})
        self._name = name or self._paths.stem

    @property
    def name(self) -> str:
        """Name given, or that of the folder."""
        return self._name

    @property
    def units(self) -> dict[str, str]:
        """Units as given."""
        return dict(self._units)

    @property
    @override
    def turns_as(self) -> dict[str, TurnsAs]:
        return dict(self._turns_as)

    def fingerprint(self) -> str:
        """Hash of the files that are read, and of the options."""
        read: list[Path] = []
        for _, folder in self._paths.existing():
            table = folder / self._table
            if table.is_file():
                read.append(table)
            read.extend(entry.file for entry in self._entries(folder)[1] if entry.file is not None)
        # Links to nothing, pipes and folders are rejected by name.
        irregular = [str(path) for path in read if not path.is_file()]
        options = {
            "irregular": irregular,
            "targets": self._targets,
            "table": self._table,
            "declared": self._declared,
            "splits": [split for split, _ in self._paths.paths],
        }
        return combine_fingerprint(self, hash_files([p for p in read if p.is_file()]), options)

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
                    endings = ", ".join(SUFFIXES)
                    detail = f"the folder has no file {entry.name}, also not with {endings} or .gz"
                    yield _rejection(entry, Reason.MISSING_FILE, detail)
                    continue
                # A table names its structures; where there is none, they may name themselves.
                listed = _listed_name(entry) if (folder / self._table).is_file() else None
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
        if not folder.is_dir():
            return [], [_Entry(folder.name, (), str(folder), folder)]
        table = folder / self._table
        present = _Files(folder)
        if not table.is_file():
            files = [path for path in present.by_name.values() if format_of_name(path)]
            if not files:
                raise MissingFileError(
                    f"{folder.absolute()} has neither {self._table} nor files with "
                    f"{', '.join(SUFFIXES)} or named POSCAR"
                )
            return [], [_Entry(path.name, (), str(path), path) for path in files]
        names, rows = self._read_table(table, present)
        return names, [
            _Entry(cells[0], tuple(cells[1:]), f"{table}:{line}", present.find(cells[0]))
            for line, cells in rows
        ]

    def _read_table(
        self, table: Path, present: "_Files"
    ) -> tuple[list[str], list[tuple[int, list[str]]]]:
        with open_text(table, LARGEST_CELL) as file:
            rows = [(line, [row[0].strip(), *row[1:]]) for line, row in csv_cells(file, table)]
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
        own_names = [cell.strip() for cell in header[1:]] if header else _default_names(width - 1)
        names = self._targets or own_names
        if len(names) != width - 1:
            raise SourceError(
                f"{table} has {width - 1} columns of properties, but targets= names {len(names)}: "
                f"{', '.join(names)}"
            )
        return names, rows


class _Files:
    """The files of a folder, found by what a table calls them."""

    def __init__(self, folder: Path) -> None:
        self.by_name = {
            path.name: path
            for path in sorted(folder.iterdir())
            # A folder is listed only where its name says that it should be a file.
            if not path.is_dir() or has_structure_ending(path)
        }
        self._by_stem: dict[str, list[Path]] = {}
        for path in sorted(filter(has_structure_ending, self.by_name.values()), key=_preference):
            self._by_stem.setdefault(without_suffix(path.name), []).append(path)

    def find(self, name: str) -> Path | None:
        """The file of a name with or without its ending, whatever the case of the ending.

        Spreadsheets turn the name 1 into 1.0, which is taken back where only one file fits.
        """
        if name in self.by_name:
            return self.by_name[name]
        if name in self._by_stem:
            return self._by_stem[name][0]
        ending = format_of_name(Path(name))
        same_stem = self._by_stem.get(without_suffix(name), [])
        alike = [path for path in same_stem if format_of_name(path) == ending]
        whole = _WHOLE_NUMBER.fullmatch(name)
        numbered = self._by_stem.get(whole[1], []) if whole else []
        return next(iter(alike or (numbered if len(numbered) == 1 else [])), None)


def _preference(path: Path) -> tuple[int, bool, str]:
    """Formats in the order of ``SUFFIXES``, each unpacked before packed, capitals last."""
    name = path.name.lower()
    is_packed = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    return list(SUFFIXES).index(suffix), is_packed, path.name.swapcase()


def _listed_name(entry: _Entry) -> str:
    name = without_suffix(entry.name)
    whole = _WHOLE_NUMBER.fullmatch(name)
    if whole and entry.file is not None and without_suffix(entry.file.name) == whole[1]:
        return whole[1]
    return name


def _default_names(count: int) -> list[str]:
    return ["target"] if count == 1 else [f"target_{number}" for number in range(count)]


def _is_header(cells: list[str], present: _Files) -> bool:
    """A row of words that names no file; one number or gap makes it a row of data."""
    if present.find(cells[0]) is not None or len(cells) == 1:
        return False
    return all(not is_missing(cell) and not _is_number(cell) for cell in cells[1:])


def _is_number(cell: str) -> bool:
    try:
        parse_number(cell)
    except AmbiguousNumberError:
        return True
    except BadCellError:
        return False
    return True


def _rejection(entry: _Entry, reason: Reason, detail: str) -> Rejection:
    return Rejection(without_suffix(entry.name), entry.place, "read", reason, detail)


def _with(record: Record, properties: Mapping[str, Any], split: Split) -> Record:
    structure = record.structure
    if isinstance(structure, Crystal):
        structure = structure.replace(properties={})  # the record has them, in the forms of columns
    properties = {**record.properties, **properties}
    return replace(record, structure=structure, properties=properties, split=split)
