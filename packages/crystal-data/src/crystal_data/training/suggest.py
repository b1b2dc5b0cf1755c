"""Finds the key that a config or a command line has wrong, and the nearest right one.

The parser's own message says that something did not validate against a union of types, and comes
after seconds of imports. Here the same files are walked with the arguments of the classes that
they name, as their source files have them; nothing is imported. A key counts as wrong only where
the source leaves no doubt; the parser decides on all others, and on values.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from crystal_data.io.yaml_text import NestingError, check_nesting, load_yaml
from crystal_data.training.allowed_paths import OWN, AllowedPaths, NotAllowedError
from crystal_data.training.config_arguments import TRAINER_COMMANDS, given_configs, is_content
from crystal_data.training.options import ALIASES, option_names, trainer_arguments
from crystal_data.training.short_names import AmbiguousNameError, full_path, nearest_name
from crystal_data.training.source_arguments import (
    OBJECTS,
    Argument,
    Kinds,
    arguments_of,
    is_dataclass,
    kinds_of,
)
from crystal_data.training.source_names import Definition, find

_CLASS_KEYS = ("class_path", "init_args", "dict_kwargs")
_CLASS_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_CONFIG_ENDINGS = (".yaml", ".yml", ".json")
_OWN = tuple(f"{package}." for package in OWN)
_MAX_CLASS_PATH = 250  # characters
_ENDS = {"-h", "--help", "--"}  # what follows is not read


@dataclass(frozen=True)
class _Names:
    """How class paths are looked up."""

    allowed: AllowedPaths
    refused: bool

    def find(self, class_path: str) -> Definition | str | None:
        """The class or function of that path, what is wrong with it, or None if that is open."""
        if len(class_path) > _MAX_CLASS_PATH or _CLASS_PATH.fullmatch(class_path) is None:
            return None
        try:
            class_path = full_path(class_path)
            self.allowed.check_path(class_path)
        except (AmbiguousNameError, NotAllowedError) as error:
            return str(error)
        if "." not in class_path:
            return self._unknown_name(class_path)
        found = find(class_path)
        # One module of a library may add names to another one as it runs; ours do not.
        if isinstance(found, str) and (self.refused or class_path.startswith(_OWN)):
            return found
        return found if isinstance(found, Definition) else None

    def _unknown_name(self, name: str) -> str | None:
        """What is wrong with a name that no crystal package exports; torch and Lightning may."""
        near = nearest_name(name) if self.refused and name[0].isupper() else None
        return near and f"there is no class '{name}'; did you mean '{near}'?"


def explain(args: Sequence[str], allowed: AllowedPaths, *, refused: bool = False) -> str | None:
    """One line for each wrong key, or None if no key is surely wrong.

    Args:
        args: Subcommand, if there is one, and its options, with the files of configs in place of
            their names.
        allowed: What may be named.
        refused: Whether the parser has refused the arguments. A class that the source of a library
            does not show is then known to be missing.
    """
    if any(arg in _ENDS or arg.partition("=")[0].endswith(".help") for arg in args):
        return None
    known = option_names(args[0] if args and args[0] in TRAINER_COMMANDS else None)
    names = _Names(allowed, refused)
    lines: list[str] = []
    merged: dict[str, Any] = {}
    for config in given_configs(args):
        name = "--config" if is_content(config) else config
        try:
            content = _content(config)
        except _UnreadableError as error:
            return f"{name}: {error}"
        if content is None:
            return None
        merged = _merged(merged, content)
        lines += [f"{name}: {line}" for line in _check_root(content, known, names)]
    given = _with_arguments(merged, args)
    lines += [line for line in _check_root(given, known, names) if line not in "\n".join(lines)]
    return "\n".join(lines) or _nested_argument(args)


class _UnreadableError(ValueError):
    """A config that the parser cannot read either."""


def _content(config: str) -> dict[str, Any] | None:
    """Keys and values of a config; None if it is written in a way that only the parser knows."""
    try:
        text = config if is_content(config) else Path(config).read_text(encoding="utf-8")
        content = load_yaml(text)
    except OSError as error:
        raise _UnreadableError(error.strerror) from error
    except NestingError as error:
        raise _UnreadableError(error) from error
    except (UnicodeError, RecursionError, yaml.YAMLError) as error:
        raise _UnreadableError(f"not YAML: {' '.join(str(error).split())}") from error
    except ValueError:
        return None  # a date that does not exist, which the parser takes for a text
    if not isinstance(content, dict):
        raise _UnreadableError(
            f"expected keys such as model, data and trainer, not {content!r:.60}"
        )
    return None if _has_special_keys(content) else content


def _nested_argument(args: Sequence[str]) -> str | None:
    for before, arg in pairwise(["", *args]):
        option, _, value = arg.partition("=") if arg.startswith("--") else (before, "", arg)
        try:
            check_nesting(value)
        except NestingError as error:
            return f"{option}: {error}"
    return None


def _has_special_keys(content: Any) -> bool:
    """Whether a key stands for several levels, adds to a list, or is no text."""
    if isinstance(content, list):
        return any(map(_has_special_keys, content))
    return isinstance(content, dict) and any(
        not isinstance(key, str) or "." in key or key.endswith("+") or _has_special_keys(value)
        for key, value in content.items()
    )


def _check_root(content: Mapping[str, Any], known: Sequence[str], names: _Names) -> Iterator[str]:
    for key, value in content.items():
        if ALIASES.get(key, key) not in known:
            yield _proposal(key, key, "the top level", known)
        elif key == "trainer" and isinstance(value, Mapping):
            # After `--trainer FILE` further options stand as if the file were a class.
            yield from _check_arguments(value, key, key, trainer_arguments(), names, _CLASS_KEYS)
        elif key in {"model", "data"}:
            yield from _check_value(value, key, OBJECTS, names)


def _check_value(value: Any, path: str, kinds: Kinds, names: _Names) -> Iterator[str]:
    """Checks a value for the objects in it, or for the one that it is."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check_value(item, f"{path}[{index}]", kinds, names)
    elif isinstance(value, str) and kinds.objects and not kinds.text:
        found = names.find(value)
        is_file = value.endswith(_CONFIG_ENDINGS)
        if isinstance(found, str) and not is_file and not Path(value).exists():
            yield f"{path}: {found}"
    elif isinstance(value, Mapping) and not kinds.mapping:
        yield from _check_object(value, path, kinds, names)


