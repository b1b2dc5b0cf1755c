"""Normalization of the coefficients of an atom."""

import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_gan.equiformer.coefficients import Coefficients

_EPS = 1e-6


class MergedNorm(nn.Module):
    """One scale for the coefficients of all degrees, so that their proportions stay.

    Degree 0 is centered over channels. Then all are divided by one number, the root of the mean of
    squares, in which each degree counts alike, and multiplied by a trained factor of each degree
    and channel.

    Args:
        coefficients: Which there are at atoms.
        num_channels: Channels.

    Source:
        Merged layer normalization of EquiformerV3, arXiv 2604.09130.
    """

    degree: Tensor
    share: Tensor

    def __init__(self, coefficients: Coefficients, num_channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(coefficients.num_degrees, num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        degree = coefficients.degree_at_atoms()
        share = 1.0 / ((2 * degree + 1) * coefficients.num_degrees * num_channels)
        self.register_buffer("degree", degree, persistent=False)
        self.register_buffer("share", share, persistent=False)

    @override
    def forward(self, atoms: Tensor) -> Tensor:
        """Normalizes ``[num_atoms, num_at_atoms, num_channels]``."""
        scalars = atoms[:, :1] - atoms[:, :1].mean(dim=2, keepdim=True)
        atoms = torch.cat((scalars, atoms[:, 1:]), dim=1)
        squares = (atoms.square().sum(dim=2) @ self.share)[:, None, None]
        atoms = atoms * torch.rsqrt(squares + _EPS) * self.scale[self.degree]
        return torch.cat((atoms[:, :1] + self.bias, atoms[:, 1:]), dim=1)
