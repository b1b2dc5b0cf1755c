"""`${…}` in the options of a stage: another stage's run, the value of an axis, or the seed."""

import re
from collections.abc import Mapping
from typing import Any

SEED = "seed"  # ${seed} is the run's seed
_REFERENCE = re.compile(r"\$\{([^}]*)\}")


def references(value: Any) -> list[str]:
    """Names that a value refers to, each once, but for the seed."""
    if isinstance(value, Mapping):
        found = [name for item in value.values() for name in references(item)]
    elif isinstance(value, list):
        found = [name for item in value for name in references(item)]
    else:
        found = _REFERENCE.findall(value) if isinstance(value, str) else []
    return list(dict.fromkeys(name for name in found if name != SEED))


def substitute(value: Any, known: Mapping[str, str]) -> Any:
    """The value with references replaced; those that are not known stay.

    Args:
        value: Text, or lists and mappings of it.
        known: Name to what stands for it. Where a text is one reference and nothing else, and
            what stands for it is a whole number, it becomes that number.
    """
    if isinstance(value, Mapping):
        return {key: substitute(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, known) for item in value]
    if not isinstance(value, str):
        return value
    replaced = _REFERENCE.sub(lambda match: known.get(match[1], match[0]), value)
    is_alone = _REFERENCE.fullmatch(value) is not None
    return int(replaced) if is_alone and replaced.isdecimal() else replaced
