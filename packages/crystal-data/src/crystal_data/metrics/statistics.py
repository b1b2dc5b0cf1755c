"""Intervals of means: over seeds and structures, or over the structures of given predictions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystal_data.errors import InvalidArgumentError

MIN_SEEDS = 3  # with fewer, a spread between seeds says next to nothing
_CHUNK = 4_000_000  # resampled values held at once


@dataclass(frozen=True)
class Interval:
    """An estimate between two bounds."""

    estimate: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class SeedInterval:
    """A mean over seeds and rows, and the interval around it.

    Args:
        estimate: The mean.
        low: Lower bound; None below three seeds.
        high: Upper bound; None below three seeds.
        seed_error: Standard error due to training: other seeds; None for one seed.
        row_error: Standard error due to the sample of rows; None if there is one row or none.
    """

    estimate: float
    low: float | None
    high: float | None
    seed_error: float | None
    row_error: float | None


def seed_interval(values: ArrayLike, *, confidence: float = 0.95) -> SeedInterval:
    """Interval of a mean over seeds, for other seeds and other rows than those measured.

    The half width is ``sqrt(t² · seed_error² + u² · row_error²)``. ``seed_error`` is the standard
    deviation of the seeds' means over the root of their number, ``t`` the quantile of Student's t
    with ``num_seeds - 1`` degrees of freedom. ``row_error`` is the standard error of the mean over
    rows, each row with its values of all seeds: what a bootstrap over rows estimates, here in
    closed form; ``u`` is the quantile with ``num_rows - 1`` degrees of freedom.

    Each part alone would be a t-interval, and the two together cover the mean at least as often as
    ``confidence`` says, whatever the shares of seeds and rows (Banerjee, for normal values).
    Satterthwaite's degrees of freedom give narrower intervals that cover less often than they say
    where seeds dominate; ``t`` for both parts gives intervals twice as wide where rows dominate.
    Noise of single values, and rows that differ between seeds, count in both errors, which makes
    the interval wider than needed.

    In a repeated cross-validation a seed is one repetition, and its row is every structure, each
    predicted by the fold that was not trained on it. All repetitions share the structures. That
    part of the variance is estimated from the structures themselves; where only the means of
    folds are known, Nadeau and Bengio's factor, test rows over training rows, stands in for it.

    Args:
        values: A number for each seed and row, such as the difference of two errors; NaN where a
            seed has no value of a row; ``[num_seeds, num_rows]``. Or a number for each seed,
            ``[num_seeds]``, whose interval then has no part for rows.
        confidence: Share of such intervals that cover the mean.

    Raises:
        InvalidArgumentError: If there are no values, a seed has none, or one is infinite.

    Source:
        Banerjee, Sankhyā 22, 357 (1960), intervals of sums of means with unknown, unequal
        variances. Nadeau and Bengio, Machine Learning 52, 239 (2003).
    """
    _check_confidence(confidence)
    table = _seed_table(values)
    means = np.nanmean(table, axis=1)
    num_seeds, estimate = len(means), float(means.mean())
    seed_error = float(means.std(ddof=1) / np.sqrt(num_seeds)) if num_seeds > 1 else None
    num_rows = int(np.isfinite(table).any(axis=0).sum())
    row_error = _row_error(table, means) if num_rows > 1 else None
    if num_seeds < MIN_SEEDS or seed_error is None:
        return SeedInterval(estimate, None, None, seed_error, row_error)
    half = _quantile(confidence, num_seeds) * seed_error
    if row_error is not None:
        half = float(np.hypot(half, _quantile(confidence, num_rows) * row_error))
    return SeedInterval(estimate, estimate - half, estimate + half, seed_error, row_error)


def seed_gain_interval(
    baseline: ArrayLike, errors: ArrayLike, *, confidence: float = 0.95
) -> SeedInterval:
    """Interval of one less the ratio of two mean errors, measured on the same rows and seeds.

    The ratio of means is linear in small changes of both, so its interval is that of the mean of
    ``gain + (ratio · baseline - errors) / mean(baseline)`` by `seed_interval`.

    Args:
        baseline: Errors of the baseline; NaN where a seed did not test a row;
            ``[num_seeds, num_rows]``.
        errors: Those of what is compared with it; NaN in the same places.
        confidence: Share of such intervals that cover the gain.

    Raises:
        InvalidArgumentError: If shapes or places of NaN differ, the baseline has no error at all,
            or as `seed_interval` says.

    Source:
        Cochran, Sampling Techniques (1977), chapter 6, variance of a ratio.
    """
    first, second = np.asarray(baseline, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if first.shape != second.shape or not np.array_equal(np.isnan(first), np.isnan(second)):
        raise InvalidArgumentError(
            f"a gain needs pairs of errors: arrays of one shape with NaN in the same places; got "
            f"shapes {first.shape} and {second.shape}"
        )
    scale = float(np.nanmean(_seed_table(first), axis=1).mean())
    if scale <= 0:
        raise InvalidArgumentError(
            f"the mean error of the baseline is {scale}; a gain needs a positive one"
        )
    ratio = float(np.nanmean(_seed_table(second), axis=1).mean()) / scale
    return seed_interval(1 - ratio + (ratio * first - second) / scale, confidence=confidence)


def bootstrap_interval(
    values: ArrayLike,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
) -> Interval:
    """Percentile bootstrap of the mean over structures.

    The interval is of the predictions as they are, on other structures. It says nothing of how
    they would differ with another seed; whether one method is better than another is asked of
    `seed_interval`.

    Args:
        values: One number for each structure; ``[n]``.
        rng: Source of the draws.
        confidence: Share of resamples between the bounds.
        num_resamples: How often the structures are drawn anew.

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
    _check_confidence(confidence)
    step = max(1, _CHUNK // rows.size)
    resampled: NDArray[np.float64] = np.concatenate(
        [
            rows[rng.integers(len(rows), size=(min(step, num_resamples - done), len(rows)))].mean(1)
            for done in range(0, num_resamples, step)
        ]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(float(rows.mean()), float(low), float(high), confidence)


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


def _seed_table(values: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim == 1:
        table = table[:, None]
    has_values = table.ndim == 2 and len(table) > 0 and np.isfinite(table).any(axis=1).all()
    if not has_values or np.isinf(table).any():
        raise InvalidArgumentError(
            "an interval needs values of each seed, finite or NaN for none, of shape [num_seeds, "
            f"num_rows]; got shape {table.shape} with {np.isinf(table).sum()} infinite values"
        )
    return table


def _row_error(table: NDArray[np.float64], means: NDArray[np.float64]) -> float:
    """Standard error of the mean of the seeds' means for another sample of rows."""
    has_value = np.isfinite(table)
    weights = 1 / (len(table) * has_value.sum(axis=1, keepdims=True))
    # By how much each row, with its values of all seeds, moves the mean.
    moves = np.nansum(weights * (table - means[:, None]), axis=0)
    num_rows = has_value.any(axis=0).sum()
    return float(np.sqrt(num_rows / (num_rows - 1) * (moves**2).sum()))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise InvalidArgumentError(f"confidence is {confidence}; it lies between 0 and 1")


def _quantile(confidence: float, count: int) -> float:
    """Of Student's t for the mean of that many values, both tails cut."""
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, (1 + confidence) / 2))
