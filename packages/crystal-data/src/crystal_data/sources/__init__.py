"""Public data sets and the user's own files; downloads, splits and the guard against leakage."""

from importlib import import_module

# Named here, loaded on first use: `--help` needs none of it.
_EXPORTS = {
    "MP20": "crystal_data.sources.public",
    "MP2018": "crystal_data.sources.public",
    "MPTS52": "crystal_data.sources.public",
    "Carbon24": "crystal_data.sources.public",
    "CrystalSource": "crystal_data.sources.base",
    "DatasetInfo": "crystal_data.sources.registry",
    "DownloadError": "crystal_data.sources.download",
    "JarvisDFT3D": "crystal_data.sources.public",
    "JarvisSupercon": "crystal_data.sources.public",
    "Perov5": "crystal_data.sources.public",
    "Record": "crystal_data.sources.record",
    "TableSource": "crystal_data.sources.table",
    "available": "crystal_data.sources.registry",
    "cache_home": "crystal_data.sources.homes",
    "data_home": "crystal_data.sources.homes",
    "describe": "crystal_data.sources.registry",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
