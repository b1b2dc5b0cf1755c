"""What a column is that is computed from the crystals of a store, and its values."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import CrystalArrays
from crystal_data.store.columns import ragged_positions
from crystal_data.store.manifest import StoreError, map_columns


class ArrayLayout(NamedTuple):
    """One array of a column.

    Attributes:
        dtype: Of the values. Integers may come in wider types; the stored array is as wide as
            the widest chunk.
        shape: Of one row.
        is_ragged: It has any number of rows for each crystal, not one.
    """

    dtype: type[np.generic]
    shape: tuple[int, ...] = ()
    is_ragged: bool = True


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """Values of some crystals, in their order.

    Args:
        arrays: By the names of the layout; ragged ones end to end.
        counts: Rows of the ragged arrays for each crystal; int64 ``[num_crystals]``.
        failures: 0, or 1 + the place of a reason, for each crystal; None where nothing can fail.
            A crystal that failed has no rows in ragged arrays and any value in others.
    """

    arrays: Mapping[str, NDArray[Any]]
    counts: NDArray[np.int64]
    failures: NDArray[Any] | None = None


@dataclass(frozen=True)
class DerivedColumn(ABC):
    """A named function of crystals with options: a frozen dataclass whose fields are the options.

    A store computes its values once for each set of options. The function works in other
    processes, so the class belongs to a module.
    """

    #: Begins the name of the folder; no two columns share it.
    name: ClassVar[str]
    #: What is being done, for the progress bar.
    activity: ClassVar[str]
    #: Arrays that ``compute`` makes.
    layout: ClassVar[Mapping[str, ArrayLayout]]
    #: Raised when the same options give other values, so that stored ones are computed anew.
    version: ClassVar[int] = 1
    #: Why a crystal may have no value.
    reasons: ClassVar[Sequence[str]] = ()
    #: Enough to make good use of array operations, few enough that what is needed fits memory.
    atoms_per_chunk: ClassVar[int] = 16_384
    #: Seconds in one process before others are started: more than these need to import.
    patience: ClassVar[float] = 15.0

    @abstractmethod
    def compute(self, crystals: CrystalArrays) -> ColumnChunk:
        """The values of some crystals, a function of each alone."""

    def options(self) -> dict[str, Any]:
        """What the values depend on, the version included, as plain JSON values."""
        return {**asdict(self), "version": self.version}

    @property
    def folder_name(self) -> str:
        """Folder in that of the store: the name and a hash of the options."""
        content = json.dumps(self.options(), sort_keys=True).encode()
        return f"{self.name}-{hashlib.sha256(content).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """Values of a derived column for all crystals of a store.

    Args:
        arrays: By the names of the layout; ragged ones end to end.
        offsets: First row of each crystal in ragged arrays, and the end; int64
            ``[num_crystals + 1]``.
        failures: 0, or 1 + the place of a reason, for each crystal; None where nothing can fail.
        column: What they are values of.
    """

    arrays: Mapping[str, NDArray[Any]]
    offsets: NDArray[np.int64]
    failures: NDArray[Any] | None
    column: DerivedColumn

    @classmethod
    def open(cls, folder: Path, column: DerivedColumn, *, check: bool = True) -> Self:
        """Maps the files of a finished folder.

        Args:
            folder: Of the column.
            column: What is stored there.
            check: Compare every file with its checksum.

        Raises:
            StoreError: If a file is missing or damaged, or the arrays are not those of the layout.
        """
        _, arrays = map_columns(folder, check=check)
        missing = [name for name in (*column.layout, "offsets") if name not in arrays]
        if missing:
            raise StoreError(
                f"{folder}: it has no {missing[0]}, which {column} has",
                f"raise the version of {type(column).__name__}, or delete {folder}",
            )
        values = {name: arrays[name] for name in column.layout}
        return cls(values, arrays["offsets"], arrays.get("failures"), column)

    def cut(self, rows: NDArray[np.int64]) -> ColumnChunk:
        """The values of some rows of the store, in their order."""
        starts = self.offsets[rows]
        counts = self.offsets[rows + 1] - starts
        ragged = ragged_positions(starts, counts)
        arrays = {
            name: self.arrays[name][ragged if layout.is_ragged else rows]
            for name, layout in self.column.layout.items()
        }
        return ColumnChunk(arrays, counts, None if self.failures is None else self.failures[rows])

    def failed(self) -> dict[int, str]:
        """Reason of each row of the store that has no value."""
        if self.failures is None:
            return {}
        codes = self.failures
        return {row: self.column.reasons[codes[row] - 1] for row in np.flatnonzero(codes).tolist()}
