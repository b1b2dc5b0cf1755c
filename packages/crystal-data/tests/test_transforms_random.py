"""Counted random numbers: independent of the batch, and random."""

import numpy as np
import pytest
import torch
from scipy import stats

from crystal_data.transforms.random import SampleRandom

ROWS = torch.arange(20_000)
KNOWN = [0.8839090622293173, 0.08495550909336791]


def test_a_draw_depends_on_the_sample_alone():
    whole = SampleRandom(1, 2, torch.arange(100))
    counts = torch.arange(100) % 7 + 1
    starts = counts.cumsum(0) - counts
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    part = SampleRandom(1, 2, order[:30])
    part.uniform("something else", size=5)
    for draw in ("uniform", "normal"):
        expected = getattr(whole, draw)("x", size=3)[order[:30]]
        assert torch.equal(getattr(part, draw)("x", size=3), expected)
        atoms = getattr(whole, draw)("x", size=2, num_atoms=counts)
        expected = torch.cat([atoms[starts[i] : starts[i] + counts[i]] for i in order[:30]])
        assert torch.equal(getattr(part, draw)("x", size=2, num_atoms=counts[order[:30]]), expected)


def test_known_values_stay():
    # A change of these breaks the repetition of every published run.
    draws = SampleRandom(0, 0, [0, 1]).uniform("x")
    assert draws.tolist() == pytest.approx(KNOWN, abs=1e-15)


@pytest.mark.parametrize(
    "other",
    [
        SampleRandom(1, 0, ROWS).uniform("x"),
        SampleRandom(0, 1, ROWS).uniform("x"),
        SampleRandom(0, 0, ROWS).uniform("y"),
        SampleRandom(0, 0, ROWS + 1).uniform("x"),
        SampleRandom(0, 0, ROWS).uniform("x", size=2)[:, 1],
        SampleRandom(0, 0, ROWS).uniform("x", num_atoms=torch.ones_like(ROWS)),
    ],
    ids=["seed", "epoch", "stream", "sample", "component", "atom"],
)
def test_any_other_key_is_independent(other):
    mine = SampleRandom(0, 0, ROWS).uniform("x")
    assert abs(np.corrcoef(mine, other)[0, 1]) < 4 / np.sqrt(len(ROWS))


def test_uniform_is_uniform():
    draws = SampleRandom(3, 0, ROWS).uniform("u", size=4).numpy()
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    for column in draws.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    # In the plane too: 10 × 10 boxes of two neighboring components, and of two neighboring rows.
    for x, y in ((draws[:, 0], draws[:, 1]), (draws[:-1, 0], draws[1:, 0])):
        counts = np.histogram2d(x, y, bins=10, range=((0, 1), (0, 1)))[0].ravel()
        assert stats.chisquare(counts).pvalue > 1e-3
    bits = (draws[:, 0] * 2**53).astype(np.int64)
    for bit in range(53):
        assert stats.binomtest(int((bits >> bit & 1).sum()), len(bits)).pvalue > 1e-5


def test_normal_is_normal():
    draws = SampleRandom(4, 0, ROWS).normal("n", size=2).numpy()
    for column in draws.T:
        assert stats.kstest(column, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.03


def test_integers():
    draws = SampleRandom(5, 0, ROWS).integers("i", -1, 2, size=2)
    assert draws.dtype == torch.int64
    assert stats.chisquare(torch.bincount(draws[:, 1] + 1)).pvalue > 1e-3
    high = ROWS % 5 + 1
    rowwise = SampleRandom(5, 0, ROWS).integers("i", 0, high)
    assert (rowwise < high).all()
    assert (rowwise >= 0).all()
    assert rowwise[high == 5].unique().tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="there is none"):
        SampleRandom(5, 0, ROWS).integers("i", 3, 3)


def test_shapes():
    rng = SampleRandom(0, 0, [7, 8])
    counts = torch.tensor([1, 3])
    assert rng.normal("a").shape == (2,)
    assert rng.normal("a", size=1).shape == (2, 1)
    assert rng.normal("a", num_atoms=counts).shape == (4,)
    assert rng.normal("a", size=3, num_atoms=counts).shape == (4, 3)
