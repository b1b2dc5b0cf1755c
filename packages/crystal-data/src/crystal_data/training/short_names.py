"""Class names without their path: ``PropertyModule`` for ``crystal_data.training.PropertyModule``.

The names are those that the crystal packages export, read from their source files; nothing is
imported for it.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache

from crystal_data.errors import CrystalError
from crystal_data.training.allowed_paths import OWN
from crystal_data.training.source_files import Import, Module
from crystal_data.training.source_names import load_module

_PREFIXES = tuple(f"{package}." for package in OWN)


class AmbiguousNameError(CrystalError, ImportError, ValueError):
    """A class name that several packages export.

    The parser takes both kinds of error for those of a value that does not fit.
    """


def full_path(name: str) -> str:
    """The path that a class is found by.

    Args:
        name: Of a class, or of a constructor of one (``CGCNN.published``), or a path.

    Returns:
        The path of what a crystal package exports by that name; any other text as it is.

    Raises:
        AmbiguousNameError: If there are several, with all of them.
    """
    head, dot, rest = name.partition(".")
    paths = _exported().get(head, ()) if head[:1].isupper() else ()
    if len(paths) > 1:
        raise AmbiguousNameError(f"'{head}' may be {' or '.join(paths)}", "give the whole path")
    return f"{paths[0]}{dot}{rest}" if paths else name


def nearest_name(name: str) -> str | None:
    """The exported name that is spelled most alike; None if none is."""
    return next(iter(get_close_matches(name, _exported(), n=1)), None)


@cache
def _exported() -> dict[str, tuple[str, ...]]:
    """Class name to the paths of the different classes of that name."""
    paths: dict[str, dict[Import, str]] = {}
    for module in _packages():
        for name, bound in module.bindings.items():
            found = bound[0]
            if name[0].isupper() and isinstance(found, Import) and _is_own(found):
                # A package and the packages in it export many of the same classes.
                paths.setdefault(name, {}).setdefault(found, f"{module.name}.{name}")
    return {name: tuple(found.values()) for name, found in paths.items()}


def _is_own(found: Import) -> bool:
    return found.name is not None and found.module.startswith(_PREFIXES)


def _packages() -> Iterator[Module]:
    """The crystal packages that are installed, and the packages right in them."""
    for package in OWN:
        module = load_module(package)
        if not isinstance(module, Module) or module.folder is None:
            continue
        yield module
        for file in sorted(module.folder.glob("*/__init__.py")):
            below = load_module(f"{package}.{file.parent.name}")
            if isinstance(below, Module):
                yield below
