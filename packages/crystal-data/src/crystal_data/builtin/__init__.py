"""The data set that quickstart and tests use, computed by our own code; see ``README.md`` here."""

from importlib import import_module

# The source pulls in the energy model; the command line wants names only.
_EXPORTS = {
    "PROTOTYPES": "crystal_data.builtin.prototypes",
    "BuiltinSource": "crystal_data.builtin.source",
    "ewald_energy": "crystal_data.builtin.ewald",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
