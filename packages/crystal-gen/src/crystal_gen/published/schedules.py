"""How much noise each of the T time steps has: cosine for the cell, exponential for positions."""

from math import pi

import torch
from torch import Tensor, nn

from crystal_gen.published.wrapped_normal import expected_squared_score

_OFFSET = 0.008
_SMALLEST_BETA, _LARGEST_BETA = 1e-4, 0.9999


class Schedules(nn.Module):
    """Noise by time, 0 (none) to ``num_timesteps``.

    Args:
        num_timesteps: T.
        first_sigma: Deviation of coordinates at time 1, in cells.
        last_sigma: Deviation at time T.

    Source:
        Cell: Nichol and Dhariwal, "Improved denoising diffusion probabilistic models", ICML 2021,
        equation 17. Coordinates: DiffCSP, section 4.2.
    """

    # Float64, since 1 - alpha_bar begins at 1e-4.
    alpha_bar: Tensor  # [T + 1], share of the variance that is still the cell's
    sigma: Tensor  # [T + 1], in cells
    squared_score: Tensor  # [T + 1], mean of the squared score at sigma; 1 at time 0

    def __init__(
        self, num_timesteps: int = 1000, first_sigma: float = 0.005, last_sigma: float = 0.5
    ) -> None:
        super().__init__()
        self.num_timesteps = num_timesteps
        self.first_sigma = first_sigma
        sigma = exponential_sigma(num_timesteps, first_sigma, last_sigma)
        expected = expected_squared_score(sigma[1:])
        # They follow from the arguments, so that artifacts do not hold them.
        for name, values in (
            ("alpha_bar", cosine_alpha_bar(num_timesteps)),
            ("sigma", sigma),
            ("squared_score", torch.cat([expected.new_ones(1), expected])),
        ):
            self.register_buffer(name, values, persistent=False)


def cosine_alpha_bar(num_timesteps: int) -> Tensor:
    """Share of variance left at each time, with the clipped steps of the published code.

    Returns:
        Float64 ``[num_timesteps + 1]``, from 1.
    """
    times = torch.arange(num_timesteps + 1, dtype=torch.float64) / num_timesteps
    curve = torch.cos((times + _OFFSET) / (1 + _OFFSET) * pi / 2) ** 2
    beta = (1 - curve[1:] / curve[:-1]).clamp(_SMALLEST_BETA, _LARGEST_BETA)
    return torch.cat([beta.new_ones(1), torch.cumprod(1 - beta, dim=0)])


def exponential_sigma(num_timesteps: int, first: float, last: float) -> Tensor:
    """Deviation at each time: 0, then a geometric series.

    Returns:
        Float64 ``[num_timesteps + 1]``.
    """
    share = torch.linspace(0.0, 1.0, num_timesteps, dtype=torch.float64)
    return torch.cat([share.new_zeros(1), first * (last / first) ** share])


def strided_times(start: int, num_steps: int) -> list[int]:
    """Times that a sampler visits, evenly spaced from ``start`` down to 0.

    Args:
        start: Time of the first state, at least 1.
        num_steps: Steps wanted; no more are made than there are times.

    Returns:
        ``num_steps + 1`` whole numbers, or ``start + 1`` if that is less.
    """
    steps = min(num_steps, start)
    return [start - (start * step) // steps for step in range(steps)] + [0]
