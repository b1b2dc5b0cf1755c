"""Edges of all structures of a store, computed once and cut out by rows."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from crystal_data.graphs.spec import GraphSpec
from crystal_data.store.columns import (
    ArrayWriter,
    MemoryWriter,
    NpyWriter,
    map_array,
    ragged_positions,
)
from crystal_data.store.manifest import map_columns, write_manifest

if TYPE_CHECKING:
    from torch import Tensor

# Raised when the same options give other edges, so that cached ones are computed anew.
EDGE_VERSION = 1


@dataclass(frozen=True, slots=True)
class EdgeColumns:
    """Edges end to end, those of one structure together; atoms are counted from its first.

    Args:
        edge_index: Neighbor and centre within the structure; shape ``[num_edges, 2]``.
        edge_shift: Whole cells; shape ``[num_edges, 3]``.
        edge_length: Å; float32 ``[num_edges]``.
        offsets: First edge of each structure and the end; int64 ``[num_crystals + 1]``.
    """

    edge_index: NDArray[Any]
    edge_shift: NDArray[Any]
    edge_length: NDArray[np.float32]
    offsets: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path, *, check: bool = True) -> Self:
        """Maps the columns of a finished folder.

        Args:
            folder: Of the edges.
            check: Compare every file with its checksum.

        Raises:
            StoreError: If a file is missing or damaged.
        """
        _, arrays = map_columns(folder, check=check)
        return cls(*(arrays[name] for name in cls.__slots__))

    def cut(
        self, rows: NDArray[np.int64], first_atom: NDArray[np.int64]
    ) -> "tuple[Tensor, Tensor, Tensor]":
        """Edges of some structures, for a batch in which they stand in this order.

        Args:
            rows: Rows of the store.
            first_atom: Where each one's atoms begin in the batch; shape of ``rows``.

        Returns:
            ``edge_index`` int64 ``[2, num_edges]``, ``edge_shift`` int64 ``[num_edges, 3]`` and
            ``edge_length`` float32 ``[num_edges]``, Å.
        """
        import torch

        starts = self.offsets[rows]
        counts = self.offsets[rows + 1] - starts
        edges = ragged_positions(starts, counts)
        edge_index = self.edge_index[edges].T + np.repeat(first_atom, counts)
        return (
            torch.from_numpy(np.ascontiguousarray(edge_index)),
            torch.from_numpy(self.edge_shift[edges].astype(np.int64)),
            torch.from_numpy(self.edge_length[edges]),
        )


@dataclass(frozen=True, slots=True)
class EdgeChunk:
    """Edges of some consecutive structures, in the forms they are written in."""

    edge_index: NDArray[Any]
    edge_shift: NDArray[Any]
    edge_length: NDArray[np.float32]
    counts: NDArray[np.int64]


def edge_key(spec: GraphSpec) -> str:
    """Names the edges of a specification; a line graph is made from the same edges."""
    options = {**spec.to_dict(), "line_graph": None, "edge_version": EDGE_VERSION}
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]


def find_edges(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    num_atoms: NDArray[np.int64],
    spec: GraphSpec,
) -> EdgeChunk:
    """Edges of consecutive structures, atoms counted from each one's first."""
    import torch

    from crystal_data.graphs.neighbors import neighbor_list

    # The operations are many and short. On a busy machine threads that wait for each other made
    # this thirty times slower, and on a quiet one they gain little.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        edges = neighbor_list(
            torch.from_numpy(np.array(lattice)),
            torch.from_numpy(np.array(frac_coords)),
            torch.from_numpy(num_atoms),
            spec,
        )
    finally:
        torch.set_num_threads(threads)
    crystal = np.repeat(np.arange(len(num_atoms)), num_atoms)
    first_atom = np.cumsum(num_atoms) - num_atoms
    edge_index = edges.edge_index.numpy()
    owner = crystal[edge_index[1]]  # ascending: neighbor lists are ordered by centre
    local = edge_index - first_atom[owner]
    shift = edges.edge_shift.numpy()
    return EdgeChunk(
        edge_index=local.T.astype(np.min_scalar_type(int(num_atoms.max(initial=1)) - 1)),
        edge_shift=shift.astype(_shift_type(shift)),
        edge_length=edges.edge_length.numpy().astype(np.float32),
        counts=np.bincount(owner, minlength=len(num_atoms)),
    )


def _shift_type(shift: NDArray[np.int64]) -> type[np.signedinteger[Any]]:
    largest = int(np.abs(shift).max(initial=0))
    return np.int8 if largest < 2**7 else np.int16 if largest < 2**15 else np.int32


def write_edges(
    folder: Path | None, chunks: Iterable[EdgeChunk], max_num_atoms: int, spec: GraphSpec
) -> EdgeColumns | None:
    """Writes edges in the order of the chunks; without a folder they are returned instead.

    Args:
        folder: An empty folder, or None.
        chunks: Edges of consecutive structures.
        max_num_atoms: Atoms of the largest structure, which decides the width of an index.
        spec: The edges' options, for the manifest.
    """
    with ExitStack() as stack:

        def writer(name: str, dtype: Any, *shape: int) -> ArrayWriter:
            made: ArrayWriter
            if folder is None:
                made = MemoryWriter(dtype, shape)
            else:
                made = NpyWriter(folder / f"{name}.npy", dtype, shape)
            stack.callback(made.close)
            return made

        edge_index = writer("edge_index", np.min_scalar_type(max(max_num_atoms - 1, 0)), 2)
        # Shifts beyond 127 cells take a very thin cell, so bytes are tried first.
        edge_shift = writer("edge_shift", np.int8, 3)
        edge_length = writer("edge_length", np.float32)
        offsets = writer("offsets", np.int64)
        offsets.append(np.zeros(1, dtype=np.int64))
        end = 0
        for chunk in chunks:
            edge_index.append(chunk.edge_index)
            edge_shift = _widened(edge_shift, chunk.edge_shift.dtype, stack)
            edge_shift.append(chunk.edge_shift)
            edge_length.append(chunk.edge_length)
            offsets.append(end + np.cumsum(chunk.counts))
            end += len(chunk.edge_length)
        arrays = [column.finish() for column in (edge_index, edge_shift, edge_length, offsets)]
    if folder is not None:
        write_manifest(folder, {"graph_spec": spec.to_dict(), "counts": {"edges": end}})
        return None
    return EdgeColumns(*(array for array in arrays if array is not None))


def _widened(column: ArrayWriter, dtype: np.dtype[Any], stack: ExitStack) -> ArrayWriter:
    """The column, written anew if its type is too narrow for what comes."""
    if dtype.itemsize <= column.dtype.itemsize:
        return column
    written = column.finish()
    if isinstance(column, NpyWriter):
        narrow = column.path.with_suffix(".narrow")
        column.path.replace(narrow)
        wide: ArrayWriter = NpyWriter(column.path, dtype, column.shape)
        stack.callback(wide.close)
        values = map_array(narrow)
        for start in range(0, len(values), 1 << 20):
            wide.append(values[start : start + (1 << 20)])
        del values
        narrow.unlink()
        return wide
    wide = MemoryWriter(dtype, (3,))
    wide.append(np.asarray(written))
    return wide
