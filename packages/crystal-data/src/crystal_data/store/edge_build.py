"""Computes the edges of a whole store, in chunks of bounded size, once for all processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystal_data.graphs.spec import GraphSpec
from crystal_data.io.files import atomic_folder
from crystal_data.processes.locking import locked
from crystal_data.processes.parallel import map_in_order
from crystal_data.processes.progress import progress, say
from crystal_data.store.columns import map_array
from crystal_data.store.edges import EdgeChunk, EdgeColumns, edge_key, find_edges, write_edges
from crystal_data.store.manifest import StoreError, read_manifest

# Enough atoms to make good use of array operations, few enough that a chunk's pairs fit memory.
_ATOMS_PER_CHUNK = 16_384
# About 200,000 atoms are done in a second, and a worker must import torch first.
_PATIENCE_SECONDS = 15.0


def edge_folder(store: Path, spec: GraphSpec) -> Path:
    """Where a store keeps the edges of a specification."""
    return store / f"edges-{edge_key(spec)}"


def ensure_edges(store: Path, spec: GraphSpec, num_workers: int | None = None) -> None:
    """Computes edges unless they are there, whole; other processes that want them wait.

    Args:
        store: Folder of the store.
        spec: Which neighbors become edges.
        num_workers: Processes, 0 for this one; by default as many as cores if it takes long.
    """
    folder = edge_folder(store, spec)
    if _is_whole(folder, says_why=False):
        return
    with locked(folder):
        if _is_whole(folder, says_why=True):  # perhaps computed while this process waited
            return
        with atomic_folder(folder) as temporary:
            offsets = map_array(store / "offsets.npy")
            largest = int(np.diff(offsets).max(initial=1))
            write_edges(temporary, _chunks(store, offsets, spec, num_workers), largest, spec)


def edges_in_memory(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    offsets: NDArray[np.int64],
    spec: GraphSpec,
) -> EdgeColumns:
    """Edges of a store that has no folder."""
    chunks = (
        find_edges(lattice[start:end], frac_coords[slice(*offsets[[start, end]])],
                   np.diff(offsets[start : end + 1]), spec)
        for start, end in _spans(offsets)
    )  # fmt: skip
    columns = write_edges(None, chunks, int(np.diff(offsets).max(initial=1)), spec)
    if columns is None:
        raise RuntimeError("edges without a folder are returned")
    return columns


class _Task(NamedTuple):
    store: Path
    start: int
    end: int
    spec: GraphSpec


def _chunks(
    store: Path, offsets: NDArray[np.int64], spec: GraphSpec, num_workers: int | None
) -> Iterator[EdgeChunk]:
    def task(span: tuple[int, int]) -> _Task:
        return _Task(store, *span, spec)

    with progress("finding neighbors", total=len(offsets) - 1) as advance:
        pairs = map_in_order(
            _edges_of,
            _spans(offsets),
            task,
            num_workers=num_workers,
            patience=_PATIENCE_SECONDS,
        )
        for (start, end), chunk in pairs:
            yield chunk
            advance(end - start)


def _edges_of(task: _Task) -> EdgeChunk:
    offsets = map_array(task.store / "offsets.npy")[task.start : task.end + 1]
    return find_edges(
        map_array(task.store / "lattice.npy")[task.start : task.end],
        map_array(task.store / "frac_coords.npy")[offsets[0] : offsets[-1]],
        np.diff(offsets),
        task.spec,
    )


def _spans(offsets: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Runs of structures with at most a chunk's atoms together, or one structure."""
    start, last = 0, len(offsets) - 1
    while start < last:
        reach = int(np.searchsorted(offsets, offsets[start] + _ATOMS_PER_CHUNK, side="right")) - 1
        end = min(max(reach, start + 1), last)
        yield start, end
        start = end


def _is_whole(folder: Path, *, says_why: bool) -> bool:
    if not folder.is_dir():
        return False
    try:
        read_manifest(folder)
    except StoreError as error:
        if says_why:
            say(f"{error.message}; computing these edges anew")
        return False
    return True
