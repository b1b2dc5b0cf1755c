"""Means over atoms, edges and crystals, exact for any batches and processes."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from typing_extensions import override

Sums = Mapping[str, tuple[Tensor, Tensor]]  # a name's total and count (or weight), both scalars


class NamedMeans(Metric):
    """Total and count of each name, so that the means do not depend on who had which part.

    Args:
        names: In the order of the states.
    """

    full_state_update = False
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
    def compute(self) -> dict[str, tuple[Tensor, float]]:
        """Mean and count of each name that counts anything."""
        counts = self.count.tolist()
        return {
            name: (self.total[place] / self.count[place], counts[place])
            for place, name in enumerate(self._names)
            if counts[place] > 0
        }
