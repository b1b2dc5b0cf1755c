"""Which choices can still be completed: of space groups for atoms, and of positions one by one.

Positions are chosen element by element, those of an element in ascending order of their places, so
that every assignment has one sequence. What remains to be asked is whether the atoms that are left
can be put on the positions that are left. Positions with a free coordinate hold any number of
orbits; fixed ones hold one orbit of one element and are shared by all elements. Of the fixed
positions that later elements may take only the number of each multiplicity matters, so that few
states have to be told apart. The answers are exact: a choice is legal if and only if at least one
complete assignment begins with it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from operator import mul, sub
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystal_data.store import WYCKOFF_LETTERS
from crystal_data.symmetry import wyckoff_positions
from crystal_gen.wyckoff.assignment import multiplicities
from crystal_gen.wyckoff.relabelings import ENANTIOMORPHS

#: Of all groups, and those of their positions that a row of a mask has.
NUM_GROUPS = 230
MAX_POSITIONS = len(WYCKOFF_LETTERS)


class Progress(NamedTuple):
    """How far an assignment has been chosen. It depends on nothing else what may follow.

    Attributes:
        space_group: 1 to 230.
        left: Atoms of the primitive cell that are not placed: of the element in turn, above 0, and
            of those after it; empty when all are placed.
        used: Bits of the places of fixed positions that are taken.
        first: Place from which on the element in turn may take positions.
    """

    space_group: int
    left: tuple[int, ...]
    used: int = 0
    first: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether all atoms are placed."""
        return not self.left

    def after(self, place: int) -> "Progress":
        """The progress after one more position."""
        group = _group(self.space_group)
        rest = self.left[0] - group.sizes[place]
        if group.is_fixed[place]:
            used, first = self.used | 1 << place, place + 1
        else:
            used, first = self.used, place
        if rest == 0:
            return Progress(self.space_group, self.left[1:], used, 0)
        return Progress(self.space_group, (rest, *self.left[1:]), used, first)


def legal_groups(counts: Sequence[int]) -> NDArray[np.bool_]:
    """Groups in which atoms can be put on Wyckoff positions.

    Args:
        counts: Atoms of each element in the primitive cell.

    Returns:
        By number, 1 to 230; of enantiomorphic pairs the smaller one alone. ``[231]``.
    """
    return _legal_groups(tuple(sorted(counts)))


def legal_places(progress: Progress) -> NDArray[np.bool_]:
    """Positions that may come next, because at least one complete assignment has them there.

    Args:
        progress: Not complete, and one from which all atoms can be placed.

    Returns:
        By place; ``[MAX_POSITIONS]``.
    """
    # Later elements are told apart by nothing but their number of atoms.
    later = tuple(sorted(progress.left[1:]))
    return _legal_places(progress._replace(left=(progress.left[0], *later)))


@dataclass(frozen=True, eq=False)
class _Group:
    """What counting needs to know of a space group."""

    sizes: tuple[int, ...]  # atoms of an orbit in the primitive cell, by place
    is_fixed: tuple[bool, ...]
    kinds: tuple[int, ...]  # sizes that fixed positions have, ascending
    kind: tuple[int, ...]  # place in ``kinds`` of each fixed position, -1 of others

    def unused(self, used: int, first: int = 0) -> tuple[int, ...]:
        """Fixed positions that are not taken, from a place on, of each kind."""
        counts = [0] * len(self.kinds)
        for place in range(first, len(self.sizes)):
            if self.is_fixed[place] and not used >> place & 1:
                counts[self.kind[place]] += 1
        return tuple(counts)


@lru_cache(maxsize=NUM_GROUPS)
def _group(number: int) -> _Group:
    positions, sizes = wyckoff_positions(number), multiplicities(number)
    is_fixed = tuple(position.num_free == 0 for position in positions)
    pairs = list(zip(sizes, is_fixed, strict=True))
    kinds = tuple(sorted(Counter(size for size, fixed in pairs if fixed)))
    return _Group(
        sizes, is_fixed, kinds, tuple(kinds.index(size) if fixed else -1 for size, fixed in pairs)
    )


