"""Nonlinear layers: products and pointwise functions of values on the sphere."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from crystal_gan.equiformer.coefficients import Coefficients
from crystal_gan.equiformer.sizes import Activation
from crystal_gan.equiformer.sphere import SphereGrid

# The published grid of degree 6 has 18 by 18 points; the least numbers are 10 by 7 and 10 by 19.
_S2_FINENESS = 1.8


class SphereSwiGLU(nn.Module):
    """Gated products on the sphere: one half of the channels times the other.

    A product of two functions on the sphere, gated by invariants; a SwiGLU of invariants is added
    to degree 0. Values on the grid are only multiplied, so equivariance is exact.

    Args:
        coefficients: Which there are.
        num_channels: Channels of the result.
        along_edges: Whether coefficients are those along edges.

    Source:
        SwiGLU-S2 of EquiformerV3, arXiv 2604.09130.
    """

    #: Channels and numbers that are taken for each channel of the result.
    channels_taken = 2
    scalars_taken = 3

    def __init__(self, coefficients: Coefficients, num_channels: int, *, along_edges: bool) -> None:
        super().__init__()
        self._num_channels = num_channels
        self.grid = SphereGrid(coefficients, along_edges=along_edges)

    @override
    def forward(self, values: Tensor, scalars: Tensor) -> Tensor:
        """Coefficients of the result.

        Args:
            values: Shape ``[n, num_coefficients, 2 * num_channels]``.
            scalars: Shape ``[n, 3 * num_channels]``.

        Returns:
            Shape ``[n, num_coefficients, num_channels]``.
        """
        one, other = self.grid(values).split(self._num_channels, dim=1)
        gate, opening, core = scalars.chunk(3, dim=1)
        out = torch.sigmoid(gate)[:, None] * self.grid.back(one * other)
        scalar = out[:, :1] + (F.silu(opening) * core)[:, None]
        return torch.cat((scalar, out[:, 1:]), dim=1)


class SphereSiLU(nn.Module):
    """SiLU of the values on a grid, and of numbers in place of degree 0.

    A pointwise function has harmonics of all degrees, which a finite grid aliases into those that
    are kept, so the result is only approximately equivariant.

    Args:
        coefficients: Which there are.
        num_channels: Channels.
        along_edges: Whether coefficients are those along edges.

    Source:
        Separable S2 activation of EquiformerV2, arXiv 2306.12059.
    """

    channels_taken = 1
    scalars_taken = 1

    def __init__(self, coefficients: Coefficients, num_channels: int, *, along_edges: bool) -> None:
        super().__init__()
        self._num_channels = num_channels
        self.grid = SphereGrid(coefficients, along_edges=along_edges, fineness=_S2_FINENESS)

    @override
    def forward(self, values: Tensor, scalars: Tensor) -> Tensor:
        """As ``SphereSwiGLU``, with one channel and one number for each channel."""
        out = self.grid.back(F.silu(self.grid(values)))
        return torch.cat((F.silu(scalars)[:, None], out[:, 1:]), dim=1)


def activation(
    kind: Activation, coefficients: Coefficients, num_channels: int, *, along_edges: bool
) -> SphereSwiGLU | SphereSiLU:
    """The activation of a name."""
    made = SphereSwiGLU if kind == "swiglu" else SphereSiLU
    return made(coefficients, num_channels, along_edges=along_edges)
