"""The settings of space groups that a name, however it is spelled, or a number may mean."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache

import gemmi

_ORIGIN = re.compile(r"[\s:(]*(?:origin(?:\s*choice)?|choice|o)?[\s:]*([12])\s*\)?$", re.IGNORECASE)
_SUFFIX = re.compile(r"^(.*?)(?:\s*:\s*|\s+|(?<=[a-z0-9]))([SZHR12])$")
_AXIS = r"(?:-?[1-6]{1,2}(?:/[abcdemn])?|[abcdemn])"
# A magnetic name has more behind its subscript letter: `C_c 2/c`, `P_c2/m`.
_UNDERSCORES = re.compile(rf"[a-z](?:_{_AXIS})+(?:_?:?[12szhr])?", re.IGNORECASE)
_SUBSCRIPT = re.compile(r"_(?=\d)|[(){}\s'\"]|\\")
_SCREW_OVER = re.compile(r"(?:21|2|4[123]?|6[1-5]?)/")
# In the groups with a double glide plane the letter e stands for it since 1995.
_DOUBLE_GLIDES = {39, 41, 64, 67, 68}
_E_PLACE = {"A": 1, "B": 2, "C": 3}
_SCHOENFLIES = dict(zip(
    "1 -1 2 m 2/m 222 mm2 mmm 4 -4 4/m 422 4mm -42m 4/mmm 3 -3 32 3m -3m 6 -6 6/m 622 6mm -62m "
    "6/mmm 23 m-3 432 -43m m-3m".split(),
    "c1 ci c2 cs c2h d2 c2v d2h c4 s4 c4h d4 c4v d2d d4h c3 c3i d3 c3v d3d c6 c3h c6h d6 c6v d3h "
    "d6h t th o td oh".split(),
    strict=True,
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setting:
    """A space group with its axes and origin.

    Args:
        number: 1 to 230.
        name: Hermann–Mauguin symbol with the setting, such as ``"F d -3 m:1"``.
        unique_axis: Of a monoclinic group that was named by its short symbol: ``"a"``, ``"b"`` or
            ``"c"``; empty otherwise. The cell decides between them.
        triplets: Its operations, the identity first.
    """

    number: int
    name: str
    triplets: tuple[str, ...]
    unique_axis: str = ""


def settings_of_name(name: str) -> tuple[Setting, ...]:
    """Settings that a Hermann–Mauguin name may mean; none if it means nothing.

    Spaces, case, parentheses and subscript marks do not matter; full symbols, symbols of before
    1995 (``F m 3 m``, ``C m c a``), with ``e``, short monoclinic ones, and the suffixes ``:1``,
    ``:2``, ``S``, ``Z`` (origin) and ``:H``, ``:R``, ``H``, ``R`` (axes) are known. A magnetic
    name, with primes or a subscript letter, means nothing.
    """
    return _of_name(name)


def settings_of_number(number: int) -> tuple[Setting, ...]:
    """All settings of a space group; none for a number outside 1 to 230."""
    return _by_number().get(number, ())


def number_of_schoenflies(symbol: str) -> int:
    """Number of a space group in Schoenflies's notation, such as ``"Oh^5"``; 0 if none."""
    return _schoenflies().get(re.sub(r"[\s^_{}]", "", symbol).lower(), 0)


@lru_cache(maxsize=4096)
def _of_name(name: str) -> tuple[Setting, ...]:
    if _UNDERSCORES.fullmatch(name):
        name = name.replace("_", " ")  # a blank between the symbols of two axes
    key, suffix = _key(name), ""
    found = _found(key)
    if not found and (match := _SUFFIX.match(name.strip())):
        key, suffix = _key(match[1]), {"S": "1", "Z": "2"}.get(match[2], match[2])
        found = _found(key)
    if not found and (match := _ORIGIN.search(name)):
        key, suffix = _key(name[: match.start()]), match[1]
        found = _found(key)
    exact = tuple(one for one in found if one.name.endswith(f":{suffix}"))
    return exact if suffix and exact else found


def _key(name: str) -> str:
    # A magnetic name must not lose what makes it one.
    if re.search(r"_[A-Za-z]|^[A-Za-z]_|[a-z0-9]'", name):
        return ""
    return _SUBSCRIPT.sub("", name).lower()


def _found(key: str) -> tuple[Setting, ...]:
    """By the key; else taken as a full symbol, whose axes the short one leaves out."""
    table = _by_key()
    head, slash, tail = key.partition("/")
    for one in (key, head + slash + _SCREW_OVER.sub("", tail), _SCREW_OVER.sub("", key)):
        if one in table:
            return table[one]
    return ()


@lru_cache(maxsize=1)
def _by_key() -> dict[str, tuple[Setting, ...]]:
    exact: dict[str, dict[str, Setting]] = defaultdict(dict)
    aliases: dict[str, dict[str, Setting]] = defaultdict(dict)
    standard: dict[str, str] = {}  # of names with e, those of before 1995
    for group in gemmi.spacegroup_table():
        setting, words = _setting(group), group.hm.split()
        exact[_key(group.hm)][setting.name] = exact[_key(setting.name)][setting.name] = setting
        if axis := group.monoclinic_unique_axis().strip("\0"):
            short = aliases[_key("".join(word for word in words if word != "1"))]
            # The end of the table has cells of other groups, such as C 1 1 2 for P 1 1 2.
            if all(one.number == group.number for one in short.values()):
                short[setting.name] = replace(setting, unique_axis=axis)
            if axis == "b":
                aliases[_key("".join(words[:-1]))][setting.name] = setting
        elif group.ext == "H":
            aliases[_key("H" + group.hm[1:])][setting.name] = setting
        elif group.crystal_system() == gemmi.CrystalSystem.Cubic:
            aliases[_key(group.hm.replace("-3", "3"))][setting.name] = setting
        elif group.number in _DOUBLE_GLIDES:
            words[_E_PLACE[words[0]]] = "e"
            # Of two origins that share a name, the table lists the standard one first.
            if standard.setdefault(" ".join(words), group.hm) == group.hm:
                aliases[_key("".join(words))][setting.name] = setting
    return {key: tuple(found.values()) for key, found in {**aliases, **exact}.items()}


@lru_cache(maxsize=1)
def _by_number() -> dict[int, tuple[Setting, ...]]:
    table: dict[int, list[Setting]] = defaultdict(list)
    for group in gemmi.spacegroup_table():
        table[group.number].append(_setting(group))
    return {number: tuple(found) for number, found in table.items()}


def _setting(group: gemmi.SpaceGroup) -> Setting:
    triplets = tuple(op.triplet() for op in group.operations())
    return Setting(group.number, group.xhm(), triplets)


@lru_cache(maxsize=1)
def _schoenflies() -> dict[str, int]:
    # Within a point group both notations number the groups in one order.
    numbers: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for number in range(1, 231):
        point_group = gemmi.find_spacegroup_by_number(number).point_group_hm()
        symbol = _SCHOENFLIES[point_group]
        counts[symbol] += 1
        numbers[f"{symbol}{counts[symbol]}"] = number
        if symbol == "c3i":
            numbers[f"s6{counts[symbol]}"] = number
    return numbers
