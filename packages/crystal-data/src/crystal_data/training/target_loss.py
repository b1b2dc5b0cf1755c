"""One loss out of the errors of several targets, with weights that are given or learned."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError
from crystal_data.processes.distributed import global_mean
from crystal_data.training.masked import LossName, masked_loss

TargetWeights = dict[str, float] | Literal["uncertainty"] | None


class WeightedLoss(nn.Module):
    """Mean over all labels that exist, each times the fixed weight of its target.

    Args:
        targets: Names; the order is that of the columns.
        loss: Compared with normalized labels.
        weights: Factor of a target, 1 for those that are not named.

    Raises:
        InvalidArgumentError: If a weight is not positive or names no target.
    """

    weights: Tensor

    def __init__(
        self, targets: Sequence[str], loss: LossName, weights: Mapping[str, float]
    ) -> None:
        super().__init__()
        _check_weights(targets, weights)
        self._loss: LossName = loss
        values = torch.tensor([weights.get(name, 1.0) for name in targets])
        self.register_buffer("weights", values, persistent=False)

    @override
    def forward(self, prediction: Tensor, label: Tensor) -> Tensor:
        """The loss; both of shape ``[num_crystals, num_targets]``, NaN where there is no label."""
        return masked_loss(prediction, label, self._loss, self.weights)


class UncertaintyLoss(nn.Module):
    """Negative log likelihood of the labels, with a scale of errors learned for each target.

    ``mae`` is the likelihood of Laplace's distribution, ``|r| / b + log b``, whose best scale b is
    the mean absolute error. ``mse`` is that of the normal distribution,
    ``r² / (2 σ²) + log σ``, whose best scale σ is the root of the mean squared error. Constants
    are left out, so the loss can be negative. A target that is predicted badly gets little weight.

    Args:
        num_targets: Columns of predictions and labels.
        loss: ``mae`` or ``mse``.

    Raises:
        InvalidArgumentError: If the loss is the likelihood of no distribution that is implemented.

    Source:
        Kendall, Gal and Cipolla, "Multi-task learning using uncertainty to weigh losses", CVPR
        (2018), equation 7; their log variance is twice ``log_scale``.
    """

    def __init__(self, num_targets: int, loss: LossName) -> None:
        super().__init__()
        if loss not in {"mae", "mse"}:
            raise InvalidArgumentError(
                f"target_weights: uncertainty wants loss: mae or mse, not {loss}, whose likelihood "
                "is not implemented"
            )
        self._is_laplace = loss == "mae"
        self.log_scale = nn.Parameter(torch.zeros(num_targets))

    @override
    def forward(self, prediction: Tensor, label: Tensor) -> Tensor:
        """The loss; both of shape ``[num_crystals, num_targets]``, NaN where there is no label."""
        known = ~label.isnan()
        # The label of a missing one is the prediction itself, so that no NaN is in the gradient.
        residual = torch.where(known, label, prediction.detach()) - prediction
        relative = residual / self.log_scale.exp()
        each = relative.abs() if self._is_laplace else relative.square() / 2
        counts = known.to(prediction.dtype)
        return global_mean(((each + self.log_scale) * counts).sum(), counts.sum())


def target_loss(
    targets: Sequence[str], loss: LossName, weights: TargetWeights
) -> WeightedLoss | UncertaintyLoss:
    """The loss of ``PropertyModule``; arguments and errors as there."""
    if isinstance(weights, str):
        return UncertaintyLoss(len(targets), loss)
    return WeightedLoss(targets, loss, weights or {})


def _check_weights(targets: Sequence[str], weights: Mapping[str, float]) -> None:
    for name, weight in weights.items():
        if name not in targets:
            near = get_close_matches(name, targets, n=1) or list(targets)
            raise InvalidArgumentError(
                f"target_weights names '{name}', which is no target; did you mean '{near[0]}'?"
            )
        if not weight > 0:
            raise InvalidArgumentError(
                f"target_weights: the weight of '{name}' must be positive: {weight}"
            )
