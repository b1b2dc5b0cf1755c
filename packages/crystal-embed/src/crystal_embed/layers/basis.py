"""Distances as vectors."""

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
        width: Å; by default the step.

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
        self._scale = -1.0 / (width or step) ** 2

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
