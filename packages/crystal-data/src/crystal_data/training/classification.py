"""The LightningModule that fits probabilities of classes."""

from typing import ClassVar

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from typing_extensions import override

from crystal_data.artifacts.pretrained import PretrainedModel
from crystal_data.training.class_scores import ClassScores
from crystal_data.training.means import Measured
from crystal_data.training.module import PropertyModule
from crystal_data.training.target_loss import WeightedLoss


class ClassificationModule(PropertyModule):
    """Fits the probability that a crystal is of a class, such as stable.

    The model's outputs are logits, compared with labels of 0 and 1 by binary cross-entropy. Tables
    of predictions and artifacts give probabilities. ``crystal_data.ThresholdSource`` makes such
    labels out of a number and a threshold.

    Logs ``<stage>/accuracy/<target>``, ``f1``, ``auroc``, ``mcc`` and ``cross_entropy``, and
    ``<stage>/cross_entropy``, the mean over targets, which chooses the best checkpoint.

    Args:
        model: Maps a batch to ``[num_crystals, num_targets]``, logits.
        targets: Columns of the data set with labels of 0 and 1, in the order of the model's
            outputs; as one text too, with commas between them.
        target_weights: Factor of a target in the loss, 1 for those that are not named.
        optimizer: Called with the parameters.
        lr_scheduler: As ``PropertyModule``.
    """

    monitor = "val/cross_entropy"
    are_probabilities: ClassVar[bool] = True

    def __init__(
        self,
        model: PretrainedModel,
        targets: list[str] | str,
        *,
        target_weights: dict[str, float] | None = None,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            model,
            targets,
            target_weights=target_weights,
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
        )
        self.target_loss = WeightedLoss(self.targets, "cross_entropy", target_weights or {})
        self.target_loss.take_columns(self._columns)

    @override
    def new_metric(self) -> ClassScores:
        return ClassScores(self.targets)

    @override
    def epoch_metrics(self, measured: dict[str, Measured]) -> dict[str, Measured]:
        of_targets = [measured[f"cross_entropy/{name}"] for name in self.targets]
        mean = torch.stack([one.value for one in of_targets]).nanmean()
        num_labels = sum(one.num_labels or 0 for one in of_targets)
        return measured | {"cross_entropy": Measured(mean, num_labels)}
