"""A CIF data block whose values are found however its tags are spelled."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from gemmi import cif

from crystal_data.errors import InvalidCrystalError, Reason

_NULL = frozenset(("?", ".", "''", '""', ""))
# A tag and a value of several words that nobody has quoted: `_name F m -3 m`.
_UNQUOTED = re.compile(r"(\s*_\S+\s+)([^\s'\"#;_]\S*(?:[ \t]+[^\s#]\S*)+)[ \t]*$")


class CifBlock:
    """Values of a data block by normalized tag.

    A tag is normalized to lower case, with ``_`` for ``.`` and ``-`` and without an underscore
    at the end, so that the dialects of programs and dictionaries are one. The leading underscore
    is left out. ``?``, ``.`` and empty values are as good as absent. A tag may stand several
    times with one value.

    Args:
        block: As parsed.
        identifier: For messages.
    """

    def __init__(self, block: cif.Block, identifier: str) -> None:
        self.identifier = identifier
        self.name = block.name
        self._values: dict[str, str] = {}
        self._loops: dict[str, tuple[cif.Loop, int]] = {}
        self._conflicts: dict[str, tuple[str, str]] = {}
        values = self._values
        for item in block:
            pair: Any = item.pair
            if pair is not None:
                tag, value = pair
                if value not in _NULL:
                    name = _normalized(tag)
                    known = values.setdefault(name, value)
                    if known is not value and not _agree(known, value):
                        self._conflicts[name] = (known, value)
            elif (loop := item.loop) is not None:
                self._add_loop(loop)

    def _add_loop(self, loop: cif.Loop) -> None:
        for place, name in enumerate(map(_normalized, loop.tags)):
            known = self._loops.setdefault(name, (loop, place))
            if known == (loop, place):
                continue
            first, second = _column(*known), _column(loop, place)
            if all(map(is_null, first)):
                self._loops[name] = (loop, place)
            elif first != second and not all(map(is_null, second)):
                self._conflicts[name] = ("one column", "another")

    def __contains__(self, name: str) -> bool:
        return name in self._values or name in self._loops

    def names(self) -> list[str]:
        """All normalized tags."""
        return [*self._values, *self._loops]

    def raw(self, name: str) -> str:
        """A value as it is written, with quotes; empty if there is none.

        Raises:
            InvalidCrystalError: ``UNREADABLE`` if the tag stands twice with two values.
        """
        if self._conflicts:
            self._check(name)
        value = self._values.get(name)
        if value is None and name in self._loops:
            column = self.column(name)
            value = column[0] if len(column) == 1 and column[0] not in _NULL else None
        return value or ""

    def raws(self, names: Sequence[str]) -> list[str]:
        """Values as :meth:`raw` gives them."""
        if self._conflicts or not self._loops.keys().isdisjoint(names):
            return [self.raw(name) for name in names]
        return [self._values.get(name, "") for name in names]  # as nearly always

    def _check(self, name: str) -> None:
        if name in self._conflicts:
            first, second = self._conflicts[name]
            detail = f"_{name} stands twice, with {first} and {second}; remove one of them"
            raise InvalidCrystalError(self.identifier, Reason.UNREADABLE, detail)

    def column(self, name: str) -> list[str]:
        """The column of a loop as it is written, or a value alone; empty if there is none.

        Raises:
            InvalidCrystalError: ``UNREADABLE`` if the tag stands twice with two columns.
        """
        if self._conflicts:
            self._check(name)
        if name in self._loops:
            return _column(*self._loops[name])
        value = self.raw(name)
        return [value] if value else []

    def loop_of(self, name: str) -> dict[str, list[str]]:
        """All columns of the loop that has a tag, by normalized tag; empty if none has.

        Raises:
            InvalidCrystalError: ``UNREADABLE`` if the tag stands in two loops.
        """
        if name not in self._loops:
            return {}
        self._check(name)
        loop, _ = self._loops[name]
        values, width = loop.values, len(loop.tags)
        return {_normalized(tag): values[i::width] for i, tag in enumerate(loop.tags)}


def _column(loop: cif.Loop, place: int) -> list[str]:
    values: list[str] = loop.values[place :: len(loop.tags)]
    return values


def as_number(raw: str) -> float:
    """The value of ``1.234(5)``, also in quotes; NaN for ``?``, ``.`` and what is no number."""
    return cif.as_number(cif.as_string(raw) if raw[:1] in "'\"" else raw)


def is_null(raw: str) -> bool:
    """Whether a value says nothing: ``?``, ``.`` or empty."""
    return raw in _NULL


def as_text(raw: str) -> str:
    """A value without its quotes."""
    return cif.as_string(raw).strip() if raw[0] in "'\";" else raw


def _agree(first: str, second: str) -> bool:
    return cif.as_string(first).split() == cif.as_string(second).split() or as_number(
        first
    ) == as_number(second)


@lru_cache(maxsize=65536)
def _normalized(tag: str) -> str:
    return tag.lower().replace(".", "_").replace("-", "_").strip("_")


def parse_blocks(text: str, identifier: str) -> list[cif.Block]:
    """The data blocks of a CIF text.

    Raises:
        InvalidCrystalError: ``EMPTY`` or ``UNREADABLE``.
    """
    if not text.isascii():
        # The grammar is ASCII; what lies outside it stands in names and remarks.
        text = text.lstrip("\ufeff").replace("\xa0", " ").encode("ascii", "replace").decode()
    try:
        blocks = _parsed(text)
    except (RuntimeError, ValueError) as error:
        reason = Reason.UNREADABLE if text.strip() else Reason.EMPTY
        raise InvalidCrystalError(identifier, reason, f"not a CIF: {error}") from error
    if not blocks:
        raise InvalidCrystalError(identifier, Reason.EMPTY, "there is no data block in the CIF")
    return blocks


def _parsed(text: str) -> list[cif.Block]:
    # Level 0 leaves it to CifBlock what a tag means that stands twice.
    try:
        return list(cif.read_string(text, 0))
    except (RuntimeError, ValueError):
        quoted = _with_quotes(text)
        if quoted == text:
            raise
        return list(cif.read_string(quoted, 0))


def _with_quotes(text: str) -> str:
    """Quotes values of several words that stand beside their tag, outside text fields."""
    lines, in_text = text.splitlines(), False
    for place, line in enumerate(lines):
        if line.startswith(";"):
            in_text = not in_text
        elif not in_text and (match := _UNQUOTED.fullmatch(line)):
            quote = '"' if "'" in match[2] else "'"
            if quote not in match[2]:
                lines[place] = f"{match[1]}{quote}{match[2]}{quote}"
    return "\n".join(lines) + ("\n" if text.endswith(("\n", "\r")) else "")
