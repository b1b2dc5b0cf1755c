"""Formulas, elements and space groups as a user writes them in a request."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from fractions import Fraction
from math import lcm

from crystal_data.elements import ATOMIC_NUMBERS, ELECTRONEGATIVITY, SYMBOLS
from crystal_data.errors import CrystalError
from crystal_data.io.cif.settings import settings_of_name
from crystal_data.io.formula import parse_formula
from crystal_data.symmetry.wyckoff import space_group_symbol

_GROUP = re.compile(r"[(\[]([^()\[\]]*)[)\]](\d*)")
_PART = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")
_WORD = re.compile(r"[A-Z][a-z]?")


class RequestError(CrystalError, ValueError):
    """A request that cannot be met; the message says what the nearest possible one would be."""


def parse_composition(formula: str) -> dict[str, int]:
    """Atoms of one formula unit as it is written, such as ``"Ca3(PO4)2"``.

    Returns:
        Symbol to count, least electronegative first.

    Raises:
        RequestError: If it is no formula, or not of whole numbers.
    """
    text = formula.strip()
    while group := _GROUP.search(text):
        times = int(group[2] or 1)
        words = (f"{symbol}{float(n or 1) * times:g}" for symbol, n in _PART.findall(group[1]))
        text = text[: group.start()] + "".join(words) + text[group.end() :]
    for symbol in _WORD.findall(text):
        check_element(symbol, f"formula '{formula}'")
    amounts = {SYMBOLS[number]: amount for number, amount in parse_formula(text).items()}
    if not amounts:
        raise RequestError(f"'{formula}' is no formula; write it as LiMn2O4 or Ca3(PO4)2")
    if any(amount != int(amount) for amount in amounts.values()):
        parts = {s: Fraction(amount).limit_denominator(60) for s, amount in amounts.items()}
        factor = lcm(*(part.denominator for part in parts.values()))
        whole = formula_of({symbol: int(part * factor) for symbol, part in parts.items()})
        raise RequestError(f"formula '{formula}': a cell holds whole atoms; {whole} would do")
    return ordered({symbol: int(amount) for symbol, amount in amounts.items()})


def parse_elements(text: str) -> tuple[str, ...]:
    """Symbols of a chemical system such as ``"Li-Mn-O"``.

    Raises:
        RequestError: If one of them is no element, or stands twice.
    """
    symbols = [word for word in re.split(r"[-,;\s]+", text.strip()) if word]
    for symbol in symbols:
        check_element(symbol, f"elements '{text}'")
    doubled = [symbol for symbol in symbols if symbols.count(symbol) > 1]
    if doubled:
        raise RequestError(f"elements '{text}': {doubled[0]} stands twice; name each once")
    return tuple(sorted(symbols))


def check_element(symbol: str, where: str) -> None:
    """Refuse what is no element's symbol.

    Args:
        symbol: Such as ``"Na"``.
        where: Starts the message.

    Raises:
        RequestError: With the nearest symbols.
    """
    if symbol in ATOMIC_NUMBERS:
        return
    known = [name for name in SYMBOLS if name]
    near = get_close_matches(symbol.capitalize(), known, n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise RequestError(f"{where}: {symbol} is no element{hint}")


def ordered(composition: Mapping[str, int]) -> dict[str, int]:
    """By electronegativity, as formulas are written."""
    return dict(sorted(composition.items(), key=lambda item: (ELECTRONEGATIVITY[item[0]], item[0])))


def formula_of(composition: Mapping[str, int]) -> str:
    """Text of a composition, such as ``"LiMn2O4"``."""
    return "".join(s if n == 1 else f"{s}{n}" for s, n in ordered(composition).items())


def parse_space_group(given: int | str) -> int:
    """Number of a space group, 1 to 230, from that or from a Hermann–Mauguin symbol.

    Raises:
        RequestError: With the nearest ones.
    """
    text = str(given).strip()
    if text.lstrip("-").isdecimal():
        check_space_group(int(text))
        return int(text)
    numbers = {setting.number for setting in settings_of_name(text)}
    if len(numbers) == 1:
        return numbers.pop()
    symbols = [space_group_symbol(number) for number in range(1, 231)]
    near = get_close_matches(text, symbols, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; give its number"
    raise RequestError(f"'{text}' is no space group's symbol{hint}")


def check_space_group(number: int) -> None:
    """Refuse a number that no space group has.

    Raises:
        RequestError: With the nearest one.
    """
    if isinstance(number, int) and 1 <= number <= 230:
        return
    hint = "numbers run from 1 to 230"
    if isinstance(number, int):
        nearest = min(max(number, 1), 230)
        hint += f", the nearest is {nearest} ({space_group_symbol(nearest)})"
    raise RequestError(f"space group {number} does not exist; {hint}")
