"""Losses and errors where a label may be missing, which is NaN."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from crystal_data.processes.distributed import global_mean
from crystal_data.training.means import EpochMetric, Measured

LossName = Literal["mse", "mae", "huber"]

_ELEMENTWISE: dict[LossName, Callable[..., Tensor]] = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
}


def masked_loss(
    prediction: Tensor, label: Tensor, loss: LossName, weight: Tensor | None = None
) -> Tensor:
    """Weighted mean over all labels that exist, in all processes.

    Args:
        prediction: Shape ``[num_crystals, num_targets]``.
        label: NaN where there is none; the same shape.
        loss: ``huber`` turns from square to absolute at 1, which is one standard deviation where
            labels are normalized.
        weight: One factor for each target; shape ``[num_targets]``.

    Returns:
        A scalar whose gradient, averaged over processes, is that of one process with all of the
        batch; zero if there is no label.
    """
    known = ~label.isnan()
    # The label of a missing one is the prediction itself: zero loss, and no NaN in the gradient.
    label = torch.where(known, label, prediction.detach())
    weights = known.to(prediction.dtype)
    if weight is not None:
        weights = weights * weight
    elementwise = _ELEMENTWISE[loss](prediction, label, reduction="none")
    return global_mean((elementwise * weights).sum(), weights.sum())


class MaskedMAE(EpochMetric):
    """Mean absolute error of each target over the labels that exist; NaN where there is none."""

    higher_is_better = False
    total: Tensor
    count: Tensor

    def __init__(self, targets: Sequence[str]) -> None:
        super().__init__()
        self._targets = tuple(targets)
        zeros = torch.zeros(len(targets))
        self.add_state("total", zeros.clone(), dist_reduce_fx="sum")
        self.add_state("count", zeros.clone(), dist_reduce_fx="sum")

    @override
    def update(self, prediction: Tensor, label: Tensor) -> None:
        """Adds crystals, in the targets' units; both of shape ``[num_crystals, num_targets]``."""
        known = ~label.isnan()
        error = torch.where(known, prediction.detach() - label, 0.0).abs()
        self.total += error.sum(0)
        self.count += known.sum(0)

    @override
    def compute(self) -> dict[str, Measured]:
        """``mae/<target>``, in the target's unit."""
        errors = self.total / self.count
        return {
            f"mae/{name}": Measured(errors[i], int(self.count[i]))
            for i, name in enumerate(self._targets)
        }
