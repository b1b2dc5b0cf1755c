"""The private parts of jsonargparse that the command line uses; no other module touches any.

Its version is bounded from above in ``pyproject.toml``: a parser that resolved class paths by
another function would import what a config may not name.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jsonargparse import _actions, _typehints

_MODULES = (_actions, _typehints)  # those that resolve class paths while a command line is parsed
_IMPORT = "import_object"


@contextmanager
def checked_imports(
    check_path: Callable[[str], None], check_object: Callable[[str, Any], None]
) -> Iterator[None]:
    """Within the block the parser imports nothing that a check refuses.

    Private: the function ``import_object``, by which the parser resolves the class paths of
    configs and command lines. No public setting can tell a class from a function.

    Args:
        check_path: Called with a class path before it is imported; raises to refuse it.
        check_object: Called with the path and what it led to; raises to refuse it.
    """
    original = vars(_typehints)[_IMPORT]

    def import_object(path: Any, *args: Any, **options: Any) -> Any:
        if isinstance(path, str):
            check_path(path)
        found = original(path, *args, **options)
        check_object(path, found)
        return found

    _set_import(import_object)
    try:
        yield
    finally:
        _set_import(original)


def _set_import(function: Any) -> None:
    for module in _MODULES:
        setattr(module, _IMPORT, function)
