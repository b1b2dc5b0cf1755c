"""Finds the key that a config or a command line has wrong, and the nearest right one.

The parser's own message says that something did not validate against a union of types. Here the
same files are walked with the signatures of the classes that they name, which gives a place and a
proposal. It runs only after parsing has failed, so it can never refuse what is right.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import is_dataclass
from difflib import get_close_matches
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from crystal_data.io.yaml_text import NestingError, check_nesting, load_yaml
from crystal_data.training.allowed import Allowed, NotAllowedError

_CLASS_KEYS = ("class_path", "init_args", "dict_kwargs")


def explain(
    configs: Sequence[Path], args: Sequence[str], known: Iterable[str], allowed: Allowed
) -> str | None:
    """One line for each wrong key, or None if all keys look right.

    Args:
        configs: YAML files in the order of the command line.
        args: Arguments after the subcommand.
        known: Dotted keys of the parser, such as ``trainer.max_epochs``.
        allowed: What may be imported, and what the parser was refused.
    """
    known = [key for key in known if not key.endswith(("help", "print_config"))]
    lines: list[str] = []
    merged: dict[str, Any] = {}
    for config in configs:
        try:
            content = load_yaml(config.read_text(encoding="utf-8"))
        except OSError as error:
            return f"{config}: {error.strerror}"
        except NestingError as error:
            return f"{config}: {error}"
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            return f"{config}: not YAML: {' '.join(str(error).split())}"
        if not isinstance(content, dict):
            return f"{config}: expected keys such as model, data and trainer, not {content!r:.60}"
        merged = _merged(merged, content)
        lines += [f"{config}: {line}" for line in _check_root(content, known, allowed)]
    given = _with_arguments(merged, args)
    lines += [line for line in _check_root(given, known, allowed) if line not in "\n".join(lines)]
    return "\n".join(lines) or _nested_argument(args)


def _nested_argument(args: Sequence[str]) -> str | None:
    for before, arg in pairwise(["", *args]):
        option, _, value = arg.partition("=") if arg.startswith("--") else (before, "", arg)
        try:
            check_nesting(value)
        except NestingError as error:
            return f"{option}: {error}"
    return None


def _check_root(
    content: Mapping[str, Any], known: Sequence[str], allowed: Allowed
) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for key in known:
        group, _, rest = key.partition(".")
        groups.setdefault(group, [])
        if rest:
            groups[group].append(rest.partition(".")[0])
    for key, value in content.items():
        if key not in groups:
            yield _proposal(key, key, "the top level", groups)
        elif groups[key] and isinstance(value, Mapping):
            for name in value:
                if name not in groups[key]:
                    yield _proposal(f"{key}.{name}", name, key, groups[key])
                else:
                    yield from _check_value(value[name], f"{key}.{name}", allowed)
        else:
            yield from _check_value(value, key, allowed)


def _check_value(
    value: Any, path: str, allowed: Allowed, default: type | None = None
) -> Iterator[str]:
    """Checks a value for a class whose ``class_path`` may be left out if it can only be one."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check_value(item, f"{path}[{index}]", allowed)
    if not isinstance(value, Mapping):
        return
    if "class_path" not in value:
        if default is not None:
            yield from _check_arguments(value, path, allowed, default)
        return
    for key in value:
        if key not in _CLASS_KEYS:
            yield _proposal(f"{path}.{key}", key, "a class", _CLASS_KEYS)
    arguments = value.get("init_args") or {}
    found = _find(str(value["class_path"]), allowed)
    if isinstance(found, str):
        yield f"{path}.class_path: {found}"
    elif found is not None and isinstance(arguments, Mapping):
        yield from _check_arguments(arguments, f"{path}.init_args", allowed, found)


def _check_arguments(
    arguments: Mapping[str, Any], path: str, allowed: Allowed, found: Callable[..., Any]
) -> Iterator[str]:
    names = _argument_names(found)
    for name, argument in arguments.items():
        if names is not None and name not in names:
            yield _proposal(f"{path}.{name}", name, found.__name__, names)
        else:
            yield from _check_value(argument, f"{path}.{name}", allowed, _only_class(found, name))


