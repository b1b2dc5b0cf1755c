"""How well probabilities of classes tell both apart, over an epoch."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    BinaryF1Score,
    BinaryMatthewsCorrCoef,
)
from typing_extensions import override

from crystal_data.training.means import EpochMetric, Measured

# A grid of so many probabilities keeps counts instead of all crystals, which any number of
# processes adds up.
_GRID = 1001
_IGNORED = -1  # class of a row without label
_KINDS = ("accuracy", "f1", "auroc", "mcc")


class ClassScores(EpochMetric):
    """Accuracy, F1, area under the ROC curve and Matthews correlation of each target.

    A crystal is of the class where its probability is above 1/2. The area is that under the
    curve through a thousand thresholds. Also the mean cross-entropy. Labels that are missing do not
    count.

    Args:
        names: Targets, in the order of the columns.
    """

    total: Tensor  # [num_targets], sums of cross-entropies
    count: Tensor  # [num_targets]

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = tuple(names)
        zeros = torch.zeros(len(names))
        self.add_state("total", zeros.clone(), dist_reduce_fx="sum")
        self.add_state("count", zeros.clone(), dist_reduce_fx="sum")
        self.scores = nn.ModuleList(nn.ModuleDict(_new_scores()) for _ in names)

    @override
    def update(self, prediction: Tensor, label: Tensor) -> None:
        """Adds crystals: probabilities and labels, 0, 1 or NaN; ``[num_rows, num_targets]``."""
        prediction = prediction.detach()
        known = ~label.isnan()
        truth = torch.where(known, label, 0.0).to(prediction)
        loss = F.binary_cross_entropy(prediction, truth, reduction="none")
        self.total += (loss * known).sum(0)
        self.count += known.sum(0)
        # Rows without a label stay in: the metrics cannot be given none.
        classes = truth.long().masked_fill(~known, _IGNORED)
        for place, scores in enumerate(self.scores):
            for score in _metrics(scores):
                score.update(prediction[:, place], classes[:, place])

    @override
    def compute(self) -> dict[str, Measured]:
        """``<score>/<target>``, and ``cross_entropy/<target>``."""
        measured = {}
        for place, (name, scores) in enumerate(zip(self._names, self.scores, strict=True)):
            count = int(self.count[place])
            mean = self.total[place] / self.count[place]
            measured[f"cross_entropy/{name}"] = Measured(mean, count)
            for kind, score in zip(_KINDS, _metrics(scores), strict=True):
                value = score.compute().to(mean) if count else torch.full_like(mean, torch.nan)
                measured[f"{kind}/{name}"] = Measured(value, count)
        return measured

    @override
    def reset(self) -> None:
        super().reset()
        for scores in self.scores:
            for score in _metrics(scores):
                score.reset()


def _new_scores() -> dict[str, Metric]:
    options: dict[str, Any] = {"ignore_index": _IGNORED, "validate_args": False}
    made = (
        BinaryAccuracy(**options),
        BinaryF1Score(**options),
        BinaryAUROC(thresholds=_GRID, **options),
        BinaryMatthewsCorrCoef(**options),
    )
    return dict(zip(_KINDS, made, strict=True))


def _metrics(scores: nn.Module) -> list[Metric]:
    return [score for score in scores.children() if isinstance(score, Metric)]