@lru_cache(maxsize=4_096)
def _legal_groups(counts: tuple[int, ...]) -> NDArray[np.bool_]:
    legal = np.zeros(NUM_GROUPS + 1, dtype=bool)
    for number, alike in _alike().items():
        legal[alike] = _can_hold(number, counts, _group(number).unused(0))
    legal.setflags(write=False)
    return legal


@lru_cache(maxsize=1)
def _alike() -> dict[int, list[int]]:
    """Groups that can hold the same atoms, by the first of them: 71 stand for 219."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for number in range(1, NUM_GROUPS + 1):
        if number not in ENANTIOMORPHS:
            alike.setdefault(_room(_group(number)), []).append(number)
    return {numbers[0]: numbers for numbers in alike.values()}


def _room(group: _Group) -> tuple[object, ...]:
    """What decides which atoms a group can hold."""
    pairs = zip(group.sizes, group.is_fixed, strict=True)
    free = sorted({size for size, fixed in pairs if not fixed})
    held = [True] + [False] * max(free)
    needed = []
    for size in free:
        # Whatever smaller ones hold together, a larger one adds nothing to.
        if not held[size]:
            needed.append(size)
            for atoms in range(size, len(held)):
                held[atoms] = held[atoms] or held[atoms - size]
    return group.kinds, group.unused(0), tuple(needed)


@lru_cache(maxsize=262_144)
def _legal_places(progress: Progress) -> NDArray[np.bool_]:
    number, (atoms, *later), used, first = progress
    group = _group(number)
    legal = np.zeros(MAX_POSITIONS, dtype=bool)
    for place in range(first, len(group.sizes)):
        if group.sizes[place] > atoms or (group.is_fixed[place] and used >> place & 1):
            continue
        after = progress.after(place)
        legal[place] = _can_finish(
            number,
            atoms - group.sizes[place],
            tuple(later),
            group.unused(after.used),
            # Of an element that is complete nothing more is taken.
            group.unused(after.used, after.first),
            after.first,
        )
    legal.setflags(write=False)
    return legal


@lru_cache(maxsize=262_144)
def _can_finish(
    number: int,
    atoms: int,
    later: tuple[int, ...],
    unused: tuple[int, ...],
    allowed: tuple[int, ...],
    first: int,
) -> bool:
    """Whether the element in turn can be completed so that those after it can be placed.

    Args:
        number: Of the group.
        atoms: Of the element in turn that are left.
        later: Atoms of the elements after it, ascending.
        unused: Fixed positions of each kind that are not taken.
        allowed: Of these, how many the element in turn may still take.
        first: Place from which on it may take positions.
    """
    if atoms == 0:
        return _can_hold(number, later, unused)
    kinds = _group(number).kinds
    # Few of the fixed positions first: what is left to others is more then.
    for taken in product(*(range(count + 1) for count in allowed)):
        rest = atoms - sum(map(mul, taken, kinds))
        if rest >= 0 and _on_free_positions(number, first, rest):
            left = tuple(map(sub, unused, taken))
            if _can_hold(number, later, left):
                return True
    return False


def _can_hold(number: int, counts: tuple[int, ...], unused: tuple[int, ...]) -> bool:
    """Whether elements with these numbers of atoms, ascending, can share what is not taken."""
    if not counts:
        return True
    return _can_finish(number, counts[-1], counts[:-1], unused, unused, 0)


def _on_free_positions(number: int, first: int, atoms: int) -> bool:
    """Whether positions with a free coordinate, from a place on, can hold just these atoms."""
    size = max(64, 1 << atoms.bit_length())
    return bool(_sums(number, size)[first][atoms])


@lru_cache(maxsize=1_024)
def _sums(number: int, size: int) -> list[list[bool]]:
    """For each place: which numbers of atoms the free positions from there on can hold."""
    group = _group(number)
    tables = [[True] + [False] * (size - 1)]  # no position holds no atom
    for place in reversed(range(len(group.sizes))):
        table = list(tables[-1])
        if not group.is_fixed[place]:
            step = group.sizes[place]
            for atoms in range(step, size):
                table[atoms] = table[atoms] or table[atoms - step]
        tables.append(table)
    return tables[::-1]
