"""Public data sets and the user's own files; downloads, splits and the guard against leakage."""

from importlib import import_module

# Named here, loaded on first use: `--help` needs none of it.
_EXPORTS = {
    "Carbon24": "crystal_data.sources.public",
    "ColumnInfo": "crystal_data.sources.registry",
    "ColumnSplit": "crystal_data.sources.split",
    "CrystalSet": "crystal_data.sources.exclude",
    "CrystalSource": "crystal_data.sources.base",
    "DatasetInfo": "crystal_data.sources.registry",
    "DownloadError": "crystal_data.sources.download",
    "ExclusionReport": "crystal_data.sources.exclude",
    "FolderSource": "crystal_data.sources.folder",
    "IdSplit": "crystal_data.sources.split",
    "JarvisDFT3D": "crystal_data.sources.public",
    "JarvisSupercon": "crystal_data.sources.public",
    "Leak": "crystal_data.sources.exclude",
    "MP20": "crystal_data.sources.public",
    "MP2018": "crystal_data.sources.public",
    "MPTS52": "crystal_data.sources.public",
    "MatcherOptions": "crystal_data.sources.matching",
    "Perov5": "crystal_data.sources.public",
    "RatioSplit": "crystal_data.sources.split",
    "Record": "crystal_data.sources.record",
    "RemoteFile": "crystal_data.sources.download",
    "Splitter": "crystal_data.sources.split",
    "TableSource": "crystal_data.sources.table",
    "available": "crystal_data.sources.registry",
    "cache_home": "crystal_data.sources.homes",
    "data_home": "crystal_data.sources.homes",
    "describe": "crystal_data.sources.registry",
    "excluded_rows": "crystal_data.sources.exclude",
    "fetch": "crystal_data.sources.download",
    "find_leaks": "crystal_data.sources.exclude",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
