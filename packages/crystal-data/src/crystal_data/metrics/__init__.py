"""Validity, structure matching and METRe; results with their provenance; intervals."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.metrics.match_rates import Comparison as Comparison
    from crystal_data.metrics.match_rates import Filter as Filter
    from crystal_data.metrics.match_rates import compare as compare
    from crystal_data.metrics.match_rates import match_rate as match_rate
    from crystal_data.metrics.match_rates import match_rate_at_k as match_rate_at_k
    from crystal_data.metrics.match_rates import metre as metre
    from crystal_data.metrics.matching import MatchSettings as MatchSettings
    from crystal_data.metrics.matching import Outcome as Outcome
    from crystal_data.metrics.matching import PairMatch as PairMatch
    from crystal_data.metrics.matching import match as match
    from crystal_data.metrics.matching import match_pairs as match_pairs
    from crystal_data.metrics.result import Evaluation as Evaluation
    from crystal_data.metrics.result import MetricResult as MetricResult
    from crystal_data.metrics.result import hash_crystals as hash_crystals
    from crystal_data.metrics.result import read_results as read_results
    from crystal_data.metrics.result import write_results as write_results
    from crystal_data.metrics.statistics import MIN_SEEDS as MIN_SEEDS
    from crystal_data.metrics.statistics import Interval as Interval
    from crystal_data.metrics.statistics import SeedInterval as SeedInterval
    from crystal_data.metrics.statistics import bootstrap_interval as bootstrap_interval
    from crystal_data.metrics.statistics import (
        paired_bootstrap_interval as paired_bootstrap_interval,
    )
    from crystal_data.metrics.statistics import seed_gain_interval as seed_gain_interval
    from crystal_data.metrics.statistics import seed_interval as seed_interval
    from crystal_data.metrics.validity import OxidationStates as OxidationStates
    from crystal_data.metrics.validity import composition_validity as composition_validity
    from crystal_data.metrics.validity import is_composition_valid as is_composition_valid
    from crystal_data.metrics.validity import is_structure_valid as is_structure_valid
    from crystal_data.metrics.validity import min_pair_distance as min_pair_distance
    from crystal_data.metrics.validity import structure_validity as structure_validity
    from crystal_data.metrics.validity_rate import ValidityRate as ValidityRate

# Matching waits for pymatgen, ValidityRate for torchmetrics.
_EXPORTS = {
    "Comparison": "crystal_data.metrics.match_rates",
    "Evaluation": "crystal_data.metrics.result",
    "Filter": "crystal_data.metrics.match_rates",
    "Interval": "crystal_data.metrics.statistics",
    "MIN_SEEDS": "crystal_data.metrics.statistics",
    "MatchSettings": "crystal_data.metrics.matching",
    "MetricResult": "crystal_data.metrics.result",
    "Outcome": "crystal_data.metrics.matching",
    "OxidationStates": "crystal_data.metrics.validity",
    "PairMatch": "crystal_data.metrics.matching",
    "SeedInterval": "crystal_data.metrics.statistics",
    "ValidityRate": "crystal_data.metrics.validity_rate",
    "bootstrap_interval": "crystal_data.metrics.statistics",
    "compare": "crystal_data.metrics.match_rates",
    "composition_validity": "crystal_data.metrics.validity",
    "hash_crystals": "crystal_data.metrics.result",
    "is_composition_valid": "crystal_data.metrics.validity",
    "is_structure_valid": "crystal_data.metrics.validity",
    "match": "crystal_data.metrics.matching",
    "match_pairs": "crystal_data.metrics.matching",
    "match_rate": "crystal_data.metrics.match_rates",
    "match_rate_at_k": "crystal_data.metrics.match_rates",
    "metre": "crystal_data.metrics.match_rates",
    "min_pair_distance": "crystal_data.metrics.validity",
    "paired_bootstrap_interval": "crystal_data.metrics.statistics",
    "read_results": "crystal_data.metrics.result",
    "seed_gain_interval": "crystal_data.metrics.statistics",
    "seed_interval": "crystal_data.metrics.statistics",
    "structure_validity": "crystal_data.metrics.validity",
    "write_results": "crystal_data.metrics.result",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
