"""Match rate and RMSE as the literature computes them, METRe and cRMSE."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.io.options import MIN_DISTANCE
from crystal_data.metrics.matching import (
    DEFAULT_SETTINGS,
    MatchSettings,
    Outcome,
    Pair,
    PairMatch,
    match_pairs,
    reduced_composition,
)
from crystal_data.metrics.result import (
    Evaluation,
    MetricResult,
    hash_crystals,
)
from crystal_data.metrics.validity import (
    MAX_COMBINATIONS,
    MIN_VOLUME,
    OxidationStates,
    is_composition_valid,
    is_structure_valid,
)
from crystal_data.versions import library_versions

Filter = Literal["none", "prediction", "both"]


def match_rate(
    predictions: Sequence[Crystal | None],
    references: Sequence[Crystal],
    *,
    filter_by: Filter = "none",
    oxidation_states: OxidationStates = "smact14",
    settings: MatchSettings = DEFAULT_SETTINGS,
    seed: int | None = None,
) -> Evaluation:
    """Match rate and RMSE with one prediction for each reference.

    Metrics are ``match_rate/<filter>`` (matches over all references) and ``rmse/<filter>`` (mean
    over matches, NaN without any). Filters differ in who may match:

    - ``none``: everyone.
    - ``prediction``: the prediction must be valid, in structure and composition, as CDVAE
      (arXiv 2110.06197) asks, and DiffCSP (arXiv 2309.04475) with several samples.
    - ``both``: the reference must be valid too, as DiffCSP scores single samples. References that
      fail cap the rate.

    The published code also drops what CrystalNN cannot fingerprint, which is not done here.

    Args:
        predictions: One for each reference; None if none could be built.
        references: The true structures.
        filter_by: Who may match; part of the metric's name.
        oxidation_states: Table for the composition check, unused by ``none``.
        settings: Tolerances, time-out and number of processes.
        seed: Of the sampling, for the record.

    Raises:
        InvalidArgumentError: If the two differ in length, or are empty.
    """
    samples = [[prediction] for prediction in predictions]
    comparison = compare(samples, references, oxidation_states=oxidation_states, settings=settings)
    return _best_of(comparison, filter_by, seed, suffix="")


def match_rate_at_k(
    predictions: Sequence[Sequence[Crystal | None]],
    references: Sequence[Crystal],
    *,
    filter_by: Filter = "none",
    oxidation_states: OxidationStates = "smact14",
    settings: MatchSettings = DEFAULT_SETTINGS,
    seed: int | None = None,
) -> Evaluation:
    """Match rate and RMSE with the best of k predictions for each reference.

    Metrics are ``match_rate@k/<filter>`` and ``rmse@k/<filter>``; otherwise as `match_rate`.
    DiffCSP's with k = 20 has the filter ``prediction``.

    Args:
        predictions: The same number k ≥ 1 for each reference.
        references: The true structures.
        filter_by: Who may match; part of the metric's name.
        oxidation_states: Table for the composition check, unused by ``none``.
        settings: Tolerances, time-out and number of processes.
        seed: Of the sampling, for the record.

    Raises:
        InvalidArgumentError: If k differs between references, or lengths do.
    """
    counts = Counter(len(samples) for samples in predictions)
    if len(counts) != 1 or 0 in counts:
        raise InvalidArgumentError(
            f"each reference needs the same number of predictions, got (number: references) "
            f"{dict(counts)}",
            "fill up with None",
        )
    comparison = compare(
        predictions, references, oxidation_states=oxidation_states, settings=settings
    )
    return _best_of(comparison, filter_by, seed, suffix=f"@{next(iter(counts))}")


def metre(
    predictions: Sequence[Crystal | None],
    references: Sequence[Crystal],
    *,
    settings: MatchSettings = DEFAULT_SETTINGS,
    seed: int | None = None,
) -> Evaluation:
    """METRe and cRMSE: each reference is compared with every prediction.

    - ``metre``: share of references that at least one prediction matches.
    - ``rmse/metre``: mean over matched references of their smallest displacement.
    - ``crmse``: the same mean over all references, where one without a match counts as ``stol``.

    Only predictions of a reference's own reduced formula are compared, the others cannot match.
    With many polymorphs of one formula the number of pairs is quadratic.

    Args:
        predictions: Any number, in any order; None if none could be built.
        references: The true structures.
        settings: Tolerances, time-out and number of processes.
        seed: Of the sampling, for the record.

    Raises:
        InvalidArgumentError: If there are no references.

    Source:
        Martirossyan et al., "All that structure matches does not glitter", arXiv 2509.12178.
    """
    if not references:
        raise InvalidArgumentError("METRe needs at least one reference")
    by_composition = defaultdict(list)
    for index, prediction in enumerate(predictions):
        if prediction is not None:
            by_composition[reduced_composition(prediction)].append(index)
    keys = [
        (row, index)
        for row, reference in enumerate(references)
        for index in by_composition[reduced_composition(reference)]
    ]
    matches = match_pairs([(predictions[i], references[row]) for row, i in keys], settings)
    best = np.full(len(references), np.nan)
    nearest = [-1] * len(references)
    for (row, index), found in zip(keys, matches, strict=True):
        if found.outcome is Outcome.MATCH and not found.rms >= best[row]:
            best[row], nearest[row] = found.rms, index
    matched = np.isfinite(best)
    parameters = _parameters(settings, predictions, matches)
    parameters["num_predictions"] = len(predictions)
    values = {
        "metre": float(matched.mean()),
        "rmse/metre": _mean(best[matched]),
        "crmse": float(np.where(matched, best, settings.stol).mean()),
    }
    table = {
        "id": [reference.identifier for reference in references],
        "matched": matched.tolist(),
        "rms": best.tolist(),
        "prediction": nearest,
    }
    return _evaluation(values, parameters, references, seed, table)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Each sample compared with its reference, once for every filter and number of samples.

    Args:
        predictions: Samples of each reference, the best first; None where none could be built.
        references: The true structures.
        matches: Of each sample with its reference.
        settings: Tolerances that were used.
        oxidation_states: Table for the composition check.
    """

    predictions: Sequence[Sequence[Crystal | None]]
    references: Sequence[Crystal]
    matches: Sequence[Sequence[PairMatch]]
    settings: MatchSettings
    oxidation_states: OxidationStates

    def admitted(self, filter_by: Filter) -> list[list[bool]]:
        """Whether a filter lets each sample take part."""
        if filter_by == "none":
            return [[True] * len(samples) for samples in self.predictions]
        if filter_by == "prediction":
            return self._are_valid
        valid = [_is_valid(reference, self.oxidation_states) for reference in self.references]
        return [
            [own and each for each in samples]
            for own, samples in zip(valid, self._are_valid, strict=True)
        ]

    def outcomes(self, filter_by: Filter, k: int | None = None) -> list[list[PairMatch]]:
        """Matches of the first k samples; ``invalid`` where the filter does not let them match."""
        return [
            [found if fits else _EXCLUDED for found, fits in zip(row, admitted, strict=True)][:k]
            for row, admitted in zip(self.matches, self.admitted(filter_by), strict=True)
        ]

    @cached_property
    def _are_valid(self) -> list[list[bool]]:
        # What does not exist has its own outcome.
        return [
            [each is None or _is_valid(each, self.oxidation_states) for each in samples]
            for samples in self.predictions
        ]


