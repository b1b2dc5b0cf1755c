"""Functions on a sphere, by coefficients or by values on a grid."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_gan.equiformer.coefficients import Coefficients


class SphereGrid(nn.Module):
    """Between coefficients and values on a grid of the sphere.

    Latitudes are those of Gauss and Legendre, longitudes are even. There are as few as integrate
    any product of three functions exactly, two that are multiplied and one onto which the product
    is projected. So a product on the grid is equivariant up to rounding; another function of the
    values is only approximately equivariant.

    Args:
        coefficients: Which there are.
        along_edges: Those along edges; else those at atoms.
        fineness: Latitudes and longitudes, as multiples of the least numbers.
    """

    to_values: Tensor
    to_coefficients: Tensor

    def __init__(
        self, coefficients: Coefficients, *, along_edges: bool, fineness: float = 1.0
    ) -> None:
        super().__init__()
        degree, order = coefficients.max_degree, coefficients.max_degree
        if along_edges:
            order = coefficients.max_order
        num_latitudes = math.ceil(fineness * (3 * degree + 1) / 2)
        num_longitudes = math.ceil(fineness * (3 * order + 1))
        points, weights = _grid(num_latitudes, num_longitudes)
        harmonics = _harmonics(degree, points)
        if along_edges:
            harmonics = harmonics[:, coefficients.places_at_atoms()]
        # Coefficients of unit variance give values of unit variance.
        scale = harmonics.shape[1] ** 0.5
        dtype = torch.get_default_dtype()
        back = harmonics * (scale * weights[:, None])
        self.register_buffer("to_values", (harmonics.T / scale).to(dtype), persistent=False)
        self.register_buffer("to_coefficients", back.to(dtype), persistent=False)

    @override
    def forward(self, coefficients: Tensor) -> Tensor:
        """Values; ``[n, num_coefficients, num_channels]`` to ``[n, num_channels, num_points]``."""
        return coefficients.transpose(1, 2) @ self.to_values

    def back(self, values: Tensor) -> Tensor:
        """Coefficients of values, as far as there are such; the shapes of ``forward`` swapped."""
        return (values @ self.to_coefficients).transpose(1, 2)


def _grid(num_latitudes: int, num_longitudes: int) -> tuple[Tensor, Tensor]:
    """Points ``[num_points, 3]`` and their shares of the sphere ``[num_points]``; float64."""
    heights, weights = np.polynomial.legendre.leggauss(num_latitudes)
    y, weight = torch.from_numpy(heights)[:, None], torch.from_numpy(weights)[:, None]
    angle = torch.arange(num_longitudes, dtype=torch.float64) * (2 * math.pi / num_longitudes)
    radius = (1.0 - y**2).sqrt()
    points = torch.stack((radius * angle.sin(), y.expand(-1, num_longitudes), radius * angle.cos()))
    shares = (weight / (2 * num_longitudes)).expand(-1, num_longitudes)
    return points.flatten(1).T, shares.flatten()


def _harmonics(max_degree: int, points: Tensor) -> Tensor:
    """Harmonics whose squares are one in the mean over the sphere; ``[num_points, num]``."""
    from e3nn.o3 import spherical_harmonics

    degrees = list(range(max_degree + 1))
    values: Tensor = spherical_harmonics(degrees, points, True, normalization="component")
    return values
