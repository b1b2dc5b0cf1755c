"""Parses chunks of records; runs in worker processes, so it imports no more than it needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal, end_to_end
from crystal_data.errors import Rejection
from crystal_data.io.options import ReadOptions
from crystal_data.io.parse import parse_records
from crystal_data.io.record import Record


@dataclass(frozen=True, slots=True)
class ParseTask:
    """Some records and how to read them; what was rejected before is passed on."""

    records: Sequence[Record | Rejection]
    options: ReadOptions


@dataclass(frozen=True, slots=True)
class Parsed:
    """What became of a chunk of records; arrays end to end, so that they pickle quickly.

    Args:
        kept: Positions in the chunk of the records that are structures.
        lattice: Shape ``[kept, 3, 3]``, Å.
        frac_coords: Shape ``[num_atoms, 3]``.
        atomic_numbers: uint8 ``[num_atoms]``.
        num_atoms: int64 ``[kept]``.
        properties: What the structures themselves carried, for each that is kept.
        notes: What had to be decided to read each that is kept, as one text.
        rejections: The others, by their position in the chunk.
    """

    kept: list[int]
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    atomic_numbers: NDArray[np.uint8]
    num_atoms: NDArray[np.int64]
    properties: list[Mapping[str, Any]]
    notes: list[str]
    rejections: dict[int, Rejection]


def parse_chunk(task: ParseTask) -> Parsed:
    """Reads and checks the structures of some records."""
    results = parse_records(task.records, task.options)
    kept = [place for place, result in enumerate(results) if isinstance(result, Crystal)]
    crystals = [result for result in results if isinstance(result, Crystal)]
    arrays = end_to_end(crystals)
    return Parsed(
        kept=kept,
        lattice=arrays.lattice,
        frac_coords=arrays.frac_coords,
        atomic_numbers=arrays.atomic_numbers.astype(np.uint8),
        num_atoms=arrays.num_atoms,
        properties=[dict(crystal.properties) for crystal in crystals],
        notes=["; ".join(crystal.notes) for crystal in crystals],
        rejections={
            place: result for place, result in enumerate(results) if isinstance(result, Rejection)
        },
    )
