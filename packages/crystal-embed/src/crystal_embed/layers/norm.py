"""Batch normalisation that is defined for every batch."""

import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from crystal_data.training import GlobalBatchNorm1d, world_size


class BatchNorm(GlobalBatchNorm1d):
    """Over the rows of all processes; over past batches where there are fewer than two rows.

    One row has no variance, and a batch of one crystal of one atom is a batch like any other.
    """

    @override
    def forward(self, input: Tensor, counts: Tensor | None = None) -> Tensor:
        if self.training and counts is None and len(input) < 2 and world_size() == 1:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input, counts)