def _check_object(
    value: Mapping[str, Any], path: str, kinds: Kinds, names: _Names
) -> Iterator[str]:
    if "class_path" not in value:
        # It may be left out where the object can only be of one class.
        only = kinds.classes[0] if len(kinds.classes) == 1 else None
        if only is not None and is_dataclass(only):
            yield from _check_arguments(
                value, path, only.node.name, arguments_of(only), names, _CLASS_KEYS
            )
        return
    for key in value:
        if key not in _CLASS_KEYS:
            yield _proposal(f"{path}.{key}", key, "a class", _CLASS_KEYS)
    found = names.find(str(value["class_path"]))
    if isinstance(found, str):
        yield f"{path}.class_path: {found}"
    elif found is not None and isinstance(given := value.get("init_args"), Mapping):
        yield from _check_arguments(
            given, f"{path}.init_args", found.node.name, arguments_of(found), names
        )


def _check_arguments(
    given: Mapping[str, Any],
    path: str,
    owner: str,
    arguments: Mapping[str, Argument] | None,
    names: _Names,
    others: Sequence[str] = (),
) -> Iterator[str]:
    for name, value in given.items():
        if arguments is None or name in others:
            continue
        if name not in arguments:
            yield _proposal(f"{path}.{name}", name, owner, arguments)
        else:
            kinds = kinds_of(arguments[name])
            yield from _check_value(value, f"{path}.{name}", kinds, names)


def _proposal(path: str, wrong: str, owner: str, right: Iterable[str]) -> str:
    right = sorted(set(right))
    near = get_close_matches(wrong, right, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(right) or 'none'}"
    return f"{path}: {owner} has no '{wrong}'; {hint}"


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two configs as one; of an object whose class changes only what the second one says stays."""
    if over.get("class_path", under.get("class_path")) != under.get("class_path"):
        return dict(over)
    if "class_path" in under:
        over = _with_init_args(over)
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(below, value)
        else:
            merged[key] = value
    return merged


def _with_init_args(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a later config says of an object, with ``init_args``, which it may leave out."""
    arguments = {key: value for key, value in given.items() if key not in _CLASS_KEYS}
    if not arguments or "class_path" in given:
        return given
    others = {key: value for key, value in given.items() if key in _CLASS_KEYS}
    return {**others, "init_args": {**(given.get("init_args") or {}), **arguments}}


def _with_arguments(config: Mapping[str, Any], args: Sequence[str]) -> dict[str, Any]:
    """A config with the options of a command line set, each where the parser would set it."""
    changed = deepcopy(dict(config))
    for arg, following in pairwise([*args, ""]):
        if not arg.startswith("--") or " " in arg.partition("=")[0]:
            continue
        key, equals, value = arg[2:].partition("=")
        names = key.removesuffix("+").split(".")
        if names[0] in {"config", "print_config"}:
            continue
        # What is added to a list is left to the parser, which knows the list.
        _set(changed, names, None if key.endswith("+") else value if equals else following)
    return changed


def _set(config: dict[str, Any], names: Sequence[str], value: str | None) -> None:
    place = config
    for name in names[:-1]:
        place = _arguments(place, name)
        below = place.get(name)
        place[name] = {"class_path": below} if isinstance(below, str) else below or {}
        if not isinstance(place[name], dict):
            return  # an option of a list
        place = place[name]
    place, last = _arguments(place, names[-1]), names[-1]
    if last == "class_path" and place.get(last) != value:
        place.clear()  # arguments of the class before it count no more
    place[last] = value


def _arguments(place: dict[str, Any], name: str) -> dict[str, Any]:
    """Where an argument stands: ``init_args`` may be left out on a command line."""
    if "class_path" not in place or name in _CLASS_KEYS:
        return place
    if not isinstance(place.get("init_args"), dict):
        place["init_args"] = {}
    arguments: dict[str, Any] = place["init_args"]
    return arguments
