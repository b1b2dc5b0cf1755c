"""Training: the command line, callbacks and the module that fits properties."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.training.class_scores import ClassScores as ClassScores
    from crystal_data.training.classification import (
        ClassificationModule as ClassificationModule,
    )
    from crystal_data.training.cli import CrystalCLI as CrystalCLI
    from crystal_data.training.compiling import Compile as Compile
    from crystal_data.training.crystal_module import CrystalModule as CrystalModule
    from crystal_data.training.divergence import DivergedError as DivergedError
    from crystal_data.training.ema import EMA as EMA
    from crystal_data.training.freezing import Freeze as Freeze
    from crystal_data.training.hidden import HiddenElementSums as HiddenElementSums
    from crystal_data.training.hidden import hidden_elements as hidden_elements
    from crystal_data.training.masked import masked_loss as masked_loss
    from crystal_data.training.means import EpochMetric as EpochMetric
    from crystal_data.training.means import Measured as Measured
    from crystal_data.training.means import NamedMeans as NamedMeans
    from crystal_data.training.module import PropertyModule as PropertyModule
    from crystal_data.training.optimization import OptimizerPlan as OptimizerPlan
    from crystal_data.training.predictions import PredictionWriter as PredictionWriter
    from crystal_data.training.schedules import OneCycle as OneCycle
    from crystal_data.training.schedules import WarmupCosine as WarmupCosine
    from crystal_data.training.sums import Sums as Sums
    from crystal_data.training.target_errors import TargetErrors as TargetErrors
    from crystal_data.training.target_loss import UncertaintyLoss as UncertaintyLoss

# torch and lightning take seconds to import, so each part loads on first use.
_EXPORTS = {
    "ClassScores": "crystal_data.training.class_scores",
    "ClassificationModule": "crystal_data.training.classification",
    "Compile": "crystal_data.training.compiling",
    "CrystalCLI": "crystal_data.training.cli",
    "CrystalModule": "crystal_data.training.crystal_module",
    "DivergedError": "crystal_data.training.divergence",
    "EMA": "crystal_data.training.ema",
    "EpochMetric": "crystal_data.training.means",
    "Freeze": "crystal_data.training.freezing",
    "HiddenElementSums": "crystal_data.training.hidden",
    "Measured": "crystal_data.training.means",
    "NamedMeans": "crystal_data.training.means",
    "OneCycle": "crystal_data.training.schedules",
    "OptimizerPlan": "crystal_data.training.optimization",
    "PredictionWriter": "crystal_data.training.predictions",
    "PropertyModule": "crystal_data.training.module",
    "Sums": "crystal_data.training.sums",
    "TargetErrors": "crystal_data.training.target_errors",
    "UncertaintyLoss": "crystal_data.training.target_loss",
    "WarmupCosine": "crystal_data.training.schedules",
    "hidden_elements": "crystal_data.training.hidden",
    "masked_loss": "crystal_data.training.masked",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
