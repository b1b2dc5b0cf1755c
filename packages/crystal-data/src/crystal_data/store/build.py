"""Builds the store of a source once, and opens it from then on."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from crystal_data.errors import OnInvalid, Reason, Rejection
from crystal_data.homes import cache_home
from crystal_data.io.files import atomic_folder
from crystal_data.io.options import DEFAULT, ReadOptions
from crystal_data.io.record import Record
from crystal_data.io.rejected import REJECTED, write_rejected
from crystal_data.processes.locking import locked
from crystal_data.processes.parallel import map_in_order
from crystal_data.processes.progress import progress, say
from crystal_data.sources.base import CrystalSource, reject_duplicates
from crystal_data.store.manifest import FORMAT_VERSION, MANIFEST, StoreError
from crystal_data.store.parsing import Parsed, ParseTask, parse_chunk
from crystal_data.store.properties import PropertySchema
from crystal_data.store.rejections import report_rejected
from crystal_data.store.store import CrystalStore
from crystal_data.store.writer import Chunk, StoreWriter

Item = Record | Rejection

_CHUNK = 256
# About 10,000 structures of MP-20 are read in a second; workers must start and import first.
_PATIENCE_SECONDS = 3.0


def open_store(
    source: CrystalSource,
    *,
    on_invalid: OnInvalid = "error",
    options: ReadOptions = DEFAULT,
    cache: str | Path | None = None,
    num_workers: int | None = None,
) -> CrystalStore:
    """Opens the store of a source; builds it first unless it is there.

    Built stores are kept under the source's content and the options, so a changed file or option
    gives another store. Processes that ask for the same store at once get one build; a build that
    is killed leaves nothing that would be taken for a store.

    Args:
        source: Where the structures come from; prepared if a build needs it.
        on_invalid: ``"error"`` raises if any structure cannot be used, after all have been looked
            at. ``"skip"`` leaves them out and says how many.
        options: How to read. With ``on_disorder="skip"`` disordered structures are left out and
            counted even if others raise.
        cache: Folder of stores; by default ``CRYSTAL_CACHE_HOME``.
        num_workers: Processes that parse, 0 for this one; by default as many as cores if parsing
            takes long.

    Raises:
        InvalidSourceError: If structures cannot be used and ``on_invalid`` is ``"error"``, or if
            not one can be used.
    """
    folder = store_folder(source, options, cache)
    store = _opened(folder, says_why=False)
    if store is None:
        with locked(folder):
            store = _opened(folder, says_why=True)  # perhaps built while this process waited
            if store is None:
                with atomic_folder(folder) as temporary:
                    _Build(source, temporary, options, num_workers).run()
                store = CrystalStore.open(folder)
    report_rejected(store, folder / REJECTED, on_invalid, options.on_disorder)
    return store


def store_folder(
    source: CrystalSource, options: ReadOptions = DEFAULT, cache: str | Path | None = None
) -> Path:
    """Where the store of a source and these options is or will be; the source is prepared."""
    source.prepare()
    content = {
        "format_version": FORMAT_VERSION,
        "fingerprint": source.fingerprint(),
        "units": source.units,
        "turns_as": source.turns_as,
        **options.as_dict(),
    }
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", source.name).strip("._")[:60] or "store"
    return cache_home(cache) / f"{name}-{key}"


def _opened(folder: Path, *, says_why: bool) -> CrystalStore | None:
    if not (folder / MANIFEST).exists():
        return None
    try:
        return CrystalStore.open(folder)
    except StoreError as error:
        if says_why:
            say(f"{error.message}; building it anew")
        return None


class _Build:
    """One build: records in, columns and rejections out."""

    def __init__(
        self,
        source: CrystalSource,
        folder: Path,
        options: ReadOptions,
        num_workers: int | None,
    ) -> None:
        self._source = source
        self._folder = folder
        self._options = options
        self._num_workers = num_workers
        self._schema = PropertySchema(source.units, source.turns_as)
        self._writer = StoreWriter(folder, self._schema)
        self._rejections: list[Rejection] = []

    def run(self) -> None:
        """Reads the whole source and completes the folder."""
        with self._writer, progress(f"reading {self._source.name}") as advance:
            chunks = _chunked(reject_duplicates(self._source.records()))
            pairs = map_in_order(
                parse_chunk,
                chunks,
                self._task,
                num_workers=self._num_workers,
                patience=_PATIENCE_SECONDS,
            )
            for items, parsed in pairs:
                self._take(items, parsed)
                advance(len(items))
            write_rejected(self._folder / REJECTED, self._rejections)
            self._writer.finish(self._description())

    def _description(self) -> dict[str, Any]:
        return {
            "source": self._source.name,
            "fingerprint": self._source.fingerprint(),
            "options": self._options.as_dict(),
            "rejected": len(self._rejections),
        }

    def _task(self, items: list[Item]) -> ParseTask:
        # Labels stay here: a worker has no use for them.
        records = [i if isinstance(i, Rejection) else replace(i, properties={}) for i in items]
        return ParseTask(records, self._options)

    def _take(self, items: list[Item], parsed: Parsed) -> None:
        """Writes what can be used of a chunk and notes the rest, in the source's order."""
        rejected = dict(parsed.rejections)
        records: list[Record] = []
        notes: list[str] = []
        values: list[dict[str, Any]] = []
        is_kept = np.zeros(len(parsed.kept), dtype=bool)
        for row, place in enumerate(parsed.kept):
            record = items[place]
            if isinstance(record, Rejection):
                raise RuntimeError("a rejected record came back parsed")
            properties = {**parsed.properties[row], **record.properties}
            problem = self._problem(record, properties, int(parsed.num_atoms[row]))
            if problem:
                rejected[place] = Rejection(
                    record.identifier, record.file, "check", Reason.BAD_VALUE, problem
                )
                continue
            is_kept[row] = True
            records.append(record)
            notes.append(parsed.notes[row])
            values.append(properties)
        self._rejections += [rejected[place] for place in sorted(rejected)]
        atom_is_kept = np.repeat(is_kept, parsed.num_atoms)
        names = dict.fromkeys(name for row in values for name in row)
        self._writer.append(
            Chunk(
                lattice=parsed.lattice[is_kept],
                frac_coords=parsed.frac_coords[atom_is_kept],
                atomic_numbers=parsed.atomic_numbers[atom_is_kept],
                num_atoms=parsed.num_atoms[is_kept],
                strings={
                    "identifier": [record.identifier for record in records],
                    "parent": [record.parent for record in records],
                    "file": [record.file for record in records],
                    "notes": notes,
                },
                split=[record.split for record in records],
                properties={name: [row.get(name) for row in values] for name in names},
            )
        )

    def _problem(self, record: Record, properties: Mapping[str, Any], num_atoms: int) -> str | None:
        if "\0" in f"{record.identifier}{record.parent}{record.file}":
            return "its identifier, parent or file name has a NUL character"
        return self._schema.problem(properties, num_atoms, record.fields)


def _chunked(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
