"""Whether predicted structures are the true ones, by pymatgen's StructureMatcher.

These are functions and no ``torchmetrics.Metric``: a comparison takes some 10 ms and at times
minutes, so it runs in processes of its own with a time-out for each pair, over whole prediction
files rather than inside a training step; METRe moreover needs all predictions at one place.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from math import gcd
from typing import Any, Literal

import numpy as np

from crystal_data.crystal import Crystal
from crystal_data.metrics.pool import Failure, map_with_timeout
from crystal_data.metrics.result import (
    Evaluation,
    MetricResult,
    hash_crystals,
    library_versions,
)
from crystal_data.metrics.validity import (
    OxidationStates,
    is_composition_valid,
    is_structure_valid,
)

Variant = Literal["plain", "both_valid", "prediction_valid"]
Pair = tuple[Crystal | None, Crystal]


@dataclass(frozen=True)
class MatchSettings:
    """Tolerances of the matcher and how the work is done; the defaults are the literature's.

    Args:
        stol: Greatest root-mean-square displacement, in units of (volume / atoms)^(1/3).
        angle_tol: Degrees between cell angles.
        ltol: Relative, between cell lengths.
        timeout: Seconds for one pair; a longer comparison counts as a miss, and is counted.
        num_workers: Processes; all cores if None, and 0 compares in this process, without
            time-outs.
    """

    stol: float = 0.5
    angle_tol: float = 10.0
    ltol: float = 0.3
    timeout: float = 60.0
    num_workers: int | None = None


class Outcome(StrEnum):
    """What became of one comparison."""

    MATCH = "match"
    MISS = "miss"
    NO_PREDICTION = "no_prediction"  # no crystal could be built from what was predicted
    TIMEOUT = "timeout"
    ERROR = "error"  # the matcher raised, or its process died


@dataclass(frozen=True)
class PairMatch:
    """Result of one comparison.

    Args:
        outcome: All but ``match`` count as a miss.
        rms: Root-mean-square displacement in units of (volume / atoms)^(1/3); NaN unless matched.
    """

    outcome: Outcome
    rms: float


def match(
    pred: Crystal,
    true: Crystal,
    stol: float = 0.5,
    angle_tol: float = 10.0,
    ltol: float = 0.3,
) -> float | None:
    """Compare two crystals in this process.

    Args:
        pred: Predicted structure, any cell.
        true: True structure, any cell.
        stol: Greatest root-mean-square displacement, in units of (volume / atoms)^(1/3).
        angle_tol: Degrees between cell angles.
        ltol: Relative, between cell lengths.

    Returns:
        Root-mean-square displacement in units of (volume / atoms)^(1/3), None if they do not match.
    """
    if _composition(pred) != _composition(true):
        return None
    found = _matcher(stol, angle_tol, ltol).get_rms_dist(_structure(pred), _structure(true))
    return None if found is None else float(found[0])


def match_pairs(pairs: Sequence[Pair], settings: MatchSettings = MatchSettings()) -> list[PairMatch]:
    """Compare many pairs in parallel; the result is that of a loop over `match`.

    A comparison that takes longer than ``settings.timeout`` is ended with its process, and the
    process replaced.

    Args:
        pairs: Prediction (None if none could be built) and truth.
        settings: Tolerances, time-out and number of processes.

    Returns:
        One result for each pair, in order.
    """
    results = [PairMatch(Outcome.MISS, np.nan)] * len(pairs)
    wanted = []
    for index, (pred, true) in enumerate(pairs):
        if pred is None:
            results[index] = PairMatch(Outcome.NO_PREDICTION, np.nan)
        elif _composition(pred) == _composition(true):
            wanted.append(index)
    tolerances = (settings.stol, settings.angle_tol, settings.ltol)
    arguments = [(*pairs[index], *tolerances) for index in wanted]
    answers = map_with_timeout(
        match,
        arguments,
        timeout=settings.timeout,
        num_workers=settings.num_workers,
        prepare=_import_matcher,
    )
    for index, answer in zip(wanted, answers, strict=True):
        results[index] = _pair_match(answer)
    return results


def match_rate(
    predictions: Sequence[Crystal | None],
    references: Sequence[Crystal],
    *,
    variant: Variant = "plain",
    oxidation_states: OxidationStates = "smact14",
    settings: MatchSettings = MatchSettings(),
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
        ValueError: If the two differ in length, or are empty.
    """
    samples = [[prediction] for prediction in predictions]
    return _best_of(samples, references, variant, oxidation_states, settings, seed, suffix="")


