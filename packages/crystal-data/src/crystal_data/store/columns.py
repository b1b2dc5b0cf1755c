"""Columns on disk: plain ``.npy`` files that grow by appending and are read through memory maps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from crystal_data.errors import InvalidArgumentError


class ArrayWriter(Protocol):
    """Receives the rows of one column, chunk after chunk."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def append(self, values: NDArray[Any]) -> None:
        """Adds rows; ``values`` is ``[rows, *shape]``."""

    def finish(self) -> NDArray[Any] | None:
        """Ends the column; the array itself if it was kept in memory."""

    def close(self) -> None:
        """Lets go of a column, finished or not."""


class NpyWriter:
    """Appends rows to an ``.npy`` file, whose header is completed at the end.

    Args:
        path: File to create.
        dtype: Type of the values.
        shape: Shape of one row.
    """

    def __init__(self, path: Path, dtype: DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self.path = path
        self.dtype = np.dtype(dtype)
        self.shape = shape
        self._rows = 0
        self._file = path.open("wb", buffering=1 << 20)
        self._write_header()

    def _write_header(self) -> None:
        # NumPy leaves room in a header for a growing first axis, so this fits when it comes again.
        header = {
            "descr": npy.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self._rows, *self.shape),
        }
        npy.write_array_header_1_0(self._file, header)

    def append(self, values: NDArray[Any]) -> None:
        """Adds rows; ``values`` is ``[rows, *shape]``."""
        if values.shape[1:] != self.shape:
            raise ValueError(f"{self.path.name}: rows of {self.shape}, not {values.shape[1:]}")
        self._file.write(np.ascontiguousarray(values, dtype=self.dtype).data)
        self._rows += len(values)

    def finish(self) -> None:
        """Completes the header."""
        self._file.seek(0)
        self._write_header()
        self.close()

    def close(self) -> None:
        """Closes the file, finished or not."""
        self._file.close()


class MemoryWriter:
    """The same for a store that lives in memory."""

    def __init__(self, dtype: DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self.dtype = np.dtype(dtype)
        self.shape = shape
        self._chunks: list[NDArray[Any]] = [np.empty((0, *shape), dtype=dtype)]

    def append(self, values: NDArray[Any]) -> None:
        """Adds rows; ``values`` is ``[rows, *shape]``."""
        self._chunks.append(np.asarray(values, dtype=self.dtype))

    def finish(self) -> NDArray[Any]:
        """All rows."""
        return np.concatenate(self._chunks)

    def close(self) -> None:
        """Forgets the rows."""
        self._chunks.clear()


class StringColumn(Sequence[str]):
    """Strings end to end in one UTF-8 array, each ended by a NUL byte; decoded when asked for.

    Args:
        data: The bytes; uint8.
        offsets: Where each string begins, and the end of the last; int64 ``[rows + 1]``.
    """

    def __init__(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self.data = data
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if row == slice(None):
            return self.data.tobytes().decode().split("\0")[:-1]
        if isinstance(row, slice):
            return self.take(np.arange(*row.indices(len(self))))
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of a column of {len(self)} rows")
        row %= len(self)
        return self.data[self.offsets[row] : self.offsets[row + 1] - 1].tobytes().decode()

    def filled(self) -> NDArray[np.int64]:
        """Rows whose string is not empty."""
        return np.flatnonzero(np.diff(self.offsets) > 1)

    def take(self, rows: NDArray[np.int64]) -> list[str]:
        """The strings of some rows, decoded in one piece."""
        if len(rows) == 0:
            return []
        starts = self.offsets[rows]
        positions = ragged_positions(starts, self.offsets[rows + 1] - starts)
        return self.data[positions].tobytes().decode().split("\0")[:-1]


def encode_strings(strings: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Bytes of the strings, each ended by a NUL, and the position after each.

    Raises:
        InvalidArgumentError: If a string holds a NUL character.
    """
    text = "".join(f"{string}\0" for string in strings)
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    ends = np.flatnonzero(data == 0) + 1
    if len(ends) != len(strings):
        culprit = next(string for string in strings if "\0" in string)
        raise InvalidArgumentError(f"{culprit!r} holds a NUL character, which no name or label may")
    return data, ends.astype(np.int64)


def ragged_positions(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions ``start, start + 1, …`` of many runs, one run after the other.

    Args:
        starts: First position of each run.
        counts: Length of each run; may be zero.

    Returns:
        All positions; shape ``[counts.sum()]``.
    """
    ends = np.cumsum(counts, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total, dtype=np.int64) + np.repeat(starts - ends + counts, counts)


def map_array(path: Path) -> NDArray[Any]:
    """Opens an ``.npy`` file as a read-only memory map.

    Raises:
        ValueError: If the file is not an ``.npy`` file of plain numbers, or is cut short.
    """
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            if version != (1, 0):
                raise ValueError(f".npy version {version}, expected (1, 0)")
            shape, fortran_order, dtype = npy.read_array_header_1_0(file)
            start = file.tell()
        if dtype.hasobject or fortran_order:
            raise ValueError(f"a column holds plain numbers in C order, not {dtype}")
        if 0 in shape:  # an empty file region cannot be mapped
            return np.empty(shape, dtype=dtype)
        return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape)
    except OSError:
        raise
    # NumPy evaluates a header, so a damaged one can fail in any way.
    except Exception as error:
        raise ValueError(f"{path}: {error}") from error
