"""Tables with one structure in each row."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, Reason, Rejection, SourceError
from crystal_data.field import TurnsAs
from crystal_data.io.ase_results import fields_of_results
from crystal_data.io.formats import format_of_name, is_table
from crystal_data.io.record import Record, Split, StructureFormat
from crystal_data.io.site_lists import (
    OPTIMADE_COLUMNS,
    crystal_from_jarvis,
    crystal_from_optimade,
    is_jarvis,
)
from crystal_data.sources.base import CrystalSource, combine_fingerprint, reject_duplicates
from crystal_data.sources.hashing import hash_files
from crystal_data.sources.split_paths import SplitPaths
from crystal_data.sources.table_cells import (
    BadCellError,
    Column,
    Kind,
    convert,
    is_missing,
    parse_text,
)
from crystal_data.sources.table_rows import LARGEST_CELL, Row, column_names, read_rows

logger = logging.getLogger(__name__)

IDENTIFIER_COLUMNS = ("identifier", "id", "material_id", "immutable_id", "jid")
STRUCTURE_COLUMNS = ("cif", "structure", "poscar", "atoms", "cif_string", "LeMatStructs")
# What a row of OPTIMADE says of its structure again.
_RESTATED = frozenset(
    {*OPTIMADE_COLUMNS, "species", "dimension_types", "elements", "elements_ratios"}
)
_OF_ATOMS = ("forces", "magnetic_moments")
_SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which column holds what, in all files of a source."""

    identifier: str | None
    structure: str | None  # None: the OPTIMADE columns
    split: str | None
    parent: str | None
    kinds: dict[str, Kind]
    widths: dict[str, int]


