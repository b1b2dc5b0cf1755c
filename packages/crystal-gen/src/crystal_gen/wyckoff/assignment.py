"""An answer: a space group, and the Wyckoff positions of each element."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Self

import numpy as np

from crystal_data.elements import ATOMIC_NUMBERS, ELECTRONEGATIVITY, SYMBOLS
from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import WyckoffSite
from crystal_data.store import WYCKOFF_LETTERS, ColumnChunk
from crystal_data.symmetry import space_group_symbol, wyckoff_positions
from crystal_gen.templates.library import lattice_points
from crystal_gen.wyckoff.relabelings import relabelings, standard_places

#: Places of the positions of each element; each ascending.
Places = tuple[tuple[int, ...], ...]


def element_order(atomic_number: int) -> tuple[float, str]:
    """Sorts elements as formulas are written: the least electronegative first."""
    symbol = SYMBOLS[atomic_number]
    return ELECTRONEGATIVITY[symbol], symbol


@dataclass(frozen=True)
class WyckoffAssignment:
    """A space group, and for each element the positions that its atoms are on.

    Two of them are equal if group, elements and letters are; :meth:`canonical` makes those equal
    that describe the same crystals.

    Args:
        space_group: 1 to 230, in its standard setting.
        elements: Atomic numbers in the order of :func:`element_order`.
        places: Places among ``wyckoff_positions`` of each element's positions, ascending; a place
            that is there several times is as many orbits.
    """

    space_group: int
    elements: tuple[int, ...]
    places: Places

    @classmethod
    def from_orbits(cls, space_group: int, orbits: Sequence[tuple[int, int]]) -> Self:
        """From atomic number and place of each orbit, in any order.

        Raises:
            InvalidArgumentError: If there are none.
        """
        by_element: dict[int, list[int]] = defaultdict(list)
        for number, place in orbits:
            by_element[number].append(place)
        if not by_element:
            raise InvalidArgumentError("an assignment has no orbits", "give at least one")
        elements = tuple(sorted(by_element, key=element_order))
        return cls(space_group, elements, tuple(tuple(sorted(by_element[e])) for e in elements))

    @classmethod
    def from_sites(cls, space_group: int, sites: Sequence[WyckoffSite]) -> Self:
        """From the sites of a request, each of which has an element.

        Raises:
            InvalidArgumentError: If there are none, or one has no element.
        """
        if not all(site.element for site in sites):
            raise InvalidArgumentError(
                "a Wyckoff position has no element; an assignment needs all",
                "write each as Li:8a",
            )
        orbits = [(ATOMIC_NUMBERS[s.element], WYCKOFF_LETTERS.index(s.letter)) for s in sites]
        return cls.from_orbits(space_group, orbits)

    @property
    def sites(self) -> tuple[WyckoffSite, ...]:
        """As a request has them, element after element."""
        return tuple(
            WyckoffSite(WYCKOFF_LETTERS[place], SYMBOLS[element])
            for element, places in zip(self.elements, self.places, strict=True)
            for place in places
        )

    @cached_property
    def cell(self) -> dict[str, int]:
        """Atoms of each element in the primitive cell, by symbol."""
        sizes = multiplicities(self.space_group)
        return {
            SYMBOLS[element]: sum(sizes[place] for place in places)
            for element, places in zip(self.elements, self.places, strict=True)
        }

    def canonical(self) -> Self:
        """The one that stands for all that describe the same crystals.

        It has the smaller number of an enantiomorphic pair of groups, and of all relabelings by the
        affine normalizer the places that come first, element by element.
        """
        group, places = canonical_places(self.space_group, self.places)
        return type(self)(group, self.elements, places)

    def in_group(self, space_group: int) -> Self:
        """The same in a group, which is its own or the mirror image of that.

        Args:
            space_group: 1 to 230.

        Raises:
            InvalidArgumentError: If it is another group.
        """
        if space_group == self.space_group:
            return self
        group, mirrored = standard_places(space_group)
        if group != self.space_group:
            raise InvalidArgumentError(
                f"an assignment in space group {self.space_group} is none in {space_group}",
                "give its own group or the mirror image of that",
            )
        back = np.argsort(mirrored).tolist()
        places = tuple(tuple(sorted(back[place] for place in own)) for own in self.places)
        return type(self)(space_group, self.elements, places)

    def exchanged(self, elements: Mapping[int, int]) -> Self:
        """With other elements.

        Args:
            elements: Atomic number here → there; no two become one.
        """
        pairs = zip((elements[each] for each in self.elements), self.places, strict=True)
        ordered = sorted(pairs, key=lambda pair: element_order(pair[0]))
        return type(self)(
            self.space_group,
            tuple(number for number, _ in ordered),
            tuple(places for _, places in ordered),
        )

    def __str__(self) -> str:
        positions = wyckoff_positions(self.space_group)
        words = [
            f"{SYMBOLS[element]}:{','.join(positions[place].label for place in places)}"
            for element, places in zip(self.elements, self.places, strict=True)
        ]
        return f"{space_group_symbol(self.space_group)} {' '.join(words)}"


def assignments_of(chunk: ColumnChunk) -> list[WyckoffAssignment | None]:
    """The canonical assignments of crystals; None for one that has no orbits.

    Nothing of it is stored: labelings are few, and each is made canonical once in a process.

    Args:
        chunk: Values of an ``OrbitColumn``.
    """
    ends = np.cumsum(chunk.counts).tolist()
    numbers, places = chunk.arrays["atomic_numbers"].tolist(), chunk.arrays["wyckoff"].tolist()
    made: list[WyckoffAssignment | None] = []
    for row, group in enumerate(chunk.arrays["space_group_number"].tolist()):
        orbits = slice(ends[row] - int(chunk.counts[row]), ends[row])
        pairs = list(zip(numbers[orbits], places[orbits], strict=True))
        made.append(WyckoffAssignment.from_orbits(group, pairs).canonical() if group else None)
    return made


@lru_cache(maxsize=230)
def multiplicities(space_group: int) -> tuple[int, ...]:
    """Atoms of one orbit of each position in the primitive cell."""
    points = len(lattice_points(space_group))
    return tuple(position.multiplicity // points for position in wyckoff_positions(space_group))


@lru_cache(maxsize=65_536)
def canonical_places(space_group: int, places: Places) -> tuple[int, Places]:
    """Group and places of :meth:`WyckoffAssignment.canonical`."""
    labelings = equivalent_places(space_group, places)
    first = np.lexsort(labelings.T[::-1])[0]
    return standard_places(space_group)[0], _split(labelings[first].tolist(), places)


def equivalent_places(space_group: int, places: Places) -> np.ndarray:
    """Places after each relabeling, end to end, ascending within an element.

    Returns:
        int64 ``[num_relabelings, num_orbits]``, in the group of the canonical labeling.
    """
    group, mirrored = standard_places(space_group)
    flat = mirrored[[place for own in places for place in own]]
    # A number above all places for each element keeps elements apart while sorting.
    element = np.repeat(np.arange(len(places)), [len(own) for own in places]) * 32
    return np.sort(relabelings(group)[:, flat] + element, axis=1) - element


def _split(flat: Sequence[int], places: Places) -> Places:
    ends = np.cumsum([len(own) for own in places]).tolist()
    return tuple(tuple(flat[end - len(own) : end]) for own, end in zip(places, ends, strict=True))
