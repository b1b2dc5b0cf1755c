"""Element symbols as files write them: with charges, in capitals, as site labels, or not at all."""

import re
from functools import lru_cache

from crystal_data.elements import ATOMIC_NUMBERS

_SYMBOL = re.compile(r"([A-Za-z]{1,2})(?:[0-9.()]*[+-]?[0-9.]*)(?:,[a-z]+=.*)?")
_LABEL = re.compile(r"([A-Za-z]+)(.*)", re.DOTALL)
_SEPARATED = re.compile(r"[/,+&|;:]\s*[A-Za-z]")
_SYMBOLS_WITHIN = re.compile(r"[A-Z][a-z]?")
_HYDROGEN_ISOTOPES = ("D", "T")
# Oxygen and hydrogen of water and hydroxyl, a habit of mineral databases.
_OF_WATER = {"Ow": 8, "OW": 8, "OH": 8, "Hw": 1}
# Of these the label of a site often goes on with a letter: CA, NZ, OXT, HB.
_WITH_SITE_LETTER = frozenset("CHNOPS")


@lru_cache(maxsize=65536)
def atomic_number(symbol: str) -> int:
    """Atomic number of ``"Na"``, ``"O2-"``, ``"FE3+"``, ``"Fe3+,spin=5"`` or ``"D"``; 0 if none."""
    match = _SYMBOL.fullmatch(symbol)
    if match is None:
        return 0
    name = match[1].capitalize()
    return 1 if name in _HYDROGEN_ISOTOPES else ATOMIC_NUMBERS.get(name, 0)


@lru_cache(maxsize=65536)
def elements_of_type(symbol: str) -> tuple[int, ...]:
    """Atomic numbers that a type symbol names, such as ``"Fe3+"`` or ``"Fe,Mg"``; none if unknown.

    A site of several elements is disordered, unless they are one element with several charges.
    """
    number = atomic_number(symbol)
    if number:
        return (number,)
    numbers = [atomic_number(part) for part in re.split(r"[\s,/;&|:]+|\+(?=[A-Za-z])", symbol)]
    return tuple(dict.fromkeys(numbers)) if all(numbers) else ()


@lru_cache(maxsize=65536)
def atomic_number_of_label(label: str) -> int:
    """Atomic number that a site label such as ``"Na1"``, ``"CaM1"`` or ``"OH2"`` names for certain.

    0 where it names none, or may name another: ``"CA1"`` may be calcium or a carbon called A,
    ``"WAT1"`` is water, ``"FeMg1"`` two elements. A guess would be a wrong crystal.
    """
    match = _LABEL.match(label)
    if match is None or _names_another(match[1], match[2]):
        return 0
    letters = match[1]
    if letters in _OF_WATER:
        return _OF_WATER[letters]
    if len(letters) == 1:
        # T is a tetrahedral site, rather than tritium.
        return atomic_number(letters) if letters.isupper() and letters != "T" else 0
    return _of_two_letters(letters)


def _of_two_letters(letters: str) -> int:
    one, two = atomic_number(letters[:1]), ATOMIC_NUMBERS.get(letters[:2].capitalize(), 0)
    if letters[1].islower():
        goes_on = letters[2:3].islower() or any(
            symbol in ATOMIC_NUMBERS for symbol in _SYMBOLS_WITHIN.findall(letters[2:])
        )
        return two if letters[0].isupper() and not goes_on else 0
    # Of three capitals and more a word is as likely: WAT, VAC, DUM.
    if len(letters) > 2 or (one and two):
        return 0
    is_site = letters[0] in _WITH_SITE_LETTER and not atomic_number(letters[1])
    return two or (one if is_site else 0)


def _names_another(letters: str, rest: str) -> bool:
    """Whether what follows the first letters of a label names an element too: H2O1, Si/Al1."""
    if _SEPARATED.search(rest):
        return True
    within = _SYMBOLS_WITHIN.findall(rest)
    if any(len(symbol) == 2 and symbol in ATOMIC_NUMBERS for symbol in within):
        return True
    follows = re.match(r"\d+([A-Z])(\d|$)", rest)
    if follows is None or follows[1] not in ATOMIC_NUMBERS:
        return False
    # C1B and H12O are a site's second letter or a formula; only the second spells a compound.
    return bool(follows[2]) or (letters in ("H", "D") and follows[1] == "O")


@lru_cache(maxsize=65536)
def readings_of_label(label: str) -> tuple[int, ...]:
    """Atomic numbers of the symbols that a label may begin with: ``"CA1"`` Ca or C, none if none.

    Which of them it is must be decided by something else, such as the formula.
    """
    match = _LABEL.match(label)
    if match is None:
        return ()
    letters = match[1]
    two, one = ATOMIC_NUMBERS.get(letters[:2].capitalize(), 0), atomic_number(letters[:1])
    possible = (two, 0 if letters[0] == "T" else one, _OF_WATER.get(letters, 0))
    return tuple(dict.fromkeys(filter(None, possible)))


def letters_of_label(label: str) -> str:
    """The letters that a label begins with; those of ``"CA12"`` are ``"CA"``."""
    match = _LABEL.match(label)
    return match[1] if match else ""


def is_heavy_hydrogen(symbol: str) -> bool:
    """Whether a symbol or label names deuterium or tritium, which count as hydrogen here."""
    return re.match(r"[DT](?![A-Za-z])", symbol) is not None
