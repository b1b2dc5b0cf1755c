"""Losses where a label may be missing, which is NaN."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from crystal_data.processes.distributed import global_mean

LossName = Literal["mse", "mae", "huber"]
AnyLoss = LossName | Literal["cross_entropy"]

_ELEMENTWISE: dict[AnyLoss, Callable[..., Tensor]] = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
    "cross_entropy": F.binary_cross_entropy_with_logits,
}


def masked_loss(
    prediction: Tensor, label: Tensor, loss: AnyLoss, weight: Tensor | None = None
) -> Tensor:
    """Weighted mean over all labels that exist, in all processes.

    Args:
        prediction: Shape ``[num_rows, num_columns]``.
        label: NaN where there is none; the same shape.
        loss: ``huber`` turns from square to absolute at 1, which is one standard deviation where
            labels are normalized. ``cross_entropy`` compares logits with labels of 0 and 1.
        weight: One factor for each column; shape ``[num_columns]``.

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
