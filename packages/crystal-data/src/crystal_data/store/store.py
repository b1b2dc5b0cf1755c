"""A data set in columns: memory-mapped, shared by all processes, cut into batches by rows."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field, TurnsAs
from crystal_data.graphs.spec import GraphSpec
from crystal_data.store.columns import StringColumn, ragged_positions
from crystal_data.store.derived import ColumnValues, DerivedColumn
from crystal_data.store.derived_build import column_in_memory, ensure_column
from crystal_data.store.edges import EdgeColumn, cut_edges
from crystal_data.store.from_crystals import write_store
from crystal_data.store.manifest import map_columns
from crystal_data.store.properties import MissingColumnError
from crystal_data.store.writer import SPLITS, STRINGS

if TYPE_CHECKING:
    from crystal_data.graphs.batch import CrystalBatch


class CrystalStore:
    """Structures and their properties as columns. Rows count from 0, in the source's order.

    Made by :func:`open_store`, :meth:`open` or :meth:`from_crystals`. Pickles as its path, so
    that every process maps the same pages; a store in memory pickles whole.

    Args:
        arrays: The columns by file name.
        manifest: What they are.
        path: Folder of the store, None in memory.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        manifest: Mapping[str, Any],
        path: Path | None = None,
    ) -> None:
        self.path = path
        self._arrays = dict(arrays)
        self._manifest = dict(manifest)
        self._derived: dict[str, ColumnValues] = {}
        self._fields: dict[str, Field] = {}
        self._checks = True
        #: Atoms of each crystal; int64 ``[num_crystals]``.
        self.num_atoms: NDArray[np.int64] = np.diff(self._arrays["offsets"])

    @classmethod
    def open(cls, path: str | Path, *, check: bool = True) -> Self:
        """Opens a finished store. It stays on disk: only what is asked for is read into memory.

        Args:
            path: Folder of the store.
            check: Read every file once and compare it with its checksum, derived columns
                too when they are first used. A process whose parent has just done so need not.

        Raises:
            StoreError: If a file is missing or damaged, or the format is unknown.
        """
        folder = Path(path)
        manifest, arrays = map_columns(folder, check=check)
        store = cls(arrays, manifest, folder)
        store._checks = check
        return store

    @classmethod
    def from_crystals(
        cls,
        crystals: Sequence[Crystal],
        path: str | Path | None = None,
        *,
        properties: Mapping[str, Sequence[Any]] | None = None,
        split: Sequence[str] | None = None,
        parent: Sequence[str] | None = None,
        units: Mapping[str, str] | None = None,
        turns_as: Mapping[str, TurnsAs] | None = None,
        name: str = "crystals",
    ) -> Self:
        """Makes a store of crystals that are at hand.

        Args:
            crystals: The rows, in this order; their own properties become columns.
            path: Folder to create; None keeps everything in memory.
            properties: Further columns, one value for each crystal; they win over the crystals'.
            split: Split of each crystal.
            parent: Material that each crystal was made from.
            units: Unit of each property that has one.
            turns_as: How properties turn with the crystal that do not stay as they are.
            name: What the store is called in messages and results.

        Raises:
            InvalidArgumentError: If properties of one name are of different kinds or lengths, or
                something is at ``path`` already.
        """
        manifest, arrays = write_store(
            crystals,
            path,
            properties=properties,
            split=split,
            parent=parent,
            units=units,
            turns_as=turns_as,
            name=name,
        )
        return cls(arrays, manifest) if path is None else cls.open(path)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path is not None:
            # Whoever unpickles it is a worker of the process that has checked the files.
            return partial(type(self).open, check=False), (self.path,)
        return type(self), (self._arrays, self._manifest), {"_derived": self._derived}

    def __len__(self) -> int:
        return len(self._arrays["lattice"])

    def __repr__(self) -> str:
        return f"<CrystalStore {self._manifest['source']}, {len(self)} crystals, {self.path}>"

    @property
    def metadata(self) -> dict[str, Any]:
        """Source, fingerprint, options, counts, versions and the number rejected."""
        return {k: v for k, v in self._manifest.items() if k not in ("files", "columns", "fields")}

    @property
    def properties(self) -> tuple[str, ...]:
        """Names of the property columns."""
        return tuple(self._manifest["columns"])

    @property
    def units(self) -> dict[str, str]:
        """Unit of each property that has one."""
        units = {name: field["unit"] for name, field in self._manifest["fields"].items()}
        return {name: unit for name, unit in units.items() if unit}

    def rows_of(self, split: str) -> NDArray[np.int64]:
        """Rows of one split of the source, in order.

        Raises:
            InvalidArgumentError: If there is no such split.
        """
        if split not in SPLITS:
            raise InvalidArgumentError(
                f"no split {split!r}; there are {', '.join(map(repr, SPLITS))}"
            )
        return np.flatnonzero(self._arrays["split"] == SPLITS.index(split))

    def kind(self, name: str) -> str:
        """Kind of a property column: ``scalar``, ``vector``, ``per_atom`` or ``text``.

        Raises:
            MissingColumnError: If there is no such column; the message names those alike.
        """
        self._check_name(name)
        kind: str = self._manifest["columns"][name]["kind"]
        return kind

    def field(self, name: str) -> Field:
        """What a column of numbers is: unit, crystals or atoms, shape, how it turns.

        Raises:
            MissingColumnError: If there is no such column; the message names those alike.
            InvalidArgumentError: If it holds text.
        """
        self._check_name(name)
        if self.kind(name) == "text":
            raise InvalidArgumentError(f"{self._manifest['source']}: column {name!r} holds text")
        if name not in self._fields:
            self._fields[name] = Field.from_dict(self._manifest["fields"][name])
        return self._fields[name]

    def column(self, name: str) -> NDArray[Any] | StringColumn:
        """One column, without reading it.

        Args:
            name: A property, or one of ``lattice``, ``frac_coords``, ``atomic_numbers``,
                ``offsets``, ``identifier``, ``parent``, ``file``, ``notes``, ``split``.

        Returns:
            float64 ``[num_crystals]`` for scalars, ``[num_crystals, k]`` for vectors and
            ``[num_atoms, k]`` for values of each atom, as memory maps; text as a
            :class:`StringColumn`; ``split`` as an array of strings, made on the spot.

        Raises:
            MissingColumnError: If there is no such column; the message names those alike.
        """
        if name in self._manifest["columns"]:
            described = self._manifest["columns"][name]
            if described["kind"] == "text":
                return self._strings(described["file"])
            return self._arrays[described["file"]]
        if name in STRINGS:
            return self._strings(name)
        if name == "split":
            return np.array(SPLITS)[self._arrays["split"]]
        if name in ("lattice", "frac_coords", "atomic_numbers", "offsets"):
            return self._arrays[name]
        self._check_name(name)
        raise KeyError(name)

    def strings(self, name: str) -> StringColumn:
        """``identifier``, ``parent``, ``file``, ``notes``, or a property that holds text.

        Raises:
            MissingColumnError: If there is no such column; the message names those alike.
            InvalidArgumentError: If it does not hold text.
        """
        column = self.column(name)
        if not isinstance(column, StringColumn):
            raise InvalidArgumentError(f"{self._manifest['source']}: column {name!r} holds numbers")
        return column

    def _strings(self, name: str) -> StringColumn:
        return StringColumn(self._arrays[f"{name}.utf8"], self._arrays[f"{name}.offsets"])

    def _check_name(self, name: str) -> None:
        if name not in self._manifest["columns"]:
            raise MissingColumnError(name, self._manifest["source"], self.properties)

    def crystal(self, row: int) -> Crystal:
        """One crystal with all its properties.

        Raises:
            IndexError: If there is no such row.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a store of {len(self)} crystals")
        start, end = (int(position) for position in self._arrays["offsets"][row : row + 2])
        properties: dict[str, Any] = {}
        for name in self.properties:
            column, kind = self.column(name), self.kind(name)
            if kind == "scalar":
                properties[name] = float(column[row])
            else:
                value = column[start:end] if kind == "per_atom" else column[row]
                properties[name] = value if isinstance(value, str) else np.array(value)
        return Crystal(
            lattice=self._arrays["lattice"][row],
            frac_coords=self._arrays["frac_coords"][start:end],
            atomic_numbers=self._arrays["atomic_numbers"][start:end],
            identifier=self._strings("identifier")[row],
            properties=properties,
            notes=(notes,) if (notes := self._strings("notes")[row]) else (),
        )

    def targets(self, names: Sequence[str], rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Values of numeric properties for some rows, NaN where there is no label.

        Args:
            names: Scalars, vectors, or values of each atom.
            rows: Rows of the store.

        Returns:
            ``[rows]``, ``[rows, k]``, or ``[atoms of the rows, k]`` by name.

        Raises:
            MissingColumnError: If there is no such column; the message names those alike.
            InvalidArgumentError: If a column holds text.
        """
        values: dict[str, NDArray[Any]] = {}
        for name in names:
            kind = self.kind(name)
            if kind == "text":
                raise InvalidArgumentError(
                    f"{self._manifest['source']}: column {name!r} holds text"
                )
            at = self._atoms_of(rows) if kind == "per_atom" else rows
            values[name] = self._arrays[self._manifest["columns"][name]["file"]][at]
        return values

    def _atoms_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        starts = self._arrays["offsets"][rows]
        return ragged_positions(starts, self._arrays["offsets"][rows + 1] - starts)

    def batch(
        self,
        rows: NDArray[np.int64] | Sequence[int],
        targets: Sequence[str] = (),
        graph_spec: GraphSpec | None = None,
    ) -> "CrystalBatch":
        """Cuts a batch out of the columns.

        Args:
            rows: Rows of the store, in the batch's order; ``sample_id`` tells them.
            targets: Numeric property columns to bring along.
            graph_spec: Bring the edges of this specification, if :meth:`add_column` has made them.

        Returns:
            Coordinates in float64; edges only if asked for and there.

        Raises:
            IndexError: If a row does not exist.
            MissingColumnError: If a target does not exist; the message names those alike.
        """
        # Tables are built and read without torch, which takes seconds to import.
        from crystal_data.graphs.batch import CrystalBatch
        from crystal_data.graphs.line_graph import line_graph_index

        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of a store of {len(self)}")
        starts = self._arrays["offsets"][rows]
        num_atoms = self._arrays["offsets"][rows + 1] - starts
        atoms = ragged_positions(starts, num_atoms)
        batch = CrystalBatch.from_arrays(
            lattice=self._arrays["lattice"][rows],
            frac_coords=self._arrays["frac_coords"][atoms],
            atomic_numbers=self._arrays["atomic_numbers"][atoms],
            num_atoms=num_atoms,
            sample_id=rows,
            identifier=self._strings("identifier").take(rows),
            targets=self.targets(targets, rows),
            fields={name: self.field(name) for name in targets},
        )
        edges = None if graph_spec is None else self.column_of(EdgeColumn(graph_spec))
        if edges is not None:
            first_atom = np.cumsum(num_atoms) - num_atoms
            edge_index, batch.edge_shift, batch.edge_length = cut_edges(edges, rows, first_atom)
            batch.edge_index = edge_index
            if graph_spec is not None and graph_spec.line_graph:
                batch.line_graph_index = line_graph_index(edge_index, len(atoms))
        return batch

    def column_of(self, column: DerivedColumn) -> ColumnValues | None:
        """Values of a derived column, or None if they have not been computed.

        Raises:
            StoreError: If they are damaged; :meth:`add_column` then computes them again.
        """
        name = column.folder_name
        if name not in self._derived and self.path is not None:
            folder = self.path / name
            if folder.is_dir():
                self._derived[name] = ColumnValues.open(folder, column, check=self._checks)
        return self._derived.get(name)

    def add_column(self, column: DerivedColumn, *, num_workers: int | None = None) -> ColumnValues:
        """Computes a derived column of all crystals once, for this store and all later runs.

        Args:
            column: What to compute, such as ``EdgeColumn(graph_spec)``.
            num_workers: Processes, 0 for this one; by default as many as cores if it takes long.

        Returns:
            Its values.
        """
        if self.path is None:
            values = column_in_memory(self._arrays, column)
        else:
            folder = ensure_column(self.path, column, num_workers)
            values = ColumnValues.open(folder, column, check=False)
        self._derived[column.folder_name] = values
        return values
