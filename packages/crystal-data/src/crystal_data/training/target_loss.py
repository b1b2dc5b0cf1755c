"""One loss out of the errors of several targets, with weights that are given or learned."""

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.processes.distributed import global_mean
from crystal_data.training.masked import AnyLoss, LossName, masked_loss
from crystal_data.transforms.target_columns import TargetColumns

TargetWeights = dict[str, float] | Literal["uncertainty"] | None


class WeightedLoss(nn.Module):
    """Mean over all labels that exist, each times the fixed weight of its target.

    A label counts once, however many numbers it has.

    Args:
        targets: Names; the order is that of the columns.
        loss: Compared with normalized labels.
        weights: Factor of a target, 1 for those that are not named.

    Raises:
        InvalidArgumentError: If a weight is not positive or names no target.
    """

    weights: Tensor

    def __init__(self, targets: Sequence[str], loss: AnyLoss, weights: Mapping[str, float]) -> None:
        super().__init__()
        _check_weights(targets, weights)
        self._loss: AnyLoss = loss
        self._of_target = [weights.get(name, 1.0) for name in targets]
        self.register_buffer("weights", torch.tensor(self._of_target), persistent=False)
        self._columns = TargetColumns([Field(name) for name in targets])

    def take_columns(self, columns: TargetColumns) -> None:
        """Says what the targets are; before, they are numbers."""
        self._columns = columns
        weights = [self._of_target[n] * share for n, share in _shares(columns)]
        self.weights = torch.tensor(weights, device=self.weights.device)

    @override
    def forward(self, prediction: Tensor, label: Tensor) -> Tensor:
        """The loss; both of shape ``[num_rows, width]``, NaN where there is no label."""
        prediction, label = self._columns.for_loss(prediction, label)
        return masked_loss(prediction, label, self._loss, self.weights)


class UncertaintyLoss(nn.Module):
    """Negative log likelihood of the labels, with a scale of errors learned for each target.

    ``mae`` is the likelihood of Laplace's distribution, ``|r| / b + log b``, whose best scale b is
    the mean absolute error. ``mse`` is that of the normal distribution,
    ``r² / (2 σ²) + log σ``, whose best scale σ is the root of the mean squared error. Constants
    are left out, so the loss can be negative. A target that is predicted badly gets little weight.

    Args:
        num_targets: How many there are.
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
        self._columns: TargetColumns | None = None

    def take_columns(self, columns: TargetColumns) -> None:
        """Says what the targets are; before, they are numbers."""
        self._columns = columns

    @override
    def forward(self, prediction: Tensor, label: Tensor) -> Tensor:
        """The loss; both of shape ``[num_rows, width]``, NaN where there is no label."""
        log_scale: Tensor = self.log_scale
        shares: Tensor | None = None
        if self._columns is not None and self._columns.width > len(self._columns.fields):
            prediction, label = self._columns.for_loss(prediction, label)
            numbers, parts = zip(*_shares(self._columns), strict=True)
            log_scale, shares = log_scale[list(numbers)], prediction.new_tensor(parts)
        known = ~label.isnan()
        # The label of a missing one is the prediction itself, so that no NaN is in the gradient.
        residual = torch.where(known, label, prediction.detach()) - prediction
        relative = residual / log_scale.exp()
        each = relative.abs() if self._is_laplace else relative.square() / 2
        counts = known.to(prediction.dtype)
        if shares is not None:
            counts = counts * shares
        return global_mean(((each + log_scale) * counts).sum(), counts.sum())


def target_loss(
    targets: Sequence[str], loss: LossName, weights: TargetWeights
) -> WeightedLoss | UncertaintyLoss:
    """The loss of ``PropertyModule``; arguments and errors as there."""
    if isinstance(weights, str):
        return UncertaintyLoss(len(targets), loss)
    return WeightedLoss(targets, loss, weights or {})


def _shares(columns: TargetColumns) -> list[tuple[int, float]]:
    """For each column of ``for_loss`` its target, and its share of one label."""
    counts = Counter(columns.loss_targets)
    return [(number, 1 / counts[number]) for number in columns.loss_targets]


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
