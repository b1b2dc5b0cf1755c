"""Package roots whose heavy parts load on first use, so that a command's ``--help`` stays quick."""

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_exports(
    package: str, exports: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Makes ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    Args:
        package: The package's ``__name__``, for the error about a name that is not there.
        exports: Public name to the module that defines it. The same imports stand under
            ``if TYPE_CHECKING`` in the package, for type checkers.
    """

    def load(name: str) -> object:
        if name in exports:
            return getattr(import_module(exports[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    names = sorted(exports)
    return load, lambda: names, names
