"""Crystals, data sets, graphs, batches, symmetry and metrics for machine learning."""

from importlib import import_module

# Heavy parts load on first use, so that `crystal-data --help` stays quick.
_EXPORTS = {
    "Crystal": "crystal_data.crystal",
    "CrystalBatch": "crystal_data.graphs.batch",
    "GraphSpec": "crystal_data.graphs.spec",
    "InvalidCrystalError": "crystal_data.errors",
    "Reason": "crystal_data.errors",
    "Rejection": "crystal_data.errors",
    "Trajectory": "crystal_data.crystal",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
