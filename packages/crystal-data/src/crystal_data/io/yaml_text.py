"""Reads YAML text that anybody may have written.

Parsers of YAML work by recursion: 100,000 nested brackets end the interpreter itself where the
parser is a compiled one. So the levels are counted first, by a reader that keeps them in a list.
"""

from typing import Any

import yaml

from crystal_data.errors import CrystalError

MAX_LEVELS = 100  # shipped ones have up to 8
_INDICATORS = "[{-?:"  # each level begins with one of them
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NestingError(CrystalError, RecursionError):
    """A text with more levels than a config can need."""


def load_yaml(text: str) -> Any:
    """Content of a YAML text: plain values, lists and mappings.

    Raises:
        NestingError: If it has more than 100 levels.
        yaml.YAMLError: If it is not YAML.
    """
    check_nesting(text)
    return yaml.safe_load(text)


def check_nesting(text: str) -> None:
    """Raises unless a YAML text, which need not be valid, has at most 100 levels.

    Raises:
        NestingError: If it has more.
    """
    if sum(map(text.count, _INDICATORS)) <= MAX_LEVELS:
        return
    levels = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.CollectionStartEvent):
                levels += 1
                if levels > MAX_LEVELS:
                    raise NestingError(
                        f"nested more than {MAX_LEVELS} levels deep",
                        "remove brackets or indentation",
                    )
            elif isinstance(event, yaml.CollectionEndEvent):
                levels -= 1
    except yaml.YAMLError:
        return  # the parser stops at the same place, and says what is wrong
