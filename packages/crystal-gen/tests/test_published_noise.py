"""The wrapped normal and the noise schedules of the published model."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_gen.published.schedules import Schedules, cosine_alpha_bar, strided_times
from crystal_gen.published.wrapped_normal import expected_squared_score, wrapped_normal_score

# time: sigma, mean squared score, 1 / (mean squared score · sigma_1²)
GOLDEN = {
    1: (0.005, 40_000, 1),
    100: (0.00789, 16_057, 2.491),
    250: (0.01576, 4027.75, 9.931),
    500: (0.04988, 401.848, 99.54),
    700: (0.12542, 63.361, 631.3),
    750: (0.15793, 38.178, 1048),
    800: (0.19887, 19.464, 2055),
    900: (0.31533, 1.5881, 25_190),
    950: (0.39707, 0.15668, 255_300),
    999: (0.49770, 0.0044713, 8.946e6),
    1000: (0.5, 0.0040841, 9.794e6),
}


def test_golden_numbers():
    schedules = Schedules()
    for time, (sigma, expected, step) in GOLDEN.items():
        assert float(schedules.sigma[time]) == pytest.approx(sigma, abs=6e-6)
        assert float(schedules.squared_score[time]) == pytest.approx(expected, rel=3e-4)
        ours = 1 / float(schedules.squared_score[time] * schedules.first_sigma**2)
        assert ours == pytest.approx(step, rel=3e-4)
    assert not schedules.state_dict()


@settings(deadline=None, max_examples=40)
@given(st.floats(-3, 3), st.floats(0.005, 0.5))
def test_score_is_the_derivative_of_the_log_density(displacement, sigma):
    x = torch.tensor(displacement, dtype=torch.float64, requires_grad=True)
    images = x + torch.arange(-10, 11, dtype=torch.float64)
    torch.logsumexp(-0.5 * (images / sigma) ** 2, dim=0).backward()
    score = wrapped_normal_score(x.detach()[None], torch.tensor([sigma], dtype=torch.float64))
    assert x.grad is not None
    # Halfway between two images the autograd value loses digits to cancellation.
    torch.testing.assert_close(score[0], x.grad, atol=1e-8 / sigma**2, rtol=1e-8)


def test_score_in_single_precision():
    x, sigma = torch.linspace(-1, 1, 101), torch.full((101,), 0.5)
    exact = wrapped_normal_score(x.double(), sigma.double())
    torch.testing.assert_close(wrapped_normal_score(x, sigma).double(), exact, atol=1e-5, rtol=0)


@pytest.mark.parametrize("sigma", [0.005, 0.1, 0.3, 0.5])
def test_mean_squared_score_by_random_numbers(sigma):
    drawn = sigma * np.random.default_rng(0).normal(size=400_000)
    scores = wrapped_normal_score(torch.from_numpy(drawn), torch.tensor(sigma))
    exact = expected_squared_score(torch.tensor([sigma]))
    assert float((scores**2).mean()) == pytest.approx(float(exact[0]), rel=0.01)


def test_cosine_schedule():
    alpha_bar = cosine_alpha_bar(1000)
    beta = 1 - alpha_bar[1:] / alpha_bar[:-1]
    assert alpha_bar[0] == 1
    assert (alpha_bar[1:] < alpha_bar[:-1]).all()
    assert beta.min() >= 1e-4 - 1e-12
    assert float(beta[-1]) == pytest.approx(0.9999)
    halfway = (
        np.cos((0.5 + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    )
    assert float(alpha_bar[500]) == pytest.approx(halfway, rel=2e-3)


@given(st.integers(1, 1000), st.integers(1, 1200))
def test_strided_times(start, num_steps):
    times = strided_times(start, num_steps)
    assert times[0] == start
    assert times[-1] == 0
    assert len(times) == min(start, num_steps) + 1
    steps = -np.diff(times)
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1