_EXCLUDED = PairMatch(Outcome.INVALID, float("nan"))


def compare(
    predictions: Sequence[Sequence[Crystal | None]],
    references: Sequence[Crystal],
    *,
    oxidation_states: OxidationStates = "smact14",
    settings: MatchSettings = DEFAULT_SETTINGS,
    advance: Callable[[int], None] | None = None,
) -> Comparison:
    """Compare any number of samples of each reference with it.

    Args:
        predictions: Samples of each reference, the best first; None where none could be built.
        references: The true structures.
        oxidation_states: Table for the composition check of the filters.
        settings: Tolerances, time-out and number of processes.
        advance: Receives the number of pairs that are newly done.

    Raises:
        InvalidArgumentError: If the two differ in length, or are empty.
    """
    if len(predictions) != len(references) or not references:
        raise InvalidArgumentError(
            f"{len(predictions)} predictions for {len(references)} references; each reference "
            "needs its own, in the same order (None where none could be built)"
        )
    pairs: list[Pair] = [
        (sample, reference)
        for samples, reference in zip(predictions, references, strict=True)
        for sample in samples
    ]
    found = iter(match_pairs(pairs, settings, advance))
    matches = [list(islice(found, len(samples))) for samples in predictions]
    return Comparison(predictions, references, matches, settings, oxidation_states)


def smallest_rms(matches: Sequence[Sequence[PairMatch]]) -> NDArray[np.float64]:
    """Of the matches of each reference; NaN for one without any; ``[num_references]``."""
    best = [[each.rms for each in row if each.outcome is Outcome.MATCH] for row in matches]
    return np.array([min(row, default=np.nan) for row in best], dtype=np.float64)


def _best_of(
    comparison: Comparison, filter_by: Filter, seed: int | None, suffix: str
) -> Evaluation:
    matches = comparison.outcomes(filter_by)
    best = smallest_rms(matches)
    matched = np.isfinite(best)
    flat = [sample for samples in comparison.predictions for sample in samples]
    parameters = _parameters(comparison.settings, flat, [each for row in matches for each in row])
    if filter_by != "none":
        parameters |= {
            "min_distance": MIN_DISTANCE,
            "min_volume": MIN_VOLUME,
            "oxidation_states": comparison.oxidation_states,
            "max_combinations": MAX_COMBINATIONS,
        }
    values = {
        f"match_rate{suffix}/{filter_by}": float(matched.mean()),
        f"rmse{suffix}/{filter_by}": _mean(best[matched]),
    }
    table = {
        "id": [reference.identifier for reference in comparison.references],
        "matched": matched.tolist(),
        "rms": best.tolist(),
        "outcome": ["+".join(sorted({each.outcome for each in row})) for row in matches],
    }
    return _evaluation(values, parameters, comparison.references, seed, table)


def _evaluation(
    values: dict[str, float],
    parameters: dict[str, Any],
    references: Sequence[Crystal],
    seed: int | None,
    table: dict[str, list[Any]],
) -> Evaluation:
    versions, data_hash = library_versions(), hash_crystals(references)
    results = [
        MetricResult(name, value, parameters, versions, data_hash, len(references), seed)
        for name, value in values.items()
    ]
    return Evaluation(tuple(results), table)


def _parameters(
    settings: MatchSettings, predictions: Iterable[Crystal | None], matches: Sequence[PairMatch]
) -> dict[str, Any]:
    outcomes = Counter(found.outcome for found in matches)
    tolerances = {k: v for k, v in asdict(settings).items() if k != "num_workers"}
    counts = {f"num_{outcome.value}": outcomes[outcome] for outcome in Outcome}
    return {**tolerances, "predictions_hash": hash_crystals(predictions), **counts}


def _is_valid(crystal: Crystal, oxidation_states: OxidationStates) -> bool:
    return is_structure_valid(crystal) and is_composition_valid(
        crystal.composition, oxidation_states
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
