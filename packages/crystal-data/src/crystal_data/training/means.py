"""Averages over an epoch, exact for any batches and processes."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from typing_extensions import override

from crystal_data.training.sums import Sums


class Measured(NamedTuple):
    """One number of an epoch.

    Args:
        value: Scalar; NaN where there is nothing to average.
        num_labels: Labels that it is an average of; None where it averages no labels.
    """

    value: Tensor
    num_labels: int | None = None


class EpochMetric(Metric):
    """What a module measures in training, validation or test: any number of named averages.

    Sums and counts are kept, so that results do not depend on which process had which crystals.
    """

    full_state_update = False

    @abstractmethod
    @override
    def compute(self) -> dict[str, Measured]:
        """The averages by name, such as ``mae/band_gap``, without the name of the stage."""


class NamedMeans(EpochMetric):
    """Total and count of each name.

    Args:
        names: In the order of the states.
    """

    total: Tensor
    count: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = tuple(names)
        zeros = torch.zeros(len(names))
        self.add_state("total", zeros.clone(), dist_reduce_fx="sum")
        self.add_state("count", zeros.clone(), dist_reduce_fx="sum")

    @override
    def update(self, sums: Sums) -> None:
        """Adds those names that are given."""
        for place, name in enumerate(self._names):
            if name in sums:
                total, count = sums[name]
                self.total[place] += total.detach()
                self.count[place] += count.detach()

    @override
    def compute(self) -> dict[str, Measured]:
        """Mean and count of each name that counts anything."""
        counts = self.count.tolist()
        return {
            name: Measured(self.total[place] / self.count[place], int(counts[place]))
            for place, name in enumerate(self._names)
            if counts[place] > 0
        }
