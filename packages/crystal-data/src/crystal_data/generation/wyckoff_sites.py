"""Wyckoff positions as a user asks for them: letters, with or without an element on each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from crystal_data.generation.words import RequestError, check_element
from crystal_data.symmetry.wyckoff import (
    WyckoffPosition,
    space_group_symbol,
    wyckoff_position,
    wyckoff_positions,
)

_LABEL = re.compile(r"(\d*)([A-Za-z])")


@dataclass(frozen=True)
class WyckoffSite:
    """One occupied orbit of a request.

    Args:
        letter: Wyckoff letter.
        element: Symbol; empty where the generator chooses.
    """

    letter: str
    element: str = ""

    @classmethod
    def parse(cls, text: str, space_group_number: int, element: str = "") -> Self:
        """Read ``"2a"`` or ``"a"``.

        Raises:
            RequestError: If the group has no such position.
        """
        match = _LABEL.fullmatch(text.strip())
        if match is None:
            raise RequestError(f"'{text}' is no Wyckoff position; write it as 4g, or g")
        try:
            position = wyckoff_position(space_group_number, match[2])
        except ValueError as error:
            raise RequestError(str(error)) from None
        if match[1] and int(match[1]) != position.multiplicity:
            raise RequestError(
                f"'{text}': position {position.letter} of space group {space_group_number} "
                f"({space_group_symbol(space_group_number)}) is {position.label}"
            )
        if element:
            check_element(element, f"Wyckoff position '{element}:{text}'")
        return cls(position.letter, element)


def parse_sites(text: str, space_group_number: int) -> tuple[WyckoffSite, ...]:
    """Read the positions of a request.

    Args:
        text: ``"Mn:2a Li:2d O:4g,4g"``; without elements ``"2a 2d 4g 4g"``, or ``"adgg"``.
        space_group_number: 1 to 230.

    Raises:
        RequestError: If it cannot be read, or the group has no such position.
    """
    words = text.replace(";", " ").split()
    if len(words) == 1 and words[0].isalpha():
        words = list(words[0])
    sites = []
    for word in words:
        element, _, labels = word.rpartition(":")
        for label in labels.split(","):
            sites.append(WyckoffSite.parse(label, space_group_number, element))
    return tuple(sites)


def positions_of(
    sites: Sequence[WyckoffSite], space_group_number: int
) -> tuple[WyckoffPosition, ...]:
    """The positions of sites, which may stand together in one crystal.

    Raises:
        RequestError: If a letter does not exist, a fixed point is taken twice, or only some of the
            sites have an element.
    """
    for site in sites:
        WyckoffSite.parse(site.letter, space_group_number, site.element)
    if len({bool(site.element) for site in sites}) > 1:
        raise RequestError(
            "some Wyckoff positions have an element and some have none; give all, or none"
        )
    positions = tuple(wyckoff_position(space_group_number, site.letter) for site in sites)
    letters = [site.letter for site in sites]
    for position in positions:
        if position.num_free == 0 and letters.count(position.letter) > 1:
            raise RequestError(_taken_twice(position, letters))
    return positions


def _taken_twice(position: WyckoffPosition, letters: Sequence[str]) -> str:
    others = [
        other.label
        for other in wyckoff_positions(position.space_group_number)
        if other.multiplicity == position.multiplicity
        and (other.num_free or other.letter not in letters)
    ]
    hint = f"as large and not taken: {', '.join(others)}" if others else "take it once"
    return f"Wyckoff position {position.label} is a fixed point and holds one orbit; {hint}"


def sites_text(sites: Sequence[WyckoffSite], space_group_number: int) -> str:
    """The text that :func:`parse_sites` reads, with multiplicities."""
    words = []
    for site in sites:
        label = wyckoff_position(space_group_number, site.letter).label
        words.append(f"{site.element}:{label}" if site.element else label)
    return " ".join(words)
