"""A training whose loss is no number any more ends, and says so."""

import torch
from torch import Tensor

from crystal_data.errors import CrystalError
from crystal_data.processes.distributed import all_reduce_sum


class DivergedError(CrystalError, ArithmeticError):
    """The loss of a training became infinite or NaN."""


class LossWatch:
    """Counts losses that are no finite numbers, without waiting for the device at each of them."""

    def __init__(self) -> None:
        self._num_broken: Tensor | None = None

    def see(self, loss: Tensor) -> None:
        """Takes note of one loss."""
        broken = (~loss.detach().isfinite()).sum()
        self._num_broken = broken if self._num_broken is None else self._num_broken + broken

    def check(self, epoch: int, rates: list[float]) -> None:
        """Raises if any loss since the last call was broken, in any process; all must ask.

        Args:
            epoch: From 0, for the message.
            rates: Learning rates, for the message.

        Raises:
            DivergedError: Naming the epoch, likely causes and what helps.
        """
        seen, self._num_broken = self._num_broken, None
        if seen is None:
            seen = torch.tensor(0)
        if not all_reduce_sum(seen):
            return
        asked = ", ".join(f"{rate:.3g}" for rate in rates)
        raise DivergedError(
            f"the loss became infinite or no number in epoch {epoch + 1}; the likely cause is a "
            f"learning rate that is too large (it is {asked}), or a label far from all others",
            "lower model.optimizer.lr, set trainer.gradient_clip_val to 1, or look for such labels "
            "with crystal-data info",
        )
