"""From stores to batches: sampler, data set, data module."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
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
    "CrystalDataModule": "crystal_data.loading.datamodule",
    "CrystalDataset": "crystal_data.loading.dataset",
    "CrystalSampler": "crystal_data.loading.sampler",
    "RowGroups": "crystal_data.loading.groups",
    "beyond_training": "crystal_data.loading.domain",
    "rejected_elements": "crystal_data.loading.domain",
    "unsupported": "crystal_data.loading.domain",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
