"""Memory-mapped columns of crystals, built once and shared by all processes."""

from importlib import import_module

# A worker that parses imports this package and must not wait for torch.
_EXPORTS = {
    "CrystalStore": "crystal_data.store.store",
    "InvalidSourceError": "crystal_data.store.build",
    "MissingColumnError": "crystal_data.store.properties",
    "StoreError": "crystal_data.store.manifest",
    "open_store": "crystal_data.store.build",
    "store_folder": "crystal_data.store.build",
    "write_store": "crystal_data.store.crystals",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
