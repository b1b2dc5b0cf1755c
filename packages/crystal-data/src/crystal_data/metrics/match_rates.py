"""Match rate and RMSE as the literature computes them, METRe and cRMSE."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import compress
from typing import Any, Literal

import numpy as np

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

Variant = Literal["plain", "both_valid", "prediction_valid"]


def match_rate(
    predictions: Sequence[Crystal | None],
    references: Sequence[Crystal],
    *,
    variant: Variant = "plain",
    oxidation_states: OxidationStates = "smact14",
    settings: MatchSettings = DEFAULT_SETTINGS,
    seed: int | None = None,
) -> Evaluation:
    """Match rate and RMSE with one prediction for each reference.

    Metrics are ``match_rate/<variant>`` (matches over all references) and ``rmse/<variant>`` (mean
    over matches, NaN without any). Variants differ in who may match:

    - ``plain``: everyone.
    - ``both_valid``: prediction and reference must be valid, in structure and composition, as
      DiffCSP (arXiv 2309.04475) scores single samples. References that fail cap the rate.
    - ``prediction_valid``: only the prediction must be, as CDVAE (arXiv 2110.06197) does, and
      DiffCSP with several samples.

    The published code also drops what CrystalNN cannot fingerprint, which is not done here.

    Args:
        predictions: One for each reference; None if none could be built.
        references: The true structures.
        variant: Who may match; part of the metric's name.
        oxidation_states: Table for the composition check, unused by ``plain``.
        settings: Tolerances, time-out and number of processes.
        seed: Of the sampling, for the record.

    Raises:
        InvalidArgumentError: If the two differ in length, or are empty.
    """
    samples = [[prediction] for prediction in predictions]
    return _best_of(
        samples,
        references,
        variant=variant,
        oxidation_states=oxidation_states,
        settings=settings,
        seed=seed,
        suffix="",
    )


def match_rate_at_k(
    predictions: Sequence[Sequence[Crystal | None]],
    references: Sequence[Crystal],
    *,
    variant: Variant = "plain",
    oxidation_states: OxidationStates = "smact14",
    settings: MatchSettings = DEFAULT_SETTINGS,
    seed: int | None = None,
) -> Evaluation:
    """Match rate and RMSE with the best of k predictions for each reference.

    Metrics are ``match_rate@k/<variant>`` and ``rmse@k/<variant>``; otherwise as `match_rate`.
    DiffCSP's with k = 20 is the variant ``prediction_valid``.

    Args:
        predictions: The same number k ≥ 1 for each reference.
        references: The true structures.
        variant: Who may match; part of the metric's name.
        oxidation_states: Table for the composition check, unused by ``plain``.
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
    return _best_of(
        predictions,
        references,
        variant=variant,
        oxidation_states=oxidation_states,
        settings=settings,
        seed=seed,
        suffix=f"@{next(iter(counts))}",
    )


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


def _best_of(
    predictions: Sequence[Sequence[Crystal | None]],
    references: Sequence[Crystal],
    *,
    variant: Variant,
    oxidation_states: OxidationStates,
    settings: MatchSettings,
    seed: int | None,
    suffix: str,
) -> Evaluation:
    if len(predictions) != len(references) or not references:
        raise InvalidArgumentError(
            f"{len(predictions)} predictions for {len(references)} references; each reference "
            "needs its own, in the same order (None where none could be built)"
        )
    pairs: list[Pair] = []
    rows, admitted = [], []
    for row, (samples, reference) in enumerate(zip(predictions, references, strict=True)):
        reference_counts = variant != "both_valid" or _is_valid(reference, oxidation_states)
        for sample in samples:
            rows.append(row)
            pairs.append((sample, reference))
            valid = variant == "plain" or sample is None or _is_valid(sample, oxidation_states)
            admitted.append(reference_counts and valid)
    compared = iter(match_pairs(list(compress(pairs, admitted)), settings))
    excluded = PairMatch(Outcome.INVALID, float("nan"))
    matches = [next(compared) if takes_part else excluded for takes_part in admitted]
    best = np.full(len(references), np.nan)
    outcomes: list[set[Outcome]] = [set() for _ in references]
    for row, found in zip(rows, matches, strict=True):
        best[row] = np.fmin(best[row], found.rms)
        outcomes[row].add(found.outcome)
    matched = np.isfinite(best)
    flat = [sample for samples in predictions for sample in samples]
    parameters = _parameters(settings, flat, matches)
    if variant != "plain":
        parameters |= {
            "min_distance": MIN_DISTANCE,
            "min_volume": MIN_VOLUME,
            "oxidation_states": oxidation_states,
            "max_combinations": MAX_COMBINATIONS,
        }
    values = {
        f"match_rate{suffix}/{variant}": float(matched.mean()),
        f"rmse{suffix}/{variant}": _mean(best[matched]),
    }
    table = {
        "id": [reference.identifier for reference in references],
        "matched": matched.tolist(),
        "rms": best.tolist(),
        "outcome": ["+".join(sorted(kinds)) for kinds in outcomes],
    }
    return _evaluation(values, parameters, references, seed, table)


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
