"""The canonical Wyckoff assignments of all crystals of a store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from crystal_data.crystal import CrystalArrays
from crystal_data.store import ArrayLayout, ColumnChunk, DerivedColumn, OrbitColumn
from crystal_gen.wyckoff.assignment import WyckoffAssignment


@dataclass(frozen=True)
class WyckoffColumn(DerivedColumn):
    """Each crystal as a space group and the positions of its elements.

    Arrays, one row for each crystal: ``space_group_number``, of a pair of mirror images the smaller
    one, 0 where there is none. For each orbit: ``atomic_numbers`` and ``wyckoff``, the place of its
    letter in ``WYCKOFF_LETTERS``, in the order of :class:`WyckoffAssignment`, canonical.

    Args:
        symprec: How far an atom may be from where an operation sends it, Å.
    """

    name: ClassVar[str] = "wyckoff"
    activity: ClassVar[str] = "finding Wyckoff positions"
    layout: ClassVar[Mapping[str, ArrayLayout]] = {
        "space_group_number": ArrayLayout(np.uint8, is_ragged=False),
        "atomic_numbers": ArrayLayout(np.uint8),
        "wyckoff": ArrayLayout(np.uint8),
    }
    reasons: ClassVar[Sequence[str]] = OrbitColumn.reasons
    atoms_per_chunk: ClassVar[int] = OrbitColumn.atoms_per_chunk
    patience: ClassVar[float] = OrbitColumn.patience

    symprec: float = 0.1

    def __post_init__(self) -> None:
        # The same rule for the tolerance, said in the same words.
        OrbitColumn(self.symprec)

    @override
    def compute(self, crystals: CrystalArrays) -> ColumnChunk:
        orbits = OrbitColumn(self.symprec).compute(crystals)
        return self.from_orbits(orbits)

    def from_orbits(self, orbits: ColumnChunk) -> ColumnChunk:
        """The values of crystals whose orbits are known.

        Args:
            orbits: Values of an ``OrbitColumn``.
        """
        assignments = assignments_of(orbits)
        found = [each.canonical() for each in assignments if each is not None]
        numbers = np.zeros(len(assignments), dtype=np.uint8)
        is_known = np.array([each is not None for each in assignments], dtype=bool)
        numbers[is_known] = [each.space_group for each in found]
        elements = [
            element
            for each in found
            for element, places in zip(each.elements, each.places, strict=True)
            for _ in places
        ]
        places = [place for each in found for own in each.places for place in own]
        return ColumnChunk(
            {
                "space_group_number": numbers,
                "atomic_numbers": np.array(elements, dtype=np.uint8),
                "wyckoff": np.array(places, dtype=np.uint8),
            },
            orbits.counts,
            orbits.failures,
        )


def assignments_of(chunk: ColumnChunk) -> list[WyckoffAssignment | None]:
    """The assignments of some values; None for a crystal that has none.

    Args:
        chunk: Of a :class:`WyckoffColumn`, or of an ``OrbitColumn``.
    """
    ends = np.cumsum(chunk.counts).tolist()
    numbers, places = chunk.arrays["atomic_numbers"].tolist(), chunk.arrays["wyckoff"].tolist()
    made: list[WyckoffAssignment | None] = []
    for row, group in enumerate(chunk.arrays["space_group_number"].tolist()):
        orbits = slice(ends[row] - int(chunk.counts[row]), ends[row])
        pairs = list(zip(numbers[orbits], places[orbits], strict=True))
        made.append(WyckoffAssignment.from_orbits(group, pairs) if group else None)
    return made
