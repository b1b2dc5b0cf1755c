"""Whether predicted structures are the true ones, as pymatgen's StructureMatcher decides it.

These are functions and no ``torchmetrics.Metric``: a comparison takes some 3 ms and at times
minutes, so it runs in processes of its own with a time-out for each pair, over whole prediction
files rather than inside a training step; METRe moreover needs all predictions at one place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from math import gcd
from typing import Any

import numpy as np

from crystal_data.crystal import Crystal
from crystal_data.metrics.displacement import smallest_displacement
from crystal_data.metrics.pool import Failure, map_with_timeout
from crystal_data.metrics.reduced import reduced_cell

Pair = tuple[Crystal | None, Crystal]

# Enough that sending them costs little, few enough that one without an end costs little again.
_PAIRS_PER_CALL = 8


@dataclass(frozen=True)
class MatchSettings:
    """Tolerances of the matcher and how the work is done; the defaults are the literature's.

    Args:
        stol: Greatest root-mean-square displacement, in units of (volume / atoms)^(1/3).
        angle_tol: Degrees between cell angles.
        ltol: Relative, between cell lengths.
        timeout: Seconds for one pair; a longer comparison counts as a miss, and is counted.
        num_workers: Processes; None takes as many as cores and pairs make worthwhile, 0 compares in
            this process, without time-outs.
    """

    stol: float = 0.5
    angle_tol: float = 10.0
    ltol: float = 0.3
    timeout: float = 60.0
    num_workers: int | None = None


DEFAULT_SETTINGS = MatchSettings()


class Outcome(StrEnum):
    """What became of one comparison."""

    MATCH = "match"
    MISS = "miss"
    NO_PREDICTION = "no_prediction"  # no crystal could be built from what was predicted
    INVALID = "invalid"  # a filter does not let it take part
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
    """What ``StructureMatcher.get_rms_dist`` finds for two crystals, computed in this process.

    Args:
        pred: Predicted structure, any cell.
        true: True structure, any cell.
        stol: Greatest root-mean-square displacement, in units of (volume / atoms)^(1/3).
        angle_tol: Degrees between cell angles.
        ltol: Relative, between cell lengths.

    Returns:
        Root-mean-square displacement in units of (volume / atoms)^(1/3), None if they do not match.
    """
    if reduced_composition(pred) != reduced_composition(true):
        return None
    return smallest_displacement(reduced_cell(pred), reduced_cell(true), stol, angle_tol, ltol)


def match_pairs(
    pairs: Sequence[Pair],
    settings: MatchSettings = DEFAULT_SETTINGS,
    advance: Callable[[int], None] | None = None,
) -> list[PairMatch]:
    """Compare many pairs in parallel; the result is that of a loop over `match`.

    A comparison that takes longer than ``settings.timeout`` is ended with its process, and the
    process replaced.

    Args:
        pairs: Prediction (None if none could be built) and truth.
        settings: Tolerances, time-out and number of processes.
        advance: Receives the number of pairs that are newly done.

    Returns:
        One result for each pair, in order.
    """
    results = [PairMatch(Outcome.MISS, np.nan)] * len(pairs)
    wanted = []
    for index, (pred, true) in enumerate(pairs):
        if pred is None:
            results[index] = PairMatch(Outcome.NO_PREDICTION, np.nan)
        elif reduced_composition(pred) == reduced_composition(true):
            wanted.append(index)
    report = advance or (lambda _: None)
    report(len(pairs) - len(wanted))
    compare = partial(
        map_with_timeout,
        _displacements,
        timeout=settings.timeout,
        num_workers=settings.num_workers,
        prepare=import_matcher,
    )

    def arguments(call: Sequence[int]) -> tuple[Any, ...]:
        return [pairs[index] for index in call], settings

    size = _PAIRS_PER_CALL
    calls = [wanted[start : start + size] for start in range(0, len(wanted), size)]
    answers = compare(
        [arguments(call) for call in calls], on_done=lambda place: report(len(calls[place]))
    )
    again: list[int] = []
    for call, answer in zip(calls, answers, strict=True):
        if isinstance(answer, Failure):
            again += call  # one pair must not decide for the others
        else:
            for index, rms in zip(call, answer, strict=True):
                results[index] = _pair_match(rms)
    answers = compare([arguments([index]) for index in again])
    for index, answer in zip(again, answers, strict=True):
        results[index] = _pair_match(answer if isinstance(answer, Failure) else answer[0])
    return results


def _displacements(pairs: Sequence[Pair], settings: MatchSettings) -> list[float | None]:
    """Of pairs of one composition each."""
    tolerances = (settings.stol, settings.angle_tol, settings.ltol)
    return [
        smallest_displacement(reduced_cell(pred), reduced_cell(true), *tolerances)
        for pred, true in pairs
        if pred is not None
    ]


def reduced_composition(crystal: Crystal) -> tuple[tuple[int, int], ...]:
    """Atomic numbers with their counts, divided by the common factor."""
    numbers, counts = np.unique(crystal.atomic_numbers, return_counts=True)
    factor = gcd(*counts.tolist())
    return tuple(zip(numbers.tolist(), (counts // factor).tolist(), strict=True))


def _pair_match(answer: float | Failure | None) -> PairMatch:
    if answer is None:
        return PairMatch(Outcome.MISS, np.nan)
    if isinstance(answer, Failure):
        return PairMatch(Outcome.TIMEOUT if answer.timed_out else Outcome.ERROR, np.nan)
    return PairMatch(Outcome.MATCH, answer)


def import_matcher() -> None:
    """Loads what a comparison needs, before its time is taken."""
    from pymatgen.core.lattice import Lattice  # noqa: F401
