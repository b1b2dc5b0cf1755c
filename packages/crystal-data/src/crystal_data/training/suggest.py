"""Finds the key that a config or a command line has wrong, and the nearest right one.

The parser's own message says that something did not validate against a union of types. Here the
same files are walked with the signatures of the classes that they name, which gives a place and a
proposal. It runs only after parsing has failed, so it can never refuse what is right.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

_CLASS_KEYS = ("class_path", "init_args", "dict_kwargs")


def explain(configs: Sequence[Path], args: Sequence[str], known: Iterable[str]) -> str | None:
    """One line for each wrong key, or None if all keys look right.

    Args:
        configs: YAML files in the order of the command line.
        args: Arguments after the subcommand.
        known: Dotted keys of the parser, such as ``trainer.max_epochs``.
    """
    known = [key for key in known if not key.endswith(("help", "print_config"))]
    lines: list[str] = []
    merged: dict[str, Any] = {}
    for config in configs:
        try:
            content = yaml.safe_load(config.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            return f"{config}: {error}"
        if isinstance(content, dict):
            merged |= content
            lines += [f"{config}: {line}" for line in _check_root(content, known)]
    given = _from_arguments(args, merged)
    lines += [line for line in _check_root(given, known) if line not in "\n".join(lines)]
    return "\n".join(lines) or None


def _check_root(content: Mapping[str, Any], known: Sequence[str]) -> Iterator[str]:
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
                    yield from _check_value(value[name], f"{key}.{name}")
        else:
            yield from _check_value(value, key)


def _check_value(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check_value(item, f"{path}[{index}]")
    if not isinstance(value, Mapping) or not isinstance(value.get("class_path"), str):
        return
    for key in value:
        if key not in _CLASS_KEYS:
            yield _proposal(f"{path}.{key}", key, "a class", _CLASS_KEYS)
    arguments = value.get("init_args") or {}
    found = _find_class(value["class_path"])
    if isinstance(found, str):
        yield f"{path}.class_path: {found}"
    elif found is not None and isinstance(arguments, Mapping):
        names = _argument_names(found)
        for name, argument in arguments.items():
            if names is not None and name not in names:
                yield _proposal(f"{path}.init_args.{name}", name, found.__name__, names)
            else:
                yield from _check_value(argument, f"{path}.init_args.{name}")


def _proposal(path: str, wrong: str, owner: str, right: Iterable[str]) -> str:
    right = sorted(set(right))
    near = get_close_matches(str(wrong), right, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(right)}"
    return f"{path}: {owner} has no '{wrong}'; {hint}"


def _find_class(class_path: str) -> type | str | None:
    module_name, _, name = class_path.rpartition(".")
    if not module_name:
        return None
    try:
        module = import_module(module_name)
    except ImportError as error:
        return f"cannot import {module_name}: {error}"
    found = getattr(module, name, None)
    if found is None:
        near = get_close_matches(name, dir(module), n=1)
        hint = f"; did you mean '{module_name}.{near[0]}'?" if near else ""
        return f"{module_name} has no '{name}'{hint}"
    return found if isinstance(found, type) else None


def _argument_names(found: type) -> list[str] | None:
    """Constructor arguments, through ``**kwargs`` to the bases; None if anything may come."""
    names: list[str] = []
    for base in found.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        names += [p.name for p in parameters if p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL}]
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            return names
    return None


def _from_arguments(args: Sequence[str], merged: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a command line as the nested mapping that a config would be."""
    nested: dict[str, Any] = {}
    for index, arg in enumerate(args):
        if not arg.startswith("--"):
            continue
        key, equals, value = arg[2:].partition("=")
        if not equals:
            value = args[index + 1] if index + 1 < len(args) else ""
        group, *rest = key.replace("-", "_").split(".")
        if group in {"config", "help", "print_config"}:
            continue
        if not rest:
            nested[group] = {"class_path": value} if group in {"model", "data"} else value
            continue
        if group in {"model", "data"} and rest[0] not in _CLASS_KEYS:
            rest = ["init_args", *rest]
        place = nested.setdefault(group, {})
        if group in {"model", "data"}:
            place.setdefault("class_path", (merged.get(group) or {}).get("class_path"))
        for name in rest[:-1]:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                break
        else:
            place[rest[-1]] = value
    return nested
