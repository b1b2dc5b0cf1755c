"""Intervals: how often they cover, what they are made of, what they refuse."""

import math

import numpy as np
import pytest
from scipy import stats

from crystal_data.metrics import (
    bootstrap_interval,
    paired_bootstrap_interval,
    seed_gain_interval,
    seed_interval,
)

NUM_SEEDS, NUM_ROWS, TRIALS = 3, 150, 1500
# Standard deviation between seeds of a model's mean error, as a share of it.
SPREADS = {"seeds dominate": 0.20, "alike": 0.04, "rows dominate": 0.003}


def pairs_of_errors(rng, spread, gain):
    """Errors of two models on the same rows: skewed, correlated, each seed with its own level."""
    hardness = rng.gamma(1.0, size=(1, NUM_ROWS))
    own = rng.gamma(2.0, 0.5, size=(2, 1, NUM_ROWS))  # what one model finds harder than the other
    noise = rng.gamma(25.0, 0.04, size=(2, NUM_SEEDS, NUM_ROWS))
    level = 1 + spread * rng.normal(size=(2, NUM_SEEDS, 1))
    baseline, other = level * noise * (hardness + 0.3 * own) / 2
    return baseline, (1 - gain) * other


@pytest.mark.parametrize("gain", [0.0, 0.2])
@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS)
def test_intervals_of_three_seeds_cover(spread, gain):
    rng = np.random.default_rng(0)
    trials = [pairs_of_errors(rng, spread, gain) for _ in range(TRIALS)]
    intervals = [seed_gain_interval(*pair) for pair in trials]
    covered = np.mean([each.low <= gain <= each.high for each in intervals])
    assert covered >= 0.93
    # The difference of the errors has the same interval in the errors' unit.
    level = 1.3 / 2
    differences = [seed_interval(baseline - other) for baseline, other in trials]
    assert np.mean([each.low <= gain * level <= each.high for each in differences]) >= 0.93
    # What resamples rows alone covers too rarely as soon as seeds count.
    rows_alone = [abs(each.estimate - gain) <= 1.96 * each.row_error for each in intervals]
    assert (np.mean(rows_alone) < 0.9) == (spread > 0.01)
    # Where rows dominate, the interval is not that of three values.
    if spread < 0.01:
        halves = np.array([each.high - each.estimate for each in intervals])
        errors = np.array([np.hypot(each.seed_error, each.row_error) for each in intervals])
        assert np.median(halves / errors) < 3  # 4.3 is the quantile of three values


def test_folds_that_share_structures_cover():
    # Repetitions of a cross-validation share all structures, so the spread between repetitions
    # alone is too small.
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(TRIALS):
        structures = rng.normal(size=(1, NUM_ROWS))
        repetitions = (
            structures + 0.5 * rng.normal(size=(5, NUM_ROWS)) + rng.normal(size=(5, 1)) / 9
        )
        interval = seed_interval(repetitions)
        covered.append(interval.low <= 0 <= interval.high)
    assert np.mean(covered) >= 0.93


def test_the_parts_of_an_interval():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 60)) + rng.normal(size=(4, 1))
    interval = seed_interval(values, confidence=0.9)
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.seed_error == pytest.approx(stats.sem(values.mean(axis=1)))
    assert interval.row_error == pytest.approx(stats.sem(values.mean(axis=0)))
    half = math.hypot(
        stats.t.ppf(0.95, 3) * interval.seed_error, stats.t.ppf(0.95, 59) * interval.row_error
    )
    assert (interval.low, interval.high) == pytest.approx(
        (values.mean() - half, values.mean() + half)
    )
    # Without rows it is the plain t-interval.
    plain = seed_interval(values.mean(axis=1))
    assert plain.row_error is None
    assert (plain.low, plain.high) == pytest.approx(
        stats.t.interval(0.95, 3, values.mean(), stats.sem(values.mean(axis=1)))
    )


def test_rows_vary_as_their_bootstrap_does():
    # Seeds may lack rows: each row is drawn with all that it has.
    rng = np.random.default_rng(1)
    baseline = rng.gamma(2.0, size=(3, 200))
    errors = baseline * rng.uniform(0.4, 1.4, size=(3, 200))
    missing = rng.random((3, 200)) < 0.3
    baseline[missing] = errors[missing] = np.nan
    found = seed_gain_interval(baseline, errors)
    drawn = rng.integers(200, size=(4000, 200))
    first, second = (np.nanmean(each[:, drawn], axis=2).mean(axis=0) for each in (baseline, errors))
    assert found.row_error == pytest.approx((1 - second / first).std(), rel=0.05)
    whole = np.nanmean(errors, axis=1).mean() / np.nanmean(baseline, axis=1).mean()
    assert found.estimate == pytest.approx(1 - whole)


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_below_three_seeds_there_is_no_interval(num_seeds):
    values = np.random.default_rng(0).gamma(2.0, size=(2, num_seeds, 30))
    for found in (seed_interval(values[0]), seed_gain_interval(*values)):
        assert found.low is None
        assert found.high is None
        assert found.row_error > 0
        assert (found.seed_error is None) == (num_seeds == 1)
    assert seed_interval(values[0]).estimate == pytest.approx(values[0].mean())


def test_what_has_no_interval_over_seeds_is_refused():
    ones = np.ones((3, 4))
    gap = np.where(np.eye(3, 4), np.nan, 1.0)
    for bad in ([], [[1.0], [math.nan], [1.0]], [1.0, math.inf, 2.0], np.ones((2, 2, 2)), 1.0):
        with pytest.raises(ValueError, match="values of each seed"):
            seed_interval(bad)
    with pytest.raises(ValueError, match="confidence is 95"):
        seed_interval(ones, confidence=95)
    for other in (np.ones((3, 5)), gap):
        with pytest.raises(ValueError, match="pairs of errors"):
            seed_gain_interval(ones, other)
    with pytest.raises(ValueError, match="a gain needs a positive one"):
        seed_gain_interval(0 * ones, ones)


def test_interval_agrees_with_scipy():
    values = np.random.default_rng(0).exponential(size=200)
    ours = bootstrap_interval(values, rng=np.random.default_rng(1))
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.estimate == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)
    assert ours == bootstrap_interval(values, rng=np.random.default_rng(1))


def test_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [
        bootstrap_interval(rng.normal(size=100), rng=rng, confidence=0.9, num_resamples=500)
        for _ in range(300)
    ]
    covered = np.mean([each.low <= 0 <= each.high for each in intervals])
    assert 0.84 < covered < 0.95


def test_pairs_are_kept_together():
    rng = np.random.default_rng(0)
    hard = rng.normal(size=300) * 10
    gain = paired_bootstrap_interval(hard + 0.1, hard, rng=rng)
    assert gain.low == pytest.approx(0.1)
    assert gain.high == pytest.approx(0.1)
    unpaired = bootstrap_interval(hard, rng=rng)
    assert unpaired.high - unpaired.low > 1


def test_what_cannot_be_resampled_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="of which 1 are not finite"):
        bootstrap_interval([1.0, math.nan], rng=rng)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([], rng=rng)
    with pytest.raises(ValueError, match="confidence is 95"):
        bootstrap_interval([1.0], rng=rng, confidence=95)
    with pytest.raises(ValueError, match="same length"):
        paired_bootstrap_interval([1.0], [1.0, 2.0], rng=rng)
