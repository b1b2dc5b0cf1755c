"""Chemical formulas as files state them, and whether atoms agree with one."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from crystal_data.elements import ATOMIC_NUMBERS, ELECTRONEGATIVITY, SYMBOLS

_TOLERANCE = 0.02  # of an amount; files round occupancies
_MULTIPLE_TOLERANCE = 0.1  # of a number of formula units; 2 % of many units would allow any number
_PART = re.compile(r"([A-Z][a-z]?)(\d+\.?\d*|\.\d+)?(?:\(\d+\))?")
_CHARGE = re.compile(r"\d*[+-]\d*")
_CHARGED = re.compile(r"([A-Z][a-z]?)\d*[+-]\d*")
_HYDROGEN = 1

Amounts = Mapping[int, float]  # by atomic number


class Fit(IntEnum):
    """How well atoms fit the formula that is stated; the higher the better."""

    CONTRADICTS = 0
    NO_EVIDENCE = 1  # no formula is stated, or it cannot be read
    MULTIPLE = 2  # whole formula units; or one, where the file says that the cell holds more
    EXACT = 3  # as many formula units as the file says


@dataclass(frozen=True, slots=True)
class Formula:
    """What a file says of its cell's content.

    Args:
        amounts: Of the formula sum; empty if there is none that can be read.
        units: Formula units in the cell, Z; 0 if not stated.
        text: The formula as it is written.
    """

    amounts: Amounts
    units: float = 0.0
    text: str = ""

    def fit(self, found: Amounts) -> Fit:
        """How well atoms fit.

        They may be the formula sum itself or Z times it, since programs write both. Where Z is not
        stated, any whole number of formula units fits. Hydrogen is left out of the comparison if
        no atom is hydrogen: many structures are published without their hydrogen atoms.

        Args:
            found: Atoms of the cell by atomic number, counted by occupancy.
        """
        if not self.amounts:
            return Fit.NO_EVIDENCE
        factor = self.factor(found)
        if factor is None:
            return Fit.CONTRADICTS
        if self.units:
            if _is_close(factor, self.units):
                return Fit.EXACT
            return Fit.MULTIPLE if _is_close(factor, 1.0) else Fit.CONTRADICTS
        nearest = round(factor)
        is_whole = nearest >= 1 and _is_close(factor, nearest)
        return Fit.MULTIPLE if is_whole else Fit.CONTRADICTS

    @property
    def is_one_unit(self) -> bool:
        """Whether the sum is one of Z formula units: no cell's content, as Z does not divide it."""
        return self.units > 1.0 and any(amount % self.units for amount in self.amounts.values())

    def factor(self, found: Amounts) -> float | None:
        """By which number the formula sum is multiplied to give the atoms; None if by none."""
        stated = self.amounts
        if stated == found:
            return 1.0
        if self.lacks_hydrogen(found):
            stated = {z: amount for z, amount in stated.items() if z != _HYDROGEN}
        if stated.keys() != found.keys() or not stated:
            return None
        factor = sum(found.values()) / sum(stated.values())
        is_same = all(
            abs(found[z] - factor * amount) <= _TOLERANCE * max(found[z], factor * amount)
            for z, amount in stated.items()
        )
        return factor if is_same else None

    def lacks_hydrogen(self, found: Amounts) -> bool:
        """Whether the formula has hydrogen and the atoms have none."""
        return _HYDROGEN in self.amounts and _HYDROGEN not in found

    def __str__(self) -> str:
        return f"{self.text} (Z = {self.units:g})" if self.units else self.text


def _is_close(factor: float, units: float) -> bool:
    return abs(factor - units) <= min(_TOLERANCE * units, _MULTIPLE_TOLERANCE)


def parse_formula(text: str) -> Amounts:
    """Amounts by atomic number of a formula sum such as ``"Mg4 O4"`` or ``"C2H4 O2"``.

    Charges are dropped; deuterium and tritium are hydrogen. Empty for what cannot be read for
    certain, such as parentheses, unknown amounts, or symbols in capitals.
    """
    words = [word for word in text.replace(",", " ").split() if not _is_charge(word)]
    amounts: dict[int, float] = {}
    for word in words:
        parts = _parts(word)
        # Words of several elements among others may be symbols in capitals: CO1 is C O or Co.
        if not parts or (len(parts) > 1 and len(words) > 1 and word.upper() == word):
            return {}
        for z, amount in parts:
            amounts[z] = amounts.get(z, 0.0) + amount
    return {z: amount for z, amount in amounts.items() if amount > 0.0}


def _is_charge(word: str) -> bool:
    return not word[0].isalpha() and bool(_CHARGE.fullmatch(word))


@lru_cache(maxsize=4096)  # formulas differ, their words are few
def _parts(word: str) -> tuple[tuple[int, float], ...]:
    """Atomic numbers and amounts of a word; empty if it cannot be read."""
    if charged := _CHARGED.fullmatch(word):
        return _numbered([(charged[1], "")])
    parts, end = [], 0
    for match in _PART.finditer(word):
        if match.start() != end:
            return ()
        parts.append((match[1], match[2]))
        end = match.end()
    return _numbered(parts) if end == len(word) else ()


def _numbered(parts: list[tuple[str, str]]) -> tuple[tuple[int, float], ...]:
    numbers = [_HYDROGEN if s in ("D", "T") else ATOMIC_NUMBERS.get(s, 0) for s, _ in parts]
    amounts = [float(amount or 1.0) for _, amount in parts]
    return tuple(zip(numbers, amounts, strict=True)) if all(numbers) else ()


def counted(atomic_numbers: Iterable[int], amounts: Iterable[float] | None = None) -> Amounts:
    """Atoms by atomic number, each counted by its occupancy; by one if there is none."""
    found: dict[int, float] = {}
    if amounts is None:
        for z in atomic_numbers:
            found[z] = found.get(z, 0.0) + 1.0
    else:
        for z, amount in zip(atomic_numbers, amounts, strict=True):
            found[z] = found.get(z, 0.0) + amount
    return found


def shortened(text: str, longest: int = 40) -> str:
    """The start of a formula or a name, for messages of limited length whose end is the remedy."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def formula_text(found: Amounts) -> str:
    """Atoms as a formula sum, such as ``"Mg4 O4"``."""
    order = sorted(found, key=lambda z: (ELECTRONEGATIVITY[SYMBOLS[z]], z))
    return " ".join(f"{SYMBOLS[z]}{round(found[z], 2):g}" for z in order)
