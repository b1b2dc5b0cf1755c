"""Computes a derived column of a whole store, in chunks of bounded size, once for all processes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from crystal_data.crystal import CrystalArrays
from crystal_data.io.files import atomic_folder
from crystal_data.processes.locking import locked
from crystal_data.processes.parallel import map_in_order
from crystal_data.processes.progress import progress, say
from crystal_data.store.columns import ArrayWriter, MemoryWriter, NpyWriter, map_array
from crystal_data.store.derived import ColumnChunk, ColumnValues, DerivedColumn
from crystal_data.store.manifest import StoreError, read_manifest, write_manifest

_ROWS_PER_COPY = 1 << 20


def ensure_column(store: Path, column: DerivedColumn, num_workers: int | None = None) -> Path:
    """Computes a column unless it is there, whole; other processes that want it wait.

    Args:
        store: Folder of the store.
        column: What to compute.
        num_workers: Processes, 0 for this one; by default as many as cores if it takes long.

    Returns:
        The folder of the column.
    """
    folder = store / column.folder_name
    if _is_whole(folder, column, says_why=False):
        return folder
    with locked(folder):
        if not _is_whole(folder, column, says_why=True):  # perhaps computed while this one waited
            with atomic_folder(folder) as temporary:
                offsets = map_array(store / "offsets.npy")
                write_column(temporary, column, _chunks(store, offsets, column, num_workers))
    return folder


def column_in_memory(arrays: Mapping[str, NDArray[Any]], column: DerivedColumn) -> ColumnValues:
    """Values for a store that has no folder."""
    chunks = (column.compute(_cut(arrays, *span)) for span in _spans(arrays["offsets"], column))
    values = write_column(None, column, chunks)
    if values is None:
        raise RuntimeError("a column without a folder is returned")
    return values


def write_column(
    folder: Path | None, column: DerivedColumn, chunks: Iterable[ColumnChunk]
) -> ColumnValues | None:
    """Writes values in the order of the chunks; without a folder they are returned instead.

    Args:
        folder: An empty folder, or None.
        column: What is written.
        chunks: Values of consecutive crystals.
    """
    with ExitStack() as stack:

        def writer(name: str, dtype: DTypeLike, shape: tuple[int, ...] = ()) -> ArrayWriter:
            made: ArrayWriter
            if folder is None:
                made = MemoryWriter(dtype, shape)
            else:
                made = NpyWriter(folder / f"{name}.npy", dtype, shape)
            stack.callback(made.close)
            return made

        writers = {name: writer(name, lay.dtype, lay.shape) for name, lay in column.layout.items()}
        offsets = writer("offsets", np.int64)
        offsets.append(np.zeros(1, dtype=np.int64))
        failures = writer("failures", np.uint8) if column.reasons else None
        end, num_crystals, failed = 0, 0, Counter[int]()
        for chunk in chunks:
            for name, values in chunk.arrays.items():
                writers[name] = _wide_enough(writers[name], values.dtype, stack)
                writers[name].append(values)
            offsets.append(end + np.cumsum(chunk.counts))
            end += int(chunk.counts.sum())
            num_crystals += len(chunk.counts)
            if failures is not None and chunk.failures is not None:
                failures.append(chunk.failures)
                failed.update(chunk.failures[chunk.failures > 0].tolist())
        arrays = {name: made.finish() for name, made in writers.items()}
        positions = offsets.finish()
        codes = None if failures is None else failures.finish()
    by_reason = {column.reasons[code - 1]: failed[code] for code in sorted(failed)}
    if by_reason:
        parts = ", ".join(f"{count} {reason}" for reason, count in by_reason.items())
        say(f"{column.name}: {failed.total()} of {num_crystals} crystals have none: {parts}")
    if folder is not None:
        content = {
            "column": column.name,
            "options": column.options(),
            "counts": {"crystals": num_crystals, "rows": end},
            "failures": by_reason,
        }
        write_manifest(folder, content)
    if positions is None:
        return None
    kept = {name: array for name, array in arrays.items() if array is not None}
    return ColumnValues(kept, positions, codes, column)


def _wide_enough(writer: ArrayWriter, dtype: np.dtype[Any], stack: ExitStack) -> ArrayWriter:
    """The array, written anew if its type is too narrow for what comes."""
    if dtype.itemsize <= writer.dtype.itemsize:
        return writer
    written = writer.finish()
    wide: ArrayWriter
    if isinstance(writer, NpyWriter):
        narrow = writer.path.with_suffix(".narrow")
        writer.path.replace(narrow)
        wide = NpyWriter(writer.path, dtype, writer.shape)
        stack.callback(wide.close)
        values = map_array(narrow)
        for start in range(0, len(values), _ROWS_PER_COPY):
            wide.append(values[start : start + _ROWS_PER_COPY])
        del values
        narrow.unlink()
        return wide
    wide = MemoryWriter(dtype, writer.shape)
    wide.append(np.asarray(written))
    return wide


class _Task(NamedTuple):
    store: Path
    start: int
    end: int
    column: DerivedColumn


def _chunks(
    store: Path, offsets: NDArray[np.int64], column: DerivedColumn, num_workers: int | None
) -> Iterator[ColumnChunk]:
    def task(span: tuple[int, int]) -> _Task:
        return _Task(store, *span, column)

    with progress(column.activity, total=len(offsets) - 1) as advance:
        pairs = map_in_order(
            _values_of,
            _spans(offsets, column),
            task,
            num_workers=num_workers,
            patience=column.patience,
        )
        for (start, end), chunk in pairs:
            yield chunk
            advance(end - start)


def _values_of(task: _Task) -> ColumnChunk:
    names = ("lattice", "frac_coords", "atomic_numbers", "offsets")
    arrays = {name: map_array(task.store / f"{name}.npy") for name in names}
    return task.column.compute(_cut(arrays, task.start, task.end))


def _cut(arrays: Mapping[str, NDArray[Any]], start: int, end: int) -> CrystalArrays:
    """Consecutive crystals of a store."""
    offsets = arrays["offsets"][start : end + 1]
    atoms = slice(offsets[0], offsets[-1])
    return CrystalArrays(
        lattice=np.array(arrays["lattice"][start:end]),
        frac_coords=np.array(arrays["frac_coords"][atoms]),
        atomic_numbers=np.array(arrays["atomic_numbers"][atoms], dtype=np.int64),
        num_atoms=np.diff(offsets),
    )


def _spans(offsets: NDArray[np.int64], column: DerivedColumn) -> Iterator[tuple[int, int]]:
    """Runs of crystals with at most a chunk's atoms together, or one crystal."""
    start, last = 0, len(offsets) - 1
    while start < last:
        limit = offsets[start] + column.atoms_per_chunk
        reach = int(np.searchsorted(offsets, limit, side="right")) - 1
        end = min(max(reach, start + 1), last)
        yield start, end
        start = end


def _is_whole(folder: Path, column: DerivedColumn, *, says_why: bool) -> bool:
    if not folder.is_dir():
        return False
    try:
        read_manifest(folder)
    except StoreError as error:
        if says_why:
            say(f"{error.message}; computing {column.name} anew")
        return False
    return True
