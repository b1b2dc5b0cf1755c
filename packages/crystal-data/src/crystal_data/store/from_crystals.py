"""Writes crystals that are at hand, without a source to read them from."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal, end_to_end
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import TurnsAs
from crystal_data.io.files import atomic_folder
from crystal_data.processes.locking import locked
from crystal_data.store.properties import PropertySchema
from crystal_data.store.writer import Chunk, StoreWriter

Written = tuple[dict[str, Any], dict[str, NDArray[Any]]]


def write_store(
    crystals: Sequence[Crystal],
    path: str | Path | None,
    *,
    properties: Mapping[str, Sequence[Any]] | None = None,
    split: Sequence[str] | None = None,
    parent: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    turns_as: Mapping[str, TurnsAs] | None = None,
    name: str = "crystals",
) -> Written:
    """Writes what :meth:`CrystalStore.from_crystals` was given; there the arguments are explained.

    Returns:
        The manifest, and the columns if there is no path.

    Raises:
        InvalidArgumentError: If properties of one name are of different kinds or lengths, or
            something is at ``path`` already.
    """
    columns = _all_properties(crystals, properties or {})
    for column, values in {**columns, "split": split, "parent": parent}.items():
        if values is not None and len(values) != len(crystals):
            raise InvalidArgumentError(
                f"{column!r} has {len(values)} values for {len(crystals)} crystals"
            )
    schema = PropertySchema(units, turns_as)
    for row, crystal in enumerate(crystals):
        given = {column: values[row] for column, values in columns.items()}
        problem = schema.problem(given, crystal.num_atoms)
        if problem:
            raise InvalidArgumentError(f"{crystal.identifier or f'crystal {row}'}: {problem}")
    nothing = [""] * len(crystals)
    chunk = Chunk(
        **end_to_end(crystals)._asdict(),
        strings={
            "identifier": [crystal.identifier for crystal in crystals],
            "parent": nothing if parent is None else parent,
            "file": nothing,
            "notes": ["; ".join(crystal.notes) for crystal in crystals],
        },
        split=nothing if split is None else split,
        properties=columns,
    )
    description = {
        "source": name,
        "fingerprint": _content_hash(chunk),
        "options": {},
        "rejected": 0,
    }
    if path is None:
        return _write(None, schema, chunk, description)
    folder = Path(path)
    with locked(folder):
        if folder.exists():
            raise InvalidArgumentError(f"{folder} exists", "give the store a folder of its own")
        with atomic_folder(folder) as temporary:
            return _write(temporary, schema, chunk, description)


def _write(
    folder: Path | None, schema: PropertySchema, chunk: Chunk, description: Mapping[str, Any]
) -> Written:
    with StoreWriter(folder, schema) as writer:
        writer.append(chunk)
        return writer.finish(description)


def _all_properties(
    crystals: Sequence[Crystal], given: Mapping[str, Sequence[Any]]
) -> dict[str, Sequence[Any]]:
    columns = dict(given)
    for name in dict.fromkeys(name for crystal in crystals for name in crystal.properties):
        if name not in columns:
            columns[name] = [crystal.properties.get(name) for crystal in crystals]
    return columns


def _content_hash(chunk: Chunk) -> str:
    digest = hashlib.sha256()
    arrays = (chunk.lattice, chunk.frac_coords, chunk.atomic_numbers, chunk.num_atoms)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    labels = [[list(column) for column in chunk.strings.values()], list(chunk.split)]
    digest.update(repr(labels).encode())
    for name, values in chunk.properties.items():
        digest.update(name.encode())
        for value in values:
            digest.update(value.encode() if isinstance(value, str) else np.asarray(value).tobytes())
    return digest.hexdigest()
