"""The private parts of jsonargparse that the command line uses; no other module touches any.

Its version is bounded from above in ``pyproject.toml``: a parser that resolved class paths by
another function would import what a config may not name.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jsonargparse import Namespace, _actions, _typehints

_MODULES = (_actions, _typehints)  # those that resolve class paths while a command line is parsed
_IMPORT = "import_object"
_RESOLVE = "resolve_class_path_by_name"
_KEEP = "discard_init_args_on_class_path_change"


@contextmanager
def checked_imports(
    full_path: Callable[[str], str],
    check_path: Callable[[str], None],
    check_object: Callable[[str, Any], None],
) -> Iterator[None]:
    """Within the block the parser imports nothing that a check refuses.

    Private: the function ``import_object``, by which the parser resolves the class paths of
    configs and command lines; no public setting can tell a class from a function. And
    ``resolve_class_path_by_name``, which finds a class name without path among the classes that
    happen to be imported.

    Args:
        full_path: Called with what stands for a class path; gives the class path, if it knows one.
        check_path: Called with a class path before it is imported; raises to refuse it.
        check_object: Called with the path and what it led to; raises to refuse it.
    """
    original, resolve = vars(_typehints)[_IMPORT], vars(_typehints)[_RESOLVE]

    def import_object(path: Any, *args: Any, **options: Any) -> Any:
        if isinstance(path, str):
            path = full_path(path)
            check_path(path)
        found = original(path, *args, **options)
        check_object(path, found)
        return found

    def resolve_class_path_by_name(base: Any, name: str) -> Any:
        return resolve(base, full_path(name))

    _set_import(import_object)
    setattr(_typehints, _RESOLVE, resolve_class_path_by_name)
    try:
        yield
    finally:
        _set_import(original)
        setattr(_typehints, _RESOLVE, resolve)


@contextmanager
def own_defaults() -> Iterator[None]:
    """Within the block a class in the place of another has its own defaults.

    The parser carries over all arguments that both classes have, those too that nobody gave: Adam
    in place of AdamW would get a weight decay of 0.01. Here only values stay that differ from the
    defaults of the class before.

    Private: the function ``discard_init_args_on_class_path_change``, which decides what is carried
    over.
    """
    original = vars(_typehints)[_KEEP]

    def discard(parser: Any, before: Any, after: Any) -> None:
        given = before.get("init_args") if isinstance(before, Namespace) else None
        if isinstance(given, Namespace) and before.class_path != after["class_path"]:
            found = vars(_typehints)[_IMPORT](before.class_path)
            for name, parameter in inspect.signature(found).parameters.items():
                if name in given and given[name] == parameter.default:
                    given.pop(name)
        original(parser, before, after)

    setattr(_typehints, _KEEP, discard)
    try:
        yield
    finally:
        setattr(_typehints, _KEEP, original)


def _set_import(function: Any) -> None:
    for module in _MODULES:
        setattr(module, _IMPORT, function)
