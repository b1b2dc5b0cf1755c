"""Public data sets and the user's own files; downloads."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.homes import cache_home as cache_home
    from crystal_data.homes import data_home as data_home
    from crystal_data.sources.base import CrystalSource as CrystalSource
    from crystal_data.sources.download import DownloadError as DownloadError
    from crystal_data.sources.download import RemoteFile as RemoteFile
    from crystal_data.sources.download import fetch as fetch
    from crystal_data.sources.file import FileSource as FileSource
    from crystal_data.sources.folder import FolderSource as FolderSource
    from crystal_data.sources.paths import PathsSource as PathsSource
    from crystal_data.sources.public import MP20 as MP20
    from crystal_data.sources.public import MP2018 as MP2018
    from crystal_data.sources.public import MPTS52 as MPTS52
    from crystal_data.sources.public import Carbon24 as Carbon24
    from crystal_data.sources.public import JarvisDFT3D as JarvisDFT3D
    from crystal_data.sources.public import JarvisSupercon as JarvisSupercon
    from crystal_data.sources.public import Perov5 as Perov5
    from crystal_data.sources.registry import ColumnInfo as ColumnInfo
    from crystal_data.sources.registry import DatasetInfo as DatasetInfo
    from crystal_data.sources.registry import available as available
    from crystal_data.sources.registry import describe as describe
    from crystal_data.sources.table import TableSource as TableSource

# Named here, loaded on first use: `--help` needs none of it.
_EXPORTS = {
    "Carbon24": "crystal_data.sources.public",
    "ColumnInfo": "crystal_data.sources.registry",
    "CrystalSource": "crystal_data.sources.base",
    "DatasetInfo": "crystal_data.sources.registry",
    "DownloadError": "crystal_data.sources.download",
    "FileSource": "crystal_data.sources.file",
    "FolderSource": "crystal_data.sources.folder",
    "JarvisDFT3D": "crystal_data.sources.public",
    "JarvisSupercon": "crystal_data.sources.public",
    "MP20": "crystal_data.sources.public",
    "MP2018": "crystal_data.sources.public",
    "MPTS52": "crystal_data.sources.public",
    "PathsSource": "crystal_data.sources.paths",
    "Perov5": "crystal_data.sources.public",
    "RemoteFile": "crystal_data.sources.download",
    "TableSource": "crystal_data.sources.table",
    "available": "crystal_data.sources.registry",
    "cache_home": "crystal_data.homes",
    "data_home": "crystal_data.homes",
    "describe": "crystal_data.sources.registry",
    "fetch": "crystal_data.sources.download",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
