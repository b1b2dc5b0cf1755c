"""Bootstrap intervals for means over structures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystal_data.errors import InvalidArgumentError

_CHUNK = 4_000_000  # resampled values held at once

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Interval:
    """An estimate between two bounds."""

    estimate: float
    low: float
    high: float
    confidence: float


def bootstrap_interval(
    values: ArrayLike,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    statistic: Statistic | None = None,
) -> Interval:
    """Percentile bootstrap of a statistic over structures.

    Args:
        values: One number for each structure; rows are resampled; ``[n]`` or ``[n, k]``.
        rng: Source of the draws.
        confidence: Share of resamples between the bounds.
        num_resamples: How often the rows are drawn anew.
        statistic: Maps ``[resamples, n, ...]`` to ``[resamples]``; the mean over rows if None.

    Raises:
        InvalidArgumentError: If there are no values, or one is not finite.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    rows = np.asarray(values, dtype=np.float64)
    if rows.size == 0 or not np.isfinite(rows).all():
        raise InvalidArgumentError(
            f"a bootstrap needs finite values, at least one; got {rows.size}, of which "
            f"{int((~np.isfinite(rows)).sum())} are not finite"
        )
    if not 0 < confidence < 1:
        raise InvalidArgumentError(f"confidence is {confidence}; it lies between 0 and 1")
    of = statistic or _row_mean
    step = max(1, _CHUNK // rows.size)
    resampled = np.concatenate(
        [
            of(rows[rng.integers(len(rows), size=(min(step, num_resamples - done), len(rows)))])
            for done in range(0, num_resamples, step)
        ]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(float(of(rows[None])[0]), float(low), float(high), confidence)


def paired_bootstrap_interval(
    values: ArrayLike,
    others: ArrayLike,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
) -> Interval:
    """Interval of the mean of ``values - others``, both measured on the same structures.

    Raises:
        InvalidArgumentError: If the two differ in length, are empty, or hold a value that is not
            finite.
    """
    first, second = np.asarray(values, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise InvalidArgumentError(
            f"pairs need two arrays of the same length, got shapes {first.shape} and {second.shape}"
        )
    return bootstrap_interval(
        first - second, rng=rng, confidence=confidence, num_resamples=num_resamples
    )


def _row_mean(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = rows.mean(axis=1)
    return means
