"""Validity, structure matching and METRe; results with their provenance; bootstrap intervals."""

from importlib import import_module
from typing import TYPE_CHECKING

from crystal_data.metrics.match_rates import Variant, match_rate, match_rate_at_k, metre
from crystal_data.metrics.matching import MatchSettings, Outcome, PairMatch, match, match_pairs
from crystal_data.metrics.result import (
    Evaluation,
    MetricResult,
    hash_crystals,
    read_results,
    write_results,
)
from crystal_data.metrics.statistics import (
    Interval,
    bootstrap_interval,
    paired_bootstrap_interval,
)
from crystal_data.metrics.validity import (
    OxidationStates,
    composition_validity,
    is_composition_valid,
    is_structure_valid,
    min_pair_distance,
    structure_validity,
)

if TYPE_CHECKING:
    from crystal_data.metrics.validity_rate import ValidityRate

__all__ = [
    "Evaluation",
    "Interval",
    "MatchSettings",
    "MetricResult",
    "Outcome",
    "OxidationStates",
    "PairMatch",
    "ValidityRate",
    "Variant",
    "bootstrap_interval",
    "composition_validity",
    "hash_crystals",
    "is_composition_valid",
    "is_structure_valid",
    "match",
    "match_pairs",
    "match_rate",
    "match_rate_at_k",
    "metre",
    "min_pair_distance",
    "paired_bootstrap_interval",
    "read_results",
    "structure_validity",
    "write_results",
]


def __getattr__(name: str) -> object:
    # torch and torchmetrics take seconds to import, and workers that match need neither.
    if name == "ValidityRate":
        return import_module("crystal_data.metrics.validity_rate").ValidityRate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
