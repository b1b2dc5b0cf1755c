"""Dense layers with a norm, for vectors and for single numbers."""

import math

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from crystal_data.layers import GaussianBasis
from crystal_data.processes import GlobalBatchNorm1d


class DenseLayer(nn.Module):
    """Linear, batch norm, SiLU.

    Args:
        before: Length of a row.
        after: Length of what it becomes.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.linear = nn.Linear(before, after)
        self.norm = GlobalBatchNorm1d(after)

    @override
    def forward(self, rows: Tensor, counts: Tensor | None = None) -> Tensor:
        """``[num_rows, before]`` to ``[num_rows, after]``, each row there ``counts`` times."""
        return F.silu(self.norm(self.linear(rows), counts), inplace=True)


class ScalarEmbedding(nn.Module):
    """Numbers as vectors: Gaussians and two dense layers.

    Args:
        start: Centre of the first Gaussian.
        stop: Centre of the last one.
        num_bins: Number of Gaussians; their width is the root of their distance, as published.
        embedding_width: Length between the two layers.
        width: Length of a vector.
    """

    def __init__(
        self, start: float, stop: float, num_bins: int, embedding_width: int, width: int
    ) -> None:
        super().__init__()
        step = (stop - start) / (num_bins - 1)
        self.basis = GaussianBasis(start, stop, step, math.sqrt(step))
        self.first = DenseLayer(num_bins, embedding_width)
        self.second = DenseLayer(embedding_width, width)

    @override
    def forward(self, values: Tensor, counts: Tensor | None = None) -> Tensor:
        """``[num_values]`` to ``[num_values, width]``, each value there ``counts`` times."""
        return self.second(self.first(self.basis(values), counts), counts)
