"""Element symbols as files write them: with charges, in capitals, as site labels, or not at all."""

import re
from functools import lru_cache

from crystal_data.elements import ATOMIC_NUMBERS

_SYMBOL = re.compile(r"([A-Za-z]{1,2})(?:[0-9.()]*[+-]?[0-9.]*)(?:,.*)?")
_LABEL = re.compile(r"([A-Za-z]+)")
_WATER = {"Ow": 8, "Hw": 1}  # oxygen and hydrogen of water, a habit of mineral databases


@lru_cache(maxsize=65536)
def atomic_number(symbol: str) -> int:
    """Atomic number of ``"Na"``, ``"Na1+"``, ``"O2-"``, ``"FE3+"`` or ``"D"``; 0 if none."""
    match = _SYMBOL.fullmatch(symbol)
    if match is None:
        return 0
    name = match[1].capitalize()
    return 1 if name == "D" else ATOMIC_NUMBERS.get(name, 0)


@lru_cache(maxsize=65536)
def atomic_number_of_label(label: str) -> int:
    """Atomic number that a site label such as ``"Na1"``, ``"CaM1"`` or ``"OH2"`` begins with.

    0 if there is none, and also where two readings are possible: ``"CA1"`` may be calcium or a
    carbon called A, and a guess would be a wrong crystal without a warning.
    """
    match = _LABEL.match(label)
    if match is None:
        return 0
    letters = match[1]
    if letters in _WATER:
        return _WATER[letters]
    one, two = atomic_number(letters[:1]), 0
    if len(letters) == 1:
        return one if letters.isupper() else 0
    two = ATOMIC_NUMBERS.get(letters[:2].capitalize(), 0)
    if letters[1].islower():
        return two if letters[0].isupper() and not letters[2:3].islower() else 0
    return 0 if one and two else one or two


def is_deuterium(symbol: str) -> bool:
    """Whether a symbol or label names deuterium, which counts as hydrogen here."""
    return re.match(r"D(?![A-Za-z])", symbol) is not None