class TableSource(CrystalSource):
    """Structures and properties in a CSV, Parquet, JSON Lines or JSON file.

    Cells of a CSV or TSV file are separated by commas, semicolons or tabs, whichever stands behind
    the first one. Where it is no comma, numbers may have a decimal comma; ``1,234``, which may
    also be a thousand, is rejected.

    The structure is a column of CIF, POSCAR or pymatgen-JSON texts, the ``atoms`` of JARVIS, or the
    three OPTIMADE columns ``lattice_vectors``, ``cartesian_site_positions``, ``species_at_sites``.
    Every other column is a property by its name, except OPTIMADE's ``species``, ``elements``,
    ``elements_ratios`` and ``dimension_types``, which repeat the structure; OPTIMADE's ``forces``
    and ``magnetic_moments`` are values of atoms.

    Args:
        path: One file for everything; or give a file for each split.
        train: File of the training structures.
        val: File of the validation structures.
        test: File of the test structures.
        identifier: Column of ids; by default the first of identifier, id, material_id,
            immutable_id and jid that is there, else rows are numbered.
        structure: Column of structures; by default the first of cif, structure, poscar, atoms,
            cif_string and LeMatStructs that is there, else the OPTIMADE columns.
        split: Column of train, val and test; by default the one of this name, if there.
        parent: Column of the material each structure was made from; by default the one of this
            name, if there.
        columns: What columns hold, where looking at their cells finds another kind:
            ``per_atom`` for lists with a value or a vector for each atom; ``skip`` leaves one out.
        units: Unit of each property that has one.
        turns_as: ``vector``, ``tensor`` or ``symmetric_tensor`` for properties that turn with the
            crystal. A tensor is nine numbers, row after row.
        name: Short name; by default that of the file.
    """

    # Whether a declared column that no file has is a missing value in every row.
    _columns_may_lack: ClassVar[bool] = False

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        train: str | Path | None = None,
        val: str | Path | None = None,
        test: str | Path | None = None,
        identifier: str | None = None,
        structure: str | None = None,
        split: str | None = None,
        parent: str | None = None,
        columns: dict[str, Kind] | None = None,
        units: dict[str, str] | None = None,
        turns_as: dict[str, TurnsAs] | None = None,
        name: str | None = None,
    ) -> None:
        self._paths = SplitPaths.of(type(self).__name__, path, train=train, val=val, test=test)
        self._columns = {
            "identifier": identifier,
            "structure": structure,
            "split": split,
            "parent": parent,
        }
        self._declared: dict[str, Kind] = dict(columns or {})
        self._units = dict(units or {})
        self._turns_as: dict[str, TurnsAs] = dict(turns_as or {})
        self._name = name or self._paths.stem

    @property
    def name(self) -> str:
        """Name given, or that of the file."""
        return self._name

    @property
    def units(self) -> dict[str, str]:
        """Units as given."""
        return dict(self._units)

    @property
    @override
    def turns_as(self) -> dict[str, TurnsAs]:
        return dict(self._turns_as)

    def files(self) -> list[tuple[Split, Path]]:
        """The files that are read, with the split that each one is.

        Raises:
            MissingFileError: If one is missing.
        """
        return self._paths.existing()

    def fingerprint(self) -> str:
        """Hash of files and options."""
        files = self.files()
        options = {
            "columns": self._columns,
            "declared": self._declared,
            "splits": [split for split, _ in files],
        }
        return combine_fingerprint(self, hash_files([path for _, path in files]), options)

    def records(self) -> Iterator[Record | Rejection]:
        """Rows in the order of the files, train first."""
        return reject_duplicates(self._all_rows())

    @cached_property
    def _layout(self) -> _Layout:
        names = [column_names(path) for _, path in self.files()]
        present = list(dict.fromkeys(name for part in names for name in part))
        identifier = self._find("identifier", IDENTIFIER_COLUMNS, present)
        structure = self._find("structure", STRUCTURE_COLUMNS, present)
        split = self._find("split", ("split",), present)
        parent = self._find("parent", ("parent",), present)
        if structure is None and not set(OPTIMADE_COLUMNS) <= set(present):
            raise SourceError(
                f"{self.name}: no column of structures among {', '.join(present)}; expected one "
                f"of {', '.join(STRUCTURE_COLUMNS)} or the OPTIMADE columns "
                f"{', '.join(OPTIMADE_COLUMNS)}",
                "name it with structure=",
            )
        absent = [name for name in self._declared if name not in present]
        if absent and not self._columns_may_lack:
            raise SourceError(
                f"{self.name}: columns= names {', '.join(absent)}, but the columns are "
                f"{', '.join(present)}"
            )
        used = {identifier, structure, split, parent}
        restated = _RESTATED if structure is None else frozenset()
        names_left = [
            name
            for name in present
            if name in self._declared or (name not in used and name not in restated)
        ]
        of_atoms = [name for name in _OF_ATOMS if name in names_left and structure is None]
        kinds, widths = self._kinds(names_left, of_atoms)
        return _Layout(identifier, structure, split, parent, kinds, widths)

    def _find(self, role: str, usual: Sequence[str], present: Sequence[str]) -> str | None:
        chosen = self._columns[role]
        if chosen is None:
            return next((name for name in usual if name in present), None)
        if chosen not in present:
            raise SourceError(
                f"{self.name}: there is no column {chosen!r} for {role}=; "
                f"the columns are {', '.join(present)}"
            )
        return chosen

    def _kinds(
        self, names: Sequence[str], of_atoms: Sequence[str]
    ) -> tuple[dict[str, Kind], dict[str, int]]:
        kinds: dict[str, Kind] = dict.fromkeys(of_atoms, "per_atom")
        kinds |= self._declared
        # A vector's length is seen in its cells alone, even where its kind is known.
        looked_at = [name for name in names if kinds.get(name, "vector") == "vector"]
        widths: dict[str, int] = {}
        if looked_at:
            found = {name: Column() for name in looked_at}
            for _, path in self.files():
                for row in read_rows(path):
                    for name, column in found.items():
                        column.add(row.get(name))
            for name, column in found.items():
                kinds.setdefault(name, column.kind)
                widths[name] = column.width
        skipped = [name for name in names if kinds[name] == "skip" and name not in self._declared]
        if skipped:
            logger.warning(
                "%s: columns %s are neither numbers nor fixed vectors nor text, and are left out; "
                "declare values of atoms with columns={%r: 'per_atom'}",
                self.name,
                ", ".join(skipped),
                skipped[0],
            )
        return {name: kind for name, kind in kinds.items() if kind != "skip"}, widths

    def _all_rows(self) -> Iterator[Record | Rejection]:
        for split, path in self.files():
            for number, row in enumerate(read_rows(path), start=1):
                yield self._record(row, split, path, number)

    def _record(self, row: Row, split: Split, path: Path, number: int) -> Record | Rejection:
        layout = self._layout
        place = f"{path}:{number}"
        identifier = _text(row, layout.identifier) or f"{path.name.split('.')[0]}-{number}"
        try:
            structure, form = structure_of_row(identifier, row, layout.structure)
            properties = convert(row, layout.kinds, layout.widths)
            return Record(
                identifier,
                structure,
                form,
                properties,
                split or _split_of(row, layout.split),
                _text(row, layout.parent),
                place,
                # OPTIMADE's forces are those of ASE.
                fields_of_results(properties) if layout.structure is None else {},
            )
        except InvalidCrystalError as error:
            return Rejection(identifier, place, "read", error.reason, error.detail)
        except BadCellError as error:
            return Rejection(identifier, place, "read", Reason.BAD_VALUE, str(error))


