"""Answers without a model: the most frequent ones, and those of the nearest compositions."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import gcd, log
from typing import Self

from typing_extensions import override

from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.generation import GenerationRequest
from crystal_gen.templates.library import TemplateLibrary
from crystal_gen.templates.mendeleev import MENDELEEV_NUMBERS
from crystal_gen.templates.search import TemplateSearch
from crystal_gen.wyckoff.assignment import Places, WyckoffAssignment, canonical_places
from crystal_gen.wyckoff.neighbors import assignment_of, neighbors_of
from crystal_gen.wyckoff.proposals import (
    GroupProposal,
    Proposal,
    SymmetryProposer,
    as_asked,
    check_formula,
    is_asked,
)


class FrequencyProposer(SymmetryProposer):
    """The answers that are most frequent among known crystals of the same anonymous formula.

    Elements with equally many atoms take each other's place in the order of their Mendeleev
    numbers. The score is the logarithm of the share of all answers that have the z and the group
    that are asked.

    Args:
        assignments: Of known crystals.
    """

    def __init__(self, assignments: Sequence[WyckoffAssignment]) -> None:
        counts: dict[tuple[int, ...], Counter[tuple[int, Places]]] = defaultdict(Counter)
        for each in assignments:
            cell = {ATOMIC_NUMBERS[symbol]: count for symbol, count in each.cell.items()}
            places = dict(zip(each.elements, each.places, strict=True))
            order = _slots(cell)
            answer = canonical_places(each.space_group, tuple(places[e] for e in order))
            counts[_anonymous(cell)][answer] += 1
        # Of equally frequent answers the first in the data comes first.
        self._answers = {key: each.most_common() for key, each in counts.items()}

    @classmethod
    def from_library(cls, library: TemplateLibrary) -> Self:
        """The answers of a library's templates; those without a space group are left out."""
        found = (assignment_of(library, row) for row in range(len(library)))
        return cls([each for each in found if each is not None])

    @override
    def propose(
        self,
        requests: Sequence[GenerationRequest],
        limit: int,
        *,
        z_values: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        proposed = []
        for request in requests:
            counted = self._counted(request, z_values)
            total = sum(counted.values())
            proposed.append(
                [
                    Proposal(as_asked(request, each), log(count / total))
                    for each, count in counted.most_common(limit)
                ]
            )
        return proposed

    @override
    def groups(
        self,
        requests: Sequence[GenerationRequest],
        limit: int,
        *,
        z_values: Sequence[int] | None = None,
    ) -> list[list[GroupProposal]]:
        proposed = []
        for request in requests:
            groups = Counter[int]()
            for assignment, count in self._counted(request, z_values).items():
                groups[assignment.space_group] += count
            total = groups.total()
            proposed.append(
                [GroupProposal(each, log(n / total)) for each, n in groups.most_common(limit)]
            )
        return proposed

    def _counted(
        self, request: GenerationRequest, z_values: Sequence[int] | None
    ) -> Counter[WyckoffAssignment]:
        check_formula(request)
        cell = {ATOMIC_NUMBERS[symbol]: count for symbol, count in request.composition.items()}
        slots, counted = _slots(cell), Counter[WyckoffAssignment]()
        for (group, places), count in self._answers.get(_anonymous(cell), ()):
            orbits = [(e, p) for e, own in zip(slots, places, strict=True) for p in own]
            assignment = WyckoffAssignment.from_orbits(group, orbits).canonical()
            if is_asked(request, assignment, z_values):
                counted[assignment] += count
        return counted


class NearestProposer(SymmetryProposer):
    """The answers of the known crystals whose compositions are the nearest.

    As copying finds them (``TemplateSearch``); the score is minus the distance.

    Args:
        library: Known crystals.
    """

    def __init__(self, library: TemplateLibrary) -> None:
        self._search = TemplateSearch(library)

    @override
    def propose(
        self,
        requests: Sequence[GenerationRequest],
        limit: int,
        *,
        z_values: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        return [self._nearest(request, limit, z_values) for request in requests]

    def _nearest(
        self, request: GenerationRequest, limit: int, z_values: Sequence[int] | None
    ) -> list[Proposal]:
        asked = limit
        while True:
            neighbors = neighbors_of(self._search, request, asked, z_values)
            found: dict[WyckoffAssignment, Proposal] = {}
            for each in neighbors.answers:
                found.setdefault(
                    each.assignment,
                    Proposal(as_asked(request, each.assignment), -each.distance, each.identifier),
                )
            # Many templates have one answer, so that more of them are needed than answers.
            if len(found) >= limit or neighbors.are_all:
                return list(found.values())[:limit]
            asked *= 4


def _slots(cell: Mapping[int, int]) -> list[int]:
    """Elements by number of atoms; those of equally many by Mendeleev number."""
    return sorted(cell, key=lambda number: (cell[number], int(MENDELEEV_NUMBERS[number])))


def _anonymous(cell: Mapping[int, int]) -> tuple[int, ...]:
    """Numbers of atoms without a common factor, ascending."""
    units = gcd(*cell.values())
    return tuple(sorted(count // units for count in cell.values()))
