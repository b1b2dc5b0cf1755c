"""Training: the command line, artifacts, callbacks and the module that fits properties."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystal_data.training.artifact import Artifact as Artifact
    from crystal_data.training.artifact import StateReport as StateReport
    from crystal_data.training.artifact import TargetScale as TargetScale
    from crystal_data.training.artifact import load_state_report as load_state_report
    from crystal_data.training.cli import CrystalCLI as CrystalCLI
    from crystal_data.training.distributed import GlobalBatchNorm1d as GlobalBatchNorm1d
    from crystal_data.training.ema import EMA as EMA
    from crystal_data.training.masked import MaskedMAE as MaskedMAE
    from crystal_data.training.masked import masked_loss as masked_loss
    from crystal_data.training.module import PropertyModule as PropertyModule
    from crystal_data.training.predictions import PredictionWriter as PredictionWriter
    from crystal_data.training.pretrained import PretrainedModel as PretrainedModel
    from crystal_data.training.registry import ArtifactError as ArtifactError
    from crystal_data.training.registry import ModelRegistry as ModelRegistry
    from crystal_data.training.schedules import OneCycle as OneCycle
    from crystal_data.training.schedules import WarmupCosine as WarmupCosine

# torch and lightning take seconds to import, so each part loads on first use.
_EXPORTS = {
    "Artifact": "artifact",
    "ArtifactError": "registry",
    "CrystalCLI": "cli",
    "EMA": "ema",
    "GlobalBatchNorm1d": "distributed",
    "MaskedMAE": "masked",
    "ModelRegistry": "registry",
    "OneCycle": "schedules",
    "PredictionWriter": "predictions",
    "PretrainedModel": "pretrained",
    "PropertyModule": "module",
    "StateReport": "artifact",
    "TargetScale": "artifact",
    "WarmupCosine": "schedules",
    "load_state_report": "artifact",
    "masked_loss": "masked",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
