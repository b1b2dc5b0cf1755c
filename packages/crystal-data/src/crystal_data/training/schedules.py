"""Learning rates that follow the whole run, whose length the LightningModule tells them."""

import math
from abc import abstractmethod
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError


class WholeRunScheduler(LRScheduler):
    """A learning rate as a function of the run's progress, stepped after every batch.

    The number of steps need not be written into a config, where it would repeat the epochs, the
    batch size and the size of the data: ``set_total_steps`` is called with the Trainer's estimate.
    A run resumed with more epochs follows the schedule of its new length.
    """

    total_steps = 1

    def set_total_steps(self, total_steps: int) -> None:
        """Says how many optimizer steps the run has.

        The constructor, which did not know it yet, has set a learning rate for the first step;
        that is put right here.
        """
        self.total_steps = max(1, total_steps)
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate

    @abstractmethod
    def factor(self, progress: float) -> float:
        """Share of the optimizer's learning rate at a progress from 0 to 1."""

    @override
    def get_lr(self) -> list[float | Any]:
        progress = min(self.last_epoch / self.total_steps, 1.0)
        return [base * self.factor(progress) for base in self.base_lrs]

    @override
    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = super().state_dict()
        state.pop("total_steps", None)
        return state


class OneCycle(WholeRunScheduler):
    """Up to the optimizer's learning rate and down again, both along half a cosine.

    Args:
        optimizer: Its learning rate is the highest point.
        warmup: Share of the run that goes up.
        start: First learning rate, as a share of the highest.
        end: Last learning rate, as a share of the highest.

    Source:
        Smith and Topin, "Super-convergence" (2019), with cosines as torch's ``OneCycleLR`` has
        them; momentum stays as it is.
    """

    def __init__(
        self, optimizer: Optimizer, warmup: float = 0.3, start: float = 0.04, end: float = 4e-6
    ) -> None:
        if not 0.0 <= warmup < 1.0:
            raise InvalidArgumentError(
                f"warmup is a share of the run, from 0 to below 1, not {warmup}"
            )
        self.warmup, self.start, self.end = warmup, start, end
        super().__init__(optimizer)

    @override
    def factor(self, progress: float) -> float:
        if progress < self.warmup:
            return _cosine(self.start, 1.0, progress / self.warmup)
        return _cosine(1.0, self.end, (progress - self.warmup) / (1.0 - self.warmup))


class WarmupCosine(WholeRunScheduler):
    """A straight rise to the optimizer's learning rate, then half a cosine down to zero.

    Args:
        optimizer: Its learning rate is the highest point.
        warmup: Share of the run that rises.
    """

    def __init__(self, optimizer: Optimizer, warmup: float = 0.05) -> None:
        if not 0.0 <= warmup < 1.0:
            raise InvalidArgumentError(
                f"warmup is a share of the run, from 0 to below 1, not {warmup}"
            )
        self.warmup = warmup
        super().__init__(optimizer)

    @override
    def factor(self, progress: float) -> float:
        if progress < self.warmup:
            # The first step is not wasted on a learning rate of zero.
            return min(1.0, max(progress, 1.0 / self.total_steps) / self.warmup)
        return _cosine(1.0, 0.0, (progress - self.warmup) / (1.0 - self.warmup))


def _cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1.0 + math.cos(math.pi * share)) / 2.0
