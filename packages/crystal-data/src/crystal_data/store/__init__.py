"""Memory-mapped columns of crystals, built once and shared by all processes."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.store.build import open_store as open_store
    from crystal_data.store.build import store_folder as store_folder
    from crystal_data.store.manifest import StoreError as StoreError
    from crystal_data.store.properties import MissingColumnError as MissingColumnError
    from crystal_data.store.rejections import InvalidSourceError as InvalidSourceError
    from crystal_data.store.store import CrystalStore as CrystalStore

# A worker that parses imports this package and must not wait for torch.
_EXPORTS = {
    "CrystalStore": "crystal_data.store.store",
    "InvalidSourceError": "crystal_data.store.rejections",
    "MissingColumnError": "crystal_data.store.properties",
    "StoreError": "crystal_data.store.manifest",
    "open_store": "crystal_data.store.build",
    "store_folder": "crystal_data.store.build",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