def structure_of_row(
    identifier: str, row: Row, column: str | None
) -> tuple[str | Crystal, StructureFormat]:
    """The structure in a row of a table, and how it is to be read.

    Args:
        identifier: For messages.
        row: Column to cell.
        column: The one with the structure; None: the OPTIMADE columns.

    Raises:
        InvalidCrystalError: If there is none.
    """
    if column is None:
        return crystal_from_optimade(identifier, row), "crystal"
    cell = row.get(column)
    if is_missing(cell):
        raise InvalidCrystalError(identifier, Reason.EMPTY, f"column {column} is empty")
    if isinstance(cell, Mapping) and is_jarvis(cell):
        return crystal_from_jarvis(identifier, cell), "crystal"
    if isinstance(cell, Mapping):
        return json.dumps(cell), "json"
    text = str(cell)
    if len(text) > LARGEST_CELL:
        detail = f"column {column} has {len(text) >> 20} MB, more than any structure needs"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    return text, text_format(text)


def is_table_file(path: Path) -> bool:
    """Whether a file is a table by its name, or holds JSON whose first value is a table's row.

    A list or lines of objects with a column of structures are such rows; structures alone are not.
    """
    if is_table(path):
        return True
    kind = format_of_name(path)
    if kind not in ("json", "jsonl") or not path.is_file():
        return False
    try:
        first = next(read_rows(path), {})
    except SourceError:
        return False
    if kind == "json":  # lists of pymatgen's objects are read with what their structures say
        return isinstance(first.get("atoms"), Mapping)
    return not first.keys().isdisjoint(STRUCTURE_COLUMNS) or set(OPTIMADE_COLUMNS) <= first.keys()


def text_format(text: str) -> StructureFormat:
    """Whether a structure's text is pymatgen JSON, CIF or POSCAR, from how it looks."""
    if text.lstrip().startswith("{"):
        return "json"
    return "cif" if "_cell_" in text or "_atom_site" in text or "data_" in text else "poscar"


def _split_of(row: Row, column: str | None) -> Split:
    word = _text(row, column)
    if not word:
        return ""
    if word.casefold() not in _SPLIT_NAMES:
        raise BadCellError(f"column {column}: {word!r} is none of train, val and test")
    return _SPLIT_NAMES[word.casefold()]


def _text(row: Row, column: str | None) -> str:
    return parse_text(row.get(column)) if column is not None else ""
