"""Training: the command line, artifacts, callbacks and the module that fits properties."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.training.artifact import Artifact as Artifact
    from crystal_data.training.artifact import TargetScale as TargetScale
    from crystal_data.training.calibration import CoverageRow as CoverageRow
    from crystal_data.training.calibration import conformal_scale as conformal_scale
    from crystal_data.training.calibration import coverage_table as coverage_table
    from crystal_data.training.cli import CrystalCLI as CrystalCLI
    from crystal_data.training.compiling import Compile as Compile
    from crystal_data.training.distributed import GlobalBatchNorm1d as GlobalBatchNorm1d
    from crystal_data.training.distributed import global_mean as global_mean
    from crystal_data.training.distributed import without_statistics as without_statistics
    from crystal_data.training.distributed import world_size as world_size
    from crystal_data.training.ema import EMA as EMA
    from crystal_data.training.ensemble import Ensemble as Ensemble
    from crystal_data.training.ensemble import is_ensemble as is_ensemble
    from crystal_data.training.ensemble import save_ensemble as save_ensemble
    from crystal_data.training.freezing import Freeze as Freeze
    from crystal_data.training.masked import MaskedMAE as MaskedMAE
    from crystal_data.training.masked import masked_loss as masked_loss
    from crystal_data.training.module import PropertyModule as PropertyModule
    from crystal_data.training.optimization import optimizer_plan as optimizer_plan
    from crystal_data.training.predictions import PredictionWriter as PredictionWriter
    from crystal_data.training.pretrained import PretrainedModel as PretrainedModel
    from crystal_data.training.registry import ArtifactError as ArtifactError
    from crystal_data.training.registry import ModelRegistry as ModelRegistry
    from crystal_data.training.schedules import OneCycle as OneCycle
    from crystal_data.training.schedules import WarmupCosine as WarmupCosine
    from crystal_data.training.serving import Served as Served
    from crystal_data.training.serving import predict_source as predict_source
    from crystal_data.training.state_report import StateReport as StateReport
    from crystal_data.training.state_report import load_state_report as load_state_report
    from crystal_data.training.target_loss import UncertaintyLoss as UncertaintyLoss

# torch and lightning take seconds to import, so each part loads on first use.
_EXPORTS = {
    "global_mean": "crystal_data.training.distributed",
    "optimizer_plan": "crystal_data.training.optimization",
    "without_statistics": "crystal_data.training.distributed",
    "world_size": "crystal_data.training.distributed",
    "Artifact": "crystal_data.training.artifact",
    "ArtifactError": "crystal_data.training.registry",
    "Compile": "crystal_data.training.compiling",
    "CoverageRow": "crystal_data.training.calibration",
    "CrystalCLI": "crystal_data.training.cli",
    "EMA": "crystal_data.training.ema",
    "Ensemble": "crystal_data.training.ensemble",
    "Freeze": "crystal_data.training.freezing",
    "GlobalBatchNorm1d": "crystal_data.training.distributed",
    "MaskedMAE": "crystal_data.training.masked",
    "ModelRegistry": "crystal_data.training.registry",
    "OneCycle": "crystal_data.training.schedules",
    "PredictionWriter": "crystal_data.training.predictions",
    "PretrainedModel": "crystal_data.training.pretrained",
    "PropertyModule": "crystal_data.training.module",
    "Served": "crystal_data.training.serving",
    "StateReport": "crystal_data.training.state_report",
    "TargetScale": "crystal_data.training.artifact",
    "UncertaintyLoss": "crystal_data.training.target_loss",
    "WarmupCosine": "crystal_data.training.schedules",
    "conformal_scale": "crystal_data.training.calibration",
    "coverage_table": "crystal_data.training.calibration",
    "is_ensemble": "crystal_data.training.ensemble",
    "load_state_report": "crystal_data.training.state_report",
    "masked_loss": "crystal_data.training.masked",
    "predict_source": "crystal_data.training.serving",
    "save_ensemble": "crystal_data.training.ensemble",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
