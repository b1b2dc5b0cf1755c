"""Targets to mean 0 and deviation 1, by statistics of the training split alone."""

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystal_data.errors import InvalidArgumentError


class TargetNormalizer(nn.Module):
    """Scales targets for the loss and predictions back to their own units.

    Mean and deviation are buffers, so a checkpoint keeps them. Until ``fit`` they are 0 and 1.

    Args:
        targets: Names; the order is that of the columns.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, targets: tuple[str, ...]) -> None:
        super().__init__()
        self.targets = tuple(targets)
        self.register_buffer("mean", torch.zeros(len(self.targets)))
        self.register_buffer("std", torch.ones(len(self.targets)))

    def fit(self, train_targets: Mapping[str, NDArray[np.float64]]) -> Self:
        """Takes mean and deviation from the training split; missing labels (NaN) do not count.

        A target that is the same everywhere keeps a deviation of 1.

        Args:
            train_targets: One number for each training crystal, by name; others are ignored.

        Raises:
            InvalidArgumentError: If a target is missing, or has no label at all.
        """
        for column, name in enumerate(self.targets):
            if name not in train_targets:
                raise InvalidArgumentError(
                    f"the training split has no target {name!r}; it has {sorted(train_targets)}"
                )
            values = np.asarray(train_targets[name], dtype=np.float64)
            labels = values[np.isfinite(values)]
            if len(labels) == 0:
                raise InvalidArgumentError(f"target {name!r} has no label in the training split")
            mean, std = labels.mean(), labels.std()
            # Rounding leaves a constant a deviation of about 1e-16 of its size.
            is_constant = std <= 1e-12 * max(abs(mean), 1.0)
            self.mean[column] = mean
            self.std[column] = 1.0 if is_constant else std
        return self

    def normalize(self, values: Tensor) -> Tensor:
        """From the targets' own units; shape ``[..., num_targets]``."""
        return (values - self.mean) / self.std

    def denormalize(self, values: Tensor) -> Tensor:
        """Back to the targets' own units; shape ``[..., num_targets]``."""
        return values * self.std + self.mean
