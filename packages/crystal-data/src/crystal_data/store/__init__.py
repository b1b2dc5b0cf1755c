"""Memory-mapped columns of crystals, built once and shared by all processes."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.store.build import open_store as open_store
    from crystal_data.store.build import store_folder as store_folder
    from crystal_data.store.derived import ArrayLayout as ArrayLayout
    from crystal_data.store.derived import ColumnChunk as ColumnChunk
    from crystal_data.store.derived import ColumnValues as ColumnValues
    from crystal_data.store.derived import DerivedColumn as DerivedColumn
    from crystal_data.store.edges import EdgeColumn as EdgeColumn
    from crystal_data.store.manifest import StoreError as StoreError
    from crystal_data.store.orbits import WYCKOFF_LETTERS as WYCKOFF_LETTERS
    from crystal_data.store.orbits import OrbitColumn as OrbitColumn
    from crystal_data.store.properties import MissingColumnError as MissingColumnError
    from crystal_data.store.rejections import InvalidSourceError as InvalidSourceError
    from crystal_data.store.store import CrystalStore as CrystalStore
    from crystal_data.store.tokens import TokenColumn as TokenColumn

# A worker that parses imports this package and must not wait for torch.
_EXPORTS = {
    "ArrayLayout": "crystal_data.store.derived",
    "ColumnChunk": "crystal_data.store.derived",
    "ColumnValues": "crystal_data.store.derived",
    "CrystalStore": "crystal_data.store.store",
    "DerivedColumn": "crystal_data.store.derived",
    "EdgeColumn": "crystal_data.store.edges",
    "InvalidSourceError": "crystal_data.store.rejections",
    "MissingColumnError": "crystal_data.store.properties",
    "OrbitColumn": "crystal_data.store.orbits",
    "WYCKOFF_LETTERS": "crystal_data.store.orbits",
    "StoreError": "crystal_data.store.manifest",
    "TokenColumn": "crystal_data.store.tokens",
    "open_store": "crystal_data.store.build",
    "store_folder": "crystal_data.store.build",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
