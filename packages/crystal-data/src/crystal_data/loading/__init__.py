"""From stores to batches: sampler, data set, data module."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.loading.collate import Collator as Collator
    from crystal_data.loading.collate import OrbitBatch as OrbitBatch
    from crystal_data.loading.collate import OrbitCollator as OrbitCollator
    from crystal_data.loading.collate import RowBatch as RowBatch
    from crystal_data.loading.collate import TokenBatch as TokenBatch
    from crystal_data.loading.collate import TokenCollator as TokenCollator
    from crystal_data.loading.collate import orbit_batch as orbit_batch
    from crystal_data.loading.datamodule import CrystalDataModule as CrystalDataModule
    from crystal_data.loading.dataset import CrystalDataset as CrystalDataset
    from crystal_data.loading.domain import beyond_training as beyond_training
    from crystal_data.loading.domain import rejected_elements as rejected_elements
    from crystal_data.loading.domain import unsupported as unsupported
    from crystal_data.loading.groups import RowGroups as RowGroups
    from crystal_data.loading.needs import BatchNeeds as BatchNeeds
    from crystal_data.loading.packing import Bound as Bound
    from crystal_data.loading.sampler import BatchRequest as BatchRequest
    from crystal_data.loading.sampler import CrystalSampler as CrystalSampler

# Lightning takes seconds to import, so each part loads on first use.
_EXPORTS = {
    "BatchNeeds": "crystal_data.loading.needs",
    "BatchRequest": "crystal_data.loading.sampler",
    "Bound": "crystal_data.loading.packing",
    "Collator": "crystal_data.loading.collate",
    "CrystalDataModule": "crystal_data.loading.datamodule",
    "CrystalDataset": "crystal_data.loading.dataset",
    "CrystalSampler": "crystal_data.loading.sampler",
    "OrbitBatch": "crystal_data.loading.collate",
    "orbit_batch": "crystal_data.loading.collate",
    "OrbitCollator": "crystal_data.loading.collate",
    "RowBatch": "crystal_data.loading.collate",
    "RowGroups": "crystal_data.loading.groups",
    "TokenBatch": "crystal_data.loading.collate",
    "TokenCollator": "crystal_data.loading.collate",
    "beyond_training": "crystal_data.loading.domain",
    "rejected_elements": "crystal_data.loading.domain",
    "unsupported": "crystal_data.loading.domain",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
