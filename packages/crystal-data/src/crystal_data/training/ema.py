"""Evaluation with an exponential moving average of the weights."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError
from crystal_data.lightning_internals import average_model


class EMA(WeightAveraging):
    """Keeps a moving average of all weights; validation, checkpoints and the artifact use it.

    In a checkpoint ``state_dict`` is the average, so that testing it needs no callback, and the
    raw weights lie beside it for resuming.

    Args:
        decay: Share of the old average kept at each step. Early on it is smaller,
            ``(1 + step) / (10 + step)``, so that the start is soon forgotten.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0.0 < decay < 1.0:
            raise InvalidArgumentError(f"decay must be between 0 and 1, not {decay}")
        self.decay = decay
        super().__init__(avg_fn=self._average)

    @torch.no_grad()
    def _average(self, average: Tensor, current: Tensor, step: Tensor | int) -> Tensor:
        if not average.is_floating_point():
            return current
        decay = min(self.decay, (1.0 + float(step)) / (10.0 + float(step)))
        return average.lerp(current, 1.0 - decay)

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The average is made before the model moves to its device, and would stay behind.
        average = average_model(self)
        if average is not None:
            average.to(pl_module.device)

    @override
    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Outside of fit the average was loaded as the model's own weights, as it should be.
        if average_model(self) is not None:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
