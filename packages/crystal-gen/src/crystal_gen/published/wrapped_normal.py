"""The normal distribution on a circle of circumference 1, which fractional coordinates live on."""

import torch
from torch import Tensor

# Of a displacement at most half a cell away, further images weigh less than rounding for
# deviations up to 0.5.
_IMAGES = 5
_POINTS = 2048


def wrapped_normal_score(displacement: Tensor, sigma: Tensor) -> Tensor:
    """Derivative of the logarithm of the density of a wrapped normal.

    Args:
        displacement: From the mean, in cells; any image.
        sigma: Standard deviation before wrapping, at most 0.5; broadcasts with it.

    Returns:
        Shape of the displacement.

    Source:
        Jiao et al., "Crystal structure prediction by joint equivariant diffusion", NeurIPS 2023
        (DiffCSP), equation 6.
    """
    nearest = displacement - displacement.round()
    shifts = torch.arange(-_IMAGES, _IMAGES + 1, device=nearest.device, dtype=nearest.dtype)
    images = nearest[..., None] + shifts
    variance = (sigma * sigma)[..., None]
    weights = torch.softmax(-0.5 * images * images / variance, dim=-1)
    return -(weights * images / variance).sum(dim=-1)


def expected_squared_score(sigma: Tensor) -> Tensor:
    """Mean of the squared score over the wrapped normal, by which scores are normalized.

    The published code estimates it from 10,000 random numbers when a model is made, so it differs
    from model to model. Here it is integrated: of a smooth periodic function the trapezoid rule
    is exact to rounding.

    Args:
        sigma: Standard deviations from 0.002 to 0.5; float64 ``[n]``.

    Returns:
        Float64 ``[n]``.
    """
    # Half the circle, as density and squared score are even.
    points = torch.linspace(0.0, 0.5, _POINTS // 2 + 1, dtype=torch.float64)
    shifts = torch.arange(-_IMAGES, _IMAGES + 1, dtype=torch.float64)
    images = points[:, None] + shifts
    interval = torch.full_like(points, 1.0)
    interval[0] = interval[-1] = 0.5
    means = []
    for one in sigma.double():
        exponents = torch.exp(-0.5 * (images / one) ** 2)
        density = exponents.sum(dim=1).clamp(min=torch.finfo(torch.float64).tiny)
        score = (exponents * images).sum(dim=1) / (density * one * one)
        weights = density * interval
        means.append((weights * score * score).sum() / weights.sum())
    return torch.stack(means)
