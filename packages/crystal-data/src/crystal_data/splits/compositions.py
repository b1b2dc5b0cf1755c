"""Keys of reduced formulas and chemical systems, for many crystals at once."""

import hashlib
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from crystal_data.elements import SYMBOLS

CompositionKind = Literal["reduced_formula", "chemical_system"]

# A table of counts for this many crystals at a time keeps memory bounded.
_CRYSTALS_PER_CHUNK = 16_384


class CrystalTable(Protocol):
    """What splits need of a ``CrystalStore``."""

    num_atoms: Any

    def __len__(self) -> int: ...

    def column(self, name: str, /) -> Any:
        """Values by name; ``[:]`` of them is a list of strings or an array."""


def composition_keys(
    atomic_numbers: NDArray[np.integer[Any]],
    num_atoms: NDArray[np.integer[Any]],
    kind: CompositionKind = "reduced_formula",
) -> NDArray[np.uint64]:
    """One number for each composition, the same in every store and on every machine.

    Args:
        atomic_numbers: Of all crystals, one after the other; shape ``[num_atoms.sum()]``.
        num_atoms: Shape ``[num_crystals]``.
        kind: What makes two crystals equal: the same elements in the same proportions, or the
            same elements.

    Returns:
        Shape ``[num_crystals]``. Two different compositions have one key with a chance of 2⁻⁶⁴.
    """
    keys = np.empty(len(num_atoms), dtype=np.uint64)
    ends = np.cumsum(num_atoms, dtype=np.int64)
    for start in range(0, len(num_atoms), _CRYSTALS_PER_CHUNK):
        rows = slice(start, start + _CRYSTALS_PER_CHUNK)
        counts_of_chunk = np.asarray(num_atoms[rows], dtype=np.int64)
        first = ends[start] - num_atoms[start]
        numbers = np.asarray(atomic_numbers[first : ends[rows][-1]], dtype=np.int64)
        crystal = np.repeat(np.arange(len(counts_of_chunk)), counts_of_chunk)
        counts = np.bincount(
            crystal * len(SYMBOLS) + numbers, minlength=len(counts_of_chunk) * len(SYMBOLS)
        ).reshape(-1, len(SYMBOLS))
        if kind == "reduced_formula":
            counts //= np.gcd.reduce(counts, axis=1)[:, None]
        else:
            counts = (counts > 0).astype(np.int64)
        keys[rows] = (counts.astype(np.uint64) * _WEIGHTS).sum(axis=1, dtype=np.uint64)
    return keys


def table_composition_keys(
    table: CrystalTable, kind: CompositionKind = "reduced_formula"
) -> NDArray[np.uint64]:
    """:func:`composition_keys` of every row of a store."""
    return composition_keys(table.column("atomic_numbers"), np.asarray(table.num_atoms), kind)


# Sums of products with odd random numbers modulo 2⁶⁴; hashed, so that no library chooses them.
_WEIGHTS = np.array(
    [
        int.from_bytes(hashlib.sha256(symbol.encode()).digest()[:8], "little") | 1
        for symbol in SYMBOLS
    ],
    dtype=np.uint64,
)
