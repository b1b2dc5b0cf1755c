"""A module that takes its own steps with two optimizers."""

from functools import partial

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.optim.lr_scheduler import ExponentialLR

from crystal_data import CrystalBatch
from crystal_data.artifacts import PretrainedModel
from crystal_data.field import Field
from crystal_data.processes import global_mean, without_statistics
from crystal_data.training import CrystalModule, OptimizerPlan, TargetErrors, masked_loss


class TwoOptimizers(CrystalModule):
    """A model learns labels and to please a critic, which learns to tell both apart.

    Args:
        model: Predicts one number for each crystal.
        target: Column of the data set.
        optimizer: Called with the parameters of each of the two.
        lr_scheduler: Of the model, which takes a step after every second batch; the critic's
            learning rate falls after each epoch.
    """

    monitor = "val/mae"

    def __init__(
        self,
        model: PretrainedModel,
        target: str,
        *,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(model, optimizer=optimizer, lr_scheduler=lr_scheduler)
        self.automatic_optimization = False
        self.critic = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
        self._target = target

    @property
    def targets(self):
        return (self._target,)

    def new_metric(self):
        return TargetErrors([Field(self._target)])

    def epoch_metrics(self, measured):
        return measured | {"mae": measured[f"mae/{self._target}"]}

    def optimizer_plans(self):
        return [
            OptimizerPlan(self._optimizer(self.model.parameters()), self._lr_scheduler, every=2),
            OptimizerPlan(
                self._optimizer(self.critic.parameters()), partial(ExponentialLR, gamma=0.9)
            ),
        ]

    def _judged(self, values: Tensor, label: Tensor) -> Tensor:
        known = ~label.isnan()
        judged = self.critic(torch.where(known, values, 0.0)) * known
        return global_mean(judged.sum(), known.to(judged.dtype).sum())

    def training_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        label = batch.targets[self._target][:, None]
        with without_statistics(batch.is_filler):
            prediction = self.model(batch)
        label = label.to(prediction.dtype)
        self.train_metric.update(prediction, label)
        size = sum(p.square().sum() for p in self.critic.parameters())
        apart = self._judged(prediction.detach(), label) - self._judged(label, label)
        self.step_optimizer(1, apart + 0.1 * size)
        if batch_idx % 2 == 0:
            loss = masked_loss(prediction, label, "mse") - 0.1 * self._judged(prediction, label)
            self.step_optimizer(0, loss)

    def validation_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        self.val_metric.update(self.model(batch), batch.targets[self._target][:, None])

    def test_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        self.test_metric.update(self.model(batch), batch.targets[self._target][:, None])
