"""Which templates serve a request, the nearest first.

The distance of a template is the mean over atoms of the difference of Mendeleev numbers under the
best assignment of its elements to those asked. Elements that may take each other's place have
equally many atoms, or the same Wyckoff letters. So each such group is an assignment of points on a
line, which is best in sorted order: no permutation has to be tried.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import gcd
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.generation import GenerationRequest
from crystal_data.store import WYCKOFF_LETTERS
from crystal_gen.templates.library import TemplateLibrary
from crystal_gen.templates.mendeleev import MENDELEEV_NUMBERS
from crystal_gen.templates.settings import canonical_labels

IntArray = NDArray[np.int64]
_Key = TypeVar("_Key")


class Level(StrEnum):
    """What of a request a template has, the most first."""

    WYCKOFF = "wyckoff"
    GROUP = "group"
    COMPOSITION = "composition"


_LEVELS = tuple(Level)


@dataclass(frozen=True)
class Exclusion:
    """Templates that are not used.

    Args:
        ids: Identifiers.
        formulas: Of any number of formula units, such as ``"LiMn2O4"``.
        prototypes: As :meth:`TemplateSearch.prototype` names them.
    """

    ids: tuple[str, ...] = ()
    formulas: tuple[str, ...] = ()
    prototypes: tuple[str, ...] = ()


NOTHING = Exclusion()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A template for a request.

    Args:
        row: Of the library.
        distance: Mean over atoms of the difference of Mendeleev numbers.
        level: What of the request the template has.
        elements: Atomic number in the template → that asked.
    """

    row: int
    distance: float
    level: Level
    elements: Mapping[int, int]


@dataclass(frozen=True)
class _Wish:
    """A request in the terms of the index."""

    counts: tuple[int, ...]  # of a formula unit without a common factor, ascending
    elements: IntArray  # beside the counts; those of equal counts by Mendeleev number
    units: int  # formula units of that kind in one as it was asked
    z: int | None
    space_group: int | None
    letters: Mapping[int, str]  # sorted letters of each element; of 0 where the elements are open