def _proposal(path: str, wrong: str, owner: str, right: Iterable[str]) -> str:
    right = sorted(set(right))
    near = get_close_matches(str(wrong), right, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(right)}"
    return f"{path}: {owner} has no '{wrong}'; {hint}"


def _find(class_path: str, allowed: Allowed) -> Callable[..., Any] | str | None:
    """The class or function of that path, what is wrong with it, or None where nobody can tell."""
    if "." not in class_path:
        return None
    try:
        allowed.check_path(class_path)
        found = _resolve(class_path)
        if not isinstance(found, str):
            allowed.check_object(class_path, found)
    except NotAllowedError as error:
        return str(error)
    return found if callable(found) or isinstance(found, str) else None


def _resolve(class_path: str) -> Any:
    module, names = _import(class_path.split("."))
    if module is None:
        return f"cannot import {class_path.rpartition('.')[0]}"
    found, place = module, module.__name__
    for name in names:
        if not hasattr(found, name):
            near = get_close_matches(name, dir(found), n=1)
            hint = f"; did you mean '{place}.{near[0]}'?" if near else ""
            return f"{place} has no '{name}'{hint}"
        found, place = getattr(found, name), f"{place}.{name}"
    return found


def _import(names: Sequence[str]) -> tuple[Any, Sequence[str]]:
    """The longest module that the names start with, and the names that are left."""
    for length in range(len(names) - 1, 0, -1):
        try:
            return import_module(".".join(names[:length])), names[length:]
        except ImportError:
            continue
    return None, names


def _argument_names(found: Callable[..., Any]) -> list[str] | None:
    """Arguments, through ``**kwargs`` to the bases of a class; None if anything may come."""
    names: list[str] = []
    inits = (
        [vars(base)["__init__"] for base in found.__mro__ if "__init__" in vars(base)]
        if isinstance(found, type)
        else [found]
    )
    for init in inits:
        parameters = list(inspect.signature(init).parameters.values())
        names += [
            p.name
            for p in (parameters[1:] if isinstance(found, type) else parameters)
            if p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL}
        ]
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            return names
    return None


def _signed(found: Callable[..., Any]) -> Callable[..., Any]:
    return vars(found).get("__init__", found) if isinstance(found, type) else found


def _only_class(found: Callable[..., Any], name: str) -> type | None:
    """The dataclass that an argument is, if it can be no other class."""
    try:
        hint = get_type_hints(_signed(found)).get(name)
    except (NameError, TypeError):
        return None
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    only = kinds[0] if len(kinds) == 1 else None
    return only if isinstance(only, type) and is_dataclass(only) else None


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(below, value)
        else:
            merged[key] = value
    return merged


def _with_arguments(config: Mapping[str, Any], args: Sequence[str]) -> dict[str, Any]:
    """A config with the options of a command line set, each where the parser would set it."""
    changed = deepcopy(dict(config))
    for index, arg in enumerate(args):
        if not arg.startswith("--"):
            continue
        key, equals, value = arg[2:].partition("=")
        if not equals:
            value = args[index + 1] if index + 1 < len(args) else ""
        names = key.replace("-", "_").split(".")
        if names[0] not in {"config", "help", "print_config"}:
            _set(changed, names, value)
    return changed


def _set(config: dict[str, Any], names: Sequence[str], value: str) -> None:
    place = config
    for name in names[:-1]:
        place = _arguments(place, name)
        below = place.get(name)
        place[name] = {"class_path": below} if isinstance(below, str) else below or {}
        if not isinstance(place[name], dict):
            return  # an option of a list
        place = place[name]
    place, last = _arguments(place, names[-1]), names[-1]
    is_class = isinstance(place.get(last), dict) or (place is config and last in {"model", "data"})
    place[last] = {"class_path": value} if is_class else value


def _arguments(place: dict[str, Any], name: str) -> dict[str, Any]:
    """Where an argument stands: ``init_args`` may be left out on a command line."""
    if "class_path" not in place or name in _CLASS_KEYS:
        return place
    place["init_args"] = place.get("init_args") or {}
    arguments: dict[str, Any] = place["init_args"]
    return arguments
