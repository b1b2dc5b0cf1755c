"""Distances as vectors."""

import math

import torch
from torch import Tensor, nn
from typing_extensions import override

_LEAST_EXPONENT = -80.0  # of a normal float32


class GaussianBasis(nn.Module):
    """``exp(-(d - centre)² / width²)`` for evenly spaced centres.

    Args:
        start: First centre, Å.
        stop: Last centre, Å.
        step: Distance between centres, Å.
        width: Of the Gaussians, Å; by default ``step``.

    Source:
        Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018), whose public code has no factor ½.
    """

    centers: Tensor

    def __init__(
        self,
        start: float = 0.0,
        stop: float = 8.0,
        step: float = 0.2,
        width: float | None = None,
    ) -> None:
        super().__init__()
        count = round((stop - start) / step) + 1
        self.register_buffer("centers", torch.linspace(start, stop, count), persistent=False)
        self._scale = -1.0 / (step if width is None else width) ** 2

    @property
    def num_features(self) -> int:
        """Number of Gaussians."""
        return len(self.centers)

    @override
    def forward(self, distance: Tensor) -> Tensor:
        """Expands distances ``[num_edges]``, Å, to ``[num_edges, num_features]``."""
        exponent = (distance[:, None] - self.centers).square_().mul_(self._scale)
        # Below this, CPUs take seven times as long for values that are as good as zero.
        return exponent.clamp_(min=_LEAST_EXPONENT).exp_()


def cosine_cutoff(distance: Tensor, cutoff: float) -> Tensor:
    """``(1 + cos(π d / cutoff)) / 2``, zero from the cutoff on; the shape of ``distance``, Å.

    Source:
        Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007), equation 3.
    """
    return 0.5 + 0.5 * (distance.clamp(max=cutoff) * (math.pi / cutoff)).cos()