class TemplateSearch:
    """Finds templates by composition, space group and Wyckoff letters.

    Args:
        library: What is searched.
    """

    def __init__(self, library: TemplateLibrary) -> None:
        self.library = library
        by_formula: dict[tuple[int, ...], list[int]] = defaultdict(list)
        by_letters: dict[tuple[int, tuple[str, ...]], list[int]] = defaultdict(list)
        by_open_letters: dict[tuple[int, tuple[str, ...]], list[int]] = defaultdict(list)
        num_atoms = [_num_atoms(library, row) for row in range(len(library))]
        shape = (len(library), max(map(len, num_atoms)))
        # Elements of each template, in the order of the counts and in that of the letters.
        self._by_count = np.zeros(shape, dtype=np.int64)
        self._by_letter = np.zeros(shape, dtype=np.int64)
        self._units = np.array([gcd(*atoms.values()) for atoms in num_atoms])
        self._prototypes: list[str] = []
        for row, atoms in enumerate(num_atoms):
            units, ordered = int(self._units[row]), _by_count(atoms)
            counts = tuple(atoms[number] // units for number in ordered)
            self._by_count[row, : len(ordered)] = ordered
            by_formula[counts].append(row)
            number = int(library.space_group_number[row])
            if not number:
                self._prototypes.append("")
                continue
            letters = _letters(library, row)
            kinds = sorted(letters, key=lambda element: (letters[element], _mendeleev(element)))
            key, orders = canonical_labels(number, tuple(letters[kind] for kind in kinds))
            self._by_letter[row, : len(kinds)] = _sorted_within(
                key, [kinds[place] for place in orders[0]]
            )
            by_letters[number, key].append(row)
            open_key, _ = canonical_labels(number, ("".join(sorted("".join(letters.values()))),))
            by_open_letters[number, open_key].append(row)
            self._prototypes.append(_named(counts, number, key))
        self._by_formula = {key: np.array(rows) for key, rows in by_formula.items()}
        self._by_letters = {key: np.array(rows) for key, rows in by_letters.items()}
        self._by_open_letters = {key: np.array(rows) for key, rows in by_open_letters.items()}
        self._num_atoms = num_atoms

    def prototype(self, row: int) -> str:
        """Anonymous formula, space group and Wyckoff letters of a template, as ``1-1:225:a|b``.

        The letters of an element stand together, in the setting in which they come first in the
        alphabet. It is empty for a template without a space group.
        """
        return self._prototypes[row]

    def elements_by_formula(self) -> dict[tuple[int, ...], IntArray]:
        """Elements of the templates of each anonymous formula.

        Returns:
            By atoms of a formula unit without a common factor, ascending: atomic numbers beside
            them, those of equal counts by Mendeleev number; ``[num_templates, num_elements]``.
        """
        return {
            counts: _first_columns(self._by_count[rows], len(counts))
            for counts, rows in self._by_formula.items()
        }

    def rows_of_identifier(self, identifier: str) -> list[int]:
        """Templates of an identifier."""
        return self._rows_of_id.get(identifier, [])

    def rows_of_formula(self, formula: str) -> list[int]:
        """Templates of a formula, of any number of formula units and atoms.

        Args:
            formula: Such as ``"LiMn2O4"`` or ``"Li2Mn4O8"``.

        Raises:
            RequestError: If it cannot be read.
        """
        return self._rows_of_formula.get(_formula_key(formula), [])

    def find(
        self,
        request: GenerationRequest,
        limit: int = 1,
        *,
        fallback: Level = Level.GROUP,
        exclude: Exclusion = NOTHING,
    ) -> list[Candidate]:
        """The nearest templates, in order; of equally near ones the first of the library first.

        Args:
            request: With a formula, or Wyckoff positions with elements. One without has no
                candidates.
            limit: How many at most.
            fallback: How much of the request may be given up after the templates that have all of
                it: the Wyckoff letters (``GROUP``), or the space group too (``COMPOSITION``).
            exclude: Templates that are not used.
        """
        wish = _wish(request)
        if wish is None:
            return []
        asked = Level.WYCKOFF if wish.letters else Level.GROUP
        asked = asked if wish.space_group else Level.COMPOSITION
        last = max(_LEVELS.index(asked), _LEVELS.index(fallback))
        seen = self._excluded(exclude)
        found: list[Candidate] = []
        for level in _LEVELS[_LEVELS.index(asked) : last + 1]:
            rows, sums, templates, elements = self._at(level, wish)
            if len(seen):
                kept = ~np.isin(rows, seen)
                rows, sums, templates = rows[kept], sums[kept], templates[kept]
                elements = elements[kept]
            order = np.argsort(sums, kind="stable")[: limit - len(found)]
            found += [
                Candidate(
                    row=int(rows[place]),
                    distance=float(sums[place] / sum(wish.counts)),
                    level=level,
                    elements=dict(
                        zip(templates[place].tolist(), elements[place].tolist(), strict=True)
                    ),
                )
                for place in order
            ]
            if len(found) == limit:
                break
            seen = np.concatenate([seen, rows])
        return found

    def _at(self, level: Level, wish: _Wish) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Templates of one level: rows, distances, their elements and those in their place."""
        if level is Level.WYCKOFF and 0 not in wish.letters:
            return self._with_letters(wish)
        rows = self._by_formula.get(wish.counts, np.arange(0))
        units = self._units[rows]
        rows = rows[units == wish.z * wish.units if wish.z else units % wish.units == 0]
        if level is not Level.COMPOSITION:
            rows = rows[self.library.space_group_number[rows] == wish.space_group]
        if level is Level.WYCKOFF:
            key, _ = canonical_labels(wish.space_group or 1, (wish.letters[0],))
            same = self._by_open_letters.get((wish.space_group or 1, key), np.arange(0))
            rows = rows[np.isin(rows, same)]
        templates = _first_columns(self._by_count[rows], len(wish.counts))
        sums = _distances(templates, wish.elements, np.array(wish.counts))
        return rows, sums, templates, np.broadcast_to(wish.elements, templates.shape)

    def _with_letters(self, wish: _Wish) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Templates in which every element has the letters of one that is asked."""
        kinds = list(wish.letters)
        count_of = dict(zip(wish.elements.tolist(), wish.counts, strict=True))
        number = wish.space_group or 1
        key, orders = canonical_labels(number, tuple(wish.letters[kind] for kind in kinds))
        rows = self._by_letters.get((number, key), np.arange(0))
        templates = _first_columns(self._by_letter[rows], len(kinds))
        # Several settings may give the same letters with the elements exchanged.
        ways = np.array([_sorted_within(key, [kinds[i] for i in order]) for order in orders])
        counts = np.array([[count_of[kind] for kind in way] for way in ways.tolist()])
        sums = np.array(
            [_distances(templates, way, own) for way, own in zip(ways, counts, strict=True)]
        )
        best = sums.argmin(axis=0)
        return rows, sums[best, np.arange(len(rows))], templates, ways[best]

    def _excluded(self, exclude: Exclusion) -> IntArray:
        rows = [self.rows_of_identifier(each) for each in exclude.ids]
        rows += [self.rows_of_formula(each) for each in exclude.formulas]
        rows += [self._rows_of_prototype.get(each, []) for each in exclude.prototypes]
        return np.array([row for each in rows for row in each], dtype=np.int64)

    @cached_property
    def _rows_of_id(self) -> dict[str, list[int]]:
        return _places(self.library.identifiers)

    @cached_property
    def _rows_of_formula(self) -> dict[tuple[tuple[int, int], ...], list[int]]:
        pairs = zip(self._num_atoms, self._units.tolist(), strict=True)
        return _places([_reduced(atoms, units) for atoms, units in pairs])

    @cached_property
    def _rows_of_prototype(self) -> dict[str, list[int]]:
        return _places(self._prototypes)


def prototype_name(
    counts: tuple[int, ...], space_group_number: int, labels: tuple[str, ...]
) -> str:
    """A prototype as :meth:`TemplateSearch.prototype` names it.

    Args:
        counts: Atoms of a formula unit without a common factor, ascending.
        space_group_number: 1 to 230.
        labels: Sorted letters of each element, in any order and setting.
    """
    key, _ = canonical_labels(space_group_number, labels)
    return _named(counts, space_group_number, key)


def _named(counts: tuple[int, ...], number: int, labels: tuple[str, ...]) -> str:
    return f"{'-'.join(map(str, counts))}:{number}:{'|'.join(labels)}"


def _first_columns(table: IntArray, count: int) -> IntArray:
    """Elements of templates, which are none if the table has fewer columns."""
    return table[:, :count] if count <= table.shape[1] else np.empty((0, count), dtype=np.int64)


def _distances(templates: IntArray, elements: IntArray, counts: IntArray) -> IntArray:
    """Sums over the atoms of a formula unit; ``[num_templates]``."""
    steps = np.abs(MENDELEEV_NUMBERS[templates] - MENDELEEV_NUMBERS[elements])
    sums: IntArray = steps @ counts
    return sums


def _wish(request: GenerationRequest) -> _Wish | None:
    if not request.composition:
        return None
    atoms = {ATOMIC_NUMBERS[symbol]: count for symbol, count in request.composition.items()}
    units, ordered = gcd(*atoms.values()), _by_count(atoms)
    letters: dict[int, str] = defaultdict(str)
    for site in request.wyckoff:
        letters[ATOMIC_NUMBERS[site.element] if site.element else 0] += site.letter
    return _Wish(
        counts=tuple(atoms[number] // units for number in ordered),
        elements=np.array(ordered),
        units=units,
        z=request.z,
        space_group=request.space_group,
        letters={element: "".join(sorted(own)) for element, own in letters.items()},
    )


def _num_atoms(library: TemplateLibrary, row: int) -> dict[int, int]:
    """Atoms of each element in the primitive cell of a template."""
    orbits, atoms = library.orbits_of(row), defaultdict[int, int](int)
    numbers, sizes = library.atomic_numbers[orbits].tolist(), library.multiplicity[orbits].tolist()
    for number, size in zip(numbers, sizes, strict=True):
        atoms[number] += size
    return dict(atoms)


def _letters(library: TemplateLibrary, row: int) -> dict[int, str]:
    """Sorted letters of each element of a template."""
    orbits, letters = library.orbits_of(row), defaultdict[int, str](str)
    places = library.wyckoff[orbits].tolist()
    for number, place in zip(library.atomic_numbers[orbits].tolist(), places, strict=True):
        letters[number] += WYCKOFF_LETTERS[place]
    return {number: "".join(sorted(own)) for number, own in letters.items()}


def _by_count(atoms: Mapping[int, int]) -> list[int]:
    return sorted(atoms, key=lambda number: (atoms[number], _mendeleev(number)))


def _sorted_within(labels: Sequence[str], kinds: Sequence[int]) -> list[int]:
    """Kinds whose labels are equal by Mendeleev number; labels are sorted already."""
    order = sorted(range(len(kinds)), key=lambda place: (labels[place], _mendeleev(kinds[place])))
    return [kinds[place] for place in order]


def _mendeleev(number: int) -> int:
    return int(MENDELEEV_NUMBERS[number])


def _reduced(atoms: Mapping[int, int], units: int) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((number, count // units) for number, count in atoms.items()))


def _formula_key(formula: str) -> tuple[tuple[int, int], ...]:
    composition = GenerationRequest(formula=formula).composition
    atoms = {ATOMIC_NUMBERS[symbol]: count for symbol, count in composition.items()}
    return _reduced(atoms, gcd(*atoms.values()))


def _places(values: Sequence[_Key]) -> dict[_Key, list[int]]:
    places: dict[_Key, list[int]] = {}
    for place, value in enumerate(values):
        places.setdefault(value, []).append(place)
    return places
