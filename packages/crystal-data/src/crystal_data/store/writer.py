"""Turns chunks of parsed structures into the columns of a store, on disk or in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from crystal_data.errors import InvalidArgumentError
from crystal_data.io.record import SPLIT_NAMES
from crystal_data.store.columns import ArrayWriter, MemoryWriter, NpyWriter, encode_strings
from crystal_data.store.manifest import write_manifest
from crystal_data.store.properties import PropertyColumn, PropertySchema
from crystal_data.versions import library_versions

# A store keeps places in this list, so an entry never moves.
SPLITS = ("", *SPLIT_NAMES)
STRINGS = ("identifier", "parent", "file", "notes")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Structures end to end, ready to be written.

    Args:
        lattice: Rows a, b, c; shape ``[num_crystals, 3, 3]``, Å.
        frac_coords: Shape ``[num_atoms, 3]``, dimensionless.
        atomic_numbers: Shape ``[num_atoms]``.
        num_atoms: Atoms of each structure; shape ``[num_crystals]``.
        strings: ``identifier``, ``parent``, ``file`` and ``notes``, one of each for each structure.
        split: ``"train"``, ``"val"``, ``"test"`` or ``""`` for each structure.
        properties: Column of values for each property, None or NaN where there is none.
    """

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    atomic_numbers: NDArray[Any]
    num_atoms: NDArray[np.int64]
    strings: Mapping[str, Sequence[str]]
    split: Sequence[str]
    properties: Mapping[str, Sequence[Any]]


class StoreWriter:
    """Writes the columns of one store; used in a ``with`` block, which closes its files.

    Args:
        folder: An empty folder, or None to keep the columns in memory.
        schema: Kinds of the properties; whoever admits structures fills it before ``append``.
    """

    def __init__(self, folder: Path | None, schema: PropertySchema) -> None:
        self._folder = folder
        self._schema = schema
        self._writers: dict[str, ArrayWriter] = {}
        self._properties: dict[str, PropertyColumn] = {}
        self._num_crystals = self._num_atoms = 0
        self._splits = np.zeros(len(SPLITS), dtype=np.int64)
        self._ends = dict.fromkeys(STRINGS, 0)
        self._writer("lattice", np.float64, (3, 3))
        self._writer("frac_coords", np.float64, (3,))
        self._writer("atomic_numbers", np.uint8)
        self._writer("split", np.uint8)
        self._writer("offsets", np.int64).append(np.zeros(1, dtype=np.int64))
        for name in STRINGS:
            self._writer(f"{name}.utf8", np.uint8)
            self._writer(f"{name}.offsets", np.int64).append(np.zeros(1, dtype=np.int64))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def _writer(self, name: str, dtype: DTypeLike, shape: tuple[int, ...] = ()) -> ArrayWriter:
        writer: ArrayWriter
        if self._folder is None:
            writer = MemoryWriter(dtype, shape)
        else:
            writer = NpyWriter(self._folder / f"{name}.npy", dtype, shape)
        self._writers[name] = writer
        return writer

    def append(self, chunk: Chunk) -> None:
        """Adds structures behind those that are there."""
        unknown = set(chunk.split) - set(SPLITS)
        if unknown:
            raise InvalidArgumentError(
                f"split {unknown.pop()!r} is none of {', '.join(map(repr, SPLITS))}"
            )
        split = np.array([SPLITS.index(name) for name in chunk.split], dtype=np.uint8)
        self._writers["lattice"].append(chunk.lattice)
        self._writers["frac_coords"].append(chunk.frac_coords)
        self._writers["atomic_numbers"].append(chunk.atomic_numbers)
        self._writers["split"].append(split)
        self._writers["offsets"].append(self._num_atoms + np.cumsum(chunk.num_atoms))
        for name in STRINGS:
            data, ends = encode_strings(chunk.strings[name])
            self._writers[f"{name}.utf8"].append(data)
            self._writers[f"{name}.offsets"].append(ends + self._ends[name])
            self._ends[name] += len(data)
        self._append_properties(chunk)
        self._splits += np.bincount(split, minlength=len(SPLITS))
        self._num_crystals += len(chunk.num_atoms)
        self._num_atoms += int(chunk.num_atoms.sum())

    def _append_properties(self, chunk: Chunk) -> None:
        for name in chunk.properties:
            if name not in self._properties:
                # Columns are numbered: a property's name need not be fit for a file.
                label = f"property-{len(self._properties)}"
                column = self._properties[name] = PropertyColumn(label, self._writer)
                column.skip(self._num_crystals, self._num_atoms)
        absent = [None] * len(chunk.num_atoms)
        for name, column in self._properties.items():
            values = chunk.properties.get(name, absent)
            column.append(values, chunk.num_atoms, self._schema.types.get(name))

    def finish(self, description: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Ends all columns; on disk, writes the manifest and syncs the folder.

        Args:
            description: What the manifest says beyond counts, columns, versions and files.

        Returns:
            The manifest, and the arrays by name if they were kept in memory.
        """
        fields = self._schema.fields(self._properties)
        for column in self._properties.values():
            column.finish()
        arrays = {name: writer.finish() for name, writer in self._writers.items()}
        counts = {"crystals": self._num_crystals, "atoms": self._num_atoms}
        counts |= {name or "no_split": int(n) for name, n in zip(SPLITS, self._splits, strict=True)}
        manifest = {
            **description,
            "counts": counts,
            "columns": {name: column.describe() for name, column in self._properties.items()},
            "fields": {name: field.to_dict() for name, field in fields.items()},
            "versions": library_versions(("crystal-data", "numpy", "gemmi", "pymatgen-core")),
        }
        if self._folder is not None:
            write_manifest(self._folder, manifest)
        return manifest, arrays