def match_rate_at_k(
    predictions: Sequence[Sequence[Crystal | None]],
    references: Sequence[Crystal],
    *,
    variant: Variant = "plain",
    oxidation_states: OxidationStates = "smact14",
    settings: MatchSettings = MatchSettings(),
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
        ValueError: If k differs between references, or lengths do.
    """
    counts = Counter(len(samples) for samples in predictions)
    if len(counts) != 1 or 0 in counts:
        raise ValueError(
            f"each reference needs the same number of predictions, got (number: references) "
            f"{dict(counts)}; fill up with None"
        )
    suffix = f"@{next(iter(counts))}"
    return _best_of(predictions, references, variant, oxidation_states, settings, seed, suffix)


def metre(
    predictions: Sequence[Crystal | None],
    references: Sequence[Crystal],
    *,
    settings: MatchSettings = MatchSettings(),
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
        ValueError: If there are no references.

    Source:
        Martirossyan et al., "All that structure matches does not glitter", arXiv 2509.12178.
    """
    if not references:
        raise ValueError("METRe needs at least one reference")
    by_composition = defaultdict(list)
    for index, prediction in enumerate(predictions):
        if prediction is not None:
            by_composition[_composition(prediction)].append(index)
    keys = [
        (row, index)
        for row, reference in enumerate(references)
        for index in by_composition[_composition(reference)]
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
    variant: Variant,
    oxidation_states: OxidationStates,
    settings: MatchSettings,
    seed: int | None,
    suffix: str,
) -> Evaluation:
    if len(predictions) != len(references) or not references:
        raise ValueError(
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
    compared = match_pairs([pair for pair, yes in zip(pairs, admitted, strict=True) if yes], settings)
    best = np.full(len(references), np.nan)
    for row, found in zip(np.array(rows)[admitted], compared, strict=True):
        best[row] = np.fmin(best[row], found.rms)
    matched = np.isfinite(best)
    flat = [sample for samples in predictions for sample in samples]
    parameters = _parameters(settings, flat, compared)
    parameters["num_invalid"] = len(pairs) - len(compared)
    if variant != "plain":
        parameters["oxidation_states"] = oxidation_states
    values = {
        f"match_rate{suffix}/{variant}": float(matched.mean()),
        f"rmse{suffix}/{variant}": _mean(best[matched]),
    }
    table = {
        "id": [reference.identifier for reference in references],
        "matched": matched.tolist(),
        "rms": best.tolist(),
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


def _pair_match(answer: float | None | Failure) -> PairMatch:
    if answer is None:
        return PairMatch(Outcome.MISS, np.nan)
    if isinstance(answer, Failure):
        return PairMatch(Outcome.TIMEOUT if answer.timed_out else Outcome.ERROR, np.nan)
    return PairMatch(Outcome.MATCH, answer)


def _is_valid(crystal: Crystal, oxidation_states: OxidationStates) -> bool:
    return is_structure_valid(crystal) and is_composition_valid(
        crystal.composition, oxidation_states
    )


def _composition(crystal: Crystal) -> tuple[tuple[int, int], ...]:
    numbers, counts = np.unique(crystal.atomic_numbers, return_counts=True)
    factor = gcd(*counts.tolist())
    return tuple(zip(numbers.tolist(), (counts // factor).tolist(), strict=True))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _import_matcher() -> None:
    _matcher(0.5, 10.0, 0.3)


def _structure(crystal: Crystal) -> Any:
    from pymatgen.core import Structure

    return Structure(crystal.lattice, crystal.species, crystal.frac_coords)


@lru_cache(maxsize=8)
def _matcher(stol: float, angle_tol: float, ltol: float) -> Any:
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher(stol=stol, angle_tol=angle_tol, ltol=ltol)
