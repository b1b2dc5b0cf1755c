"""Assignments as batches: what is known, and one choice after another."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import gcd
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_data.graphs import CrystalBatch
from crystal_data.loading import RowBatch
from crystal_data.store import ColumnChunk, OrbitColumn
from crystal_gen.wyckoff.assignment import (
    Places,
    WyckoffAssignment,
    assignments_of,
    multiplicities,
)
from crystal_gen.wyckoff.legal import MAX_POSITIONS, Progress, legal_groups, legal_places


@dataclass(eq=False, kw_only=True)
class WyckoffBatch(RowBatch):
    """Assignments as rows of choices, padded to the longest; zero or False where padded."""

    elements: Tensor  # int64 [num_crystals, max_elements], atomic numbers in the order of choice
    counts: Tensor  # int64 [num_crystals, max_elements], atoms of the reduced formula
    z: Tensor  # int64 [num_crystals], formula units of the primitive cell
    space_group_number: Tensor  # int64 [num_crystals]
    places: Tensor  # int64 [num_crystals, max_orbits], position that is chosen
    owner: Tensor  # int64 [num_crystals, max_orbits], place of its element in `elements`
    left: Tensor  # int64 [num_crystals, max_orbits], atoms of it not placed before the choice
    mask: Tensor  # bool [num_crystals, max_orbits], True where there is a choice
    legal_groups: Tensor  # bool [num_crystals, 231]
    legal_places: Tensor  # bool [num_crystals, max_orbits, MAX_POSITIONS]

    def without_targets(self) -> Self:
        """The batch without properties."""
        return replace(self, targets={})


@dataclass(frozen=True)
class WyckoffCollator:
    """Makes a :class:`WyckoffBatch`.

    Args:
        column: How orbits are found.
    """

    column: OrbitColumn = field(default_factory=OrbitColumn)

    def collate(self, crystals: CrystalBatch, values: ColumnChunk) -> WyckoffBatch:
        """A batch of canonical assignments, as long as the most orbits in it."""
        assignments = [each for each in assignments_of(values) if each is not None]
        return wyckoff_batch(
            assignments,
            sample_id=crystals.sample_id,
            identifier=crystals.identifier,
            targets=crystals.targets,
            is_filler=crystals.is_filler,
        )


def wyckoff_batch(
    assignments: Sequence[WyckoffAssignment],
    *,
    sample_id: Tensor,
    identifier: list[str],
    targets: dict[str, Tensor],
    is_filler: bool = False,
) -> WyckoffBatch:
    """Assignments as rows of choices.

    Args:
        assignments: Their places are chosen as they stand.
        sample_id: Number of each crystal, of which its random draws depend.
        identifier: Of each crystal.
        targets: As of :class:`RowBatch`.
        is_filler: As of :class:`RowBatch`.
    """
    choices = [choices_of(each.space_group, each.places) for each in assignments]
    counts = [tuple(each.cell.values()) for each in assignments]
    units = [gcd(*each) for each in counts]
    return WyckoffBatch(
        sample_id=sample_id,
        identifier=identifier,
        targets=targets,
        is_filler=is_filler,
        elements=_padded([np.array(each.elements) for each in assignments]),
        counts=_padded([np.array(n) // u for n, u in zip(counts, units, strict=True)]),
        z=torch.tensor(units, dtype=torch.int64),
        space_group_number=torch.tensor([each.space_group for each in assignments]),
        places=_padded([each.places for each in choices]),
        owner=_padded([each.owner for each in choices]),
        left=_padded([each.left for each in choices]),
        mask=_padded([np.ones(len(each.places), dtype=bool) for each in choices]),
        legal_groups=torch.from_numpy(np.array([legal_groups(each) for each in counts])),
        legal_places=_padded([each.legal for each in choices]),
    )


def assignments_in(batch: WyckoffBatch) -> list[WyckoffAssignment]:
    """The assignments of a batch."""
    made = []
    for row, group in enumerate(batch.space_group_number.tolist()):
        owner = batch.owner[row][batch.mask[row]].tolist()
        places = batch.places[row][batch.mask[row]].tolist()
        elements = tuple(number for number in batch.elements[row].tolist() if number)
        own: list[list[int]] = [[] for _ in elements]
        for element, place in zip(owner, places, strict=True):
            own[element].append(place)
        made.append(WyckoffAssignment(group, elements, tuple(map(tuple, own))))
    return made


class Choices(NamedTuple):
    """The choices of one assignment, one after another.

    Attributes:
        places: Position that is chosen; ``[num_orbits]``.
        owner: Element that it is chosen for; ``[num_orbits]``.
        left: Atoms of the element that are not placed before; ``[num_orbits]``.
        legal: Positions that could be chosen; ``[num_orbits, MAX_POSITIONS]``.
    """

    places: NDArray[np.int64]
    owner: NDArray[np.int64]
    left: NDArray[np.int64]
    legal: NDArray[np.bool_]


@lru_cache(maxsize=65_536)
def choices_of(space_group: int, places: Places) -> Choices:
    """The choices that lead to an assignment."""
    sizes = multiplicities(space_group)
    progress = Progress(space_group, tuple(sum(sizes[p] for p in own) for own in places))
    chosen, owner, left, legal = [], [], [], []
    for element, own in enumerate(places):
        for place in own:
            chosen.append(place)
            owner.append(element)
            left.append(progress.left[0])
            legal.append(legal_places(progress))
            progress = progress.after(place)
    return Choices(
        np.array(chosen),
        np.array(owner),
        np.array(left),
        np.array(legal).reshape(-1, MAX_POSITIONS),
    )


def _padded(rows: Sequence[NDArray[Any]]) -> Tensor:
    """Rows of any length as a rectangle, zero where padded."""
    longest = max(map(len, rows), default=0)
    shape = rows[0].shape[1:] if rows else ()
    dtype = rows[0].dtype if rows else np.dtype(np.int64)
    padded = np.zeros((len(rows), longest, *shape), dtype=dtype)
    for row, values in enumerate(rows):
        padded[row, : len(values)] = values
    return torch.from_numpy(padded)
