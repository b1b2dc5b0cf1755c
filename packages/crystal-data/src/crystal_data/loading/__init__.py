"""From stores to batches: sampler, data set, data module."""

from importlib import import_module

# Lightning takes seconds to import, so each part loads on first use.
_EXPORTS = {
    "BatchRequest": "crystal_data.loading.sampler",
    "CrystalDataModule": "crystal_data.loading.datamodule",
    "CrystalDataset": "crystal_data.loading.dataset",
    "CrystalSampler": "crystal_data.loading.sampler",
    "EvaluationSet": "crystal_data.loading.exclusion",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
