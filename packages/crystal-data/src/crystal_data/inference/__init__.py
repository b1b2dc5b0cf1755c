"""Predictions with trained models: one, several as an ensemble, calibrated intervals."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.inference.calibration import Calibration as Calibration
    from crystal_data.inference.calibration import CoverageRow as CoverageRow
    from crystal_data.inference.calibration import calibrate as calibrate
    from crystal_data.inference.calibration import calibrate_columns as calibrate_columns
    from crystal_data.inference.calibration import conformal_scale as conformal_scale
    from crystal_data.inference.calibration import coverage_table as coverage_table
    from crystal_data.inference.calibration import spread_floor as spread_floor
    from crystal_data.inference.ensemble import Ensemble as Ensemble
    from crystal_data.inference.ensemble import is_ensemble as is_ensemble
    from crystal_data.inference.ensemble import save_ensemble as save_ensemble
    from crystal_data.inference.predict import SourcePredictions as SourcePredictions
    from crystal_data.inference.predict import predict_source as predict_source
    from crystal_data.inference.predictions import Predictions as Predictions
    from crystal_data.inference.predictor import Predictor as Predictor
    from crystal_data.inference.shipped import ShippedModels as ShippedModels

# torch takes seconds to import, so each part loads on first use.
_EXPORTS = {
    "Calibration": "crystal_data.inference.calibration",
    "CoverageRow": "crystal_data.inference.calibration",
    "Ensemble": "crystal_data.inference.ensemble",
    "Predictions": "crystal_data.inference.predictions",
    "Predictor": "crystal_data.inference.predictor",
    "ShippedModels": "crystal_data.inference.shipped",
    "SourcePredictions": "crystal_data.inference.predict",
    "calibrate": "crystal_data.inference.calibration",
    "calibrate_columns": "crystal_data.inference.calibration",
    "conformal_scale": "crystal_data.inference.calibration",
    "coverage_table": "crystal_data.inference.calibration",
    "is_ensemble": "crystal_data.inference.ensemble",
    "predict_source": "crystal_data.inference.predict",
    "save_ensemble": "crystal_data.inference.ensemble",
    "spread_floor": "crystal_data.inference.calibration",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
