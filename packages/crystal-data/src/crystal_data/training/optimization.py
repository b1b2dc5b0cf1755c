"""Optimizers with the schedules of their learning rates, as Lightning wants them."""

from dataclasses import dataclass
from math import ceil

from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities.types import (
    LRSchedulerConfigType,
    OptimizerConfig,
    OptimizerLRSchedulerConfig,
)
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR

from crystal_data.errors import InvalidArgumentError
from crystal_data.training.schedules import WholeRunScheduler


@dataclass(frozen=True)
class OptimizerPlan:
    """One optimizer and the schedule of its learning rate.

    Args:
        optimizer: With all its parameters.
        lr_scheduler: Called with the optimizer. ``OneCycle`` and ``WarmupCosine`` learn the number
            of steps from the Trainer.
        every: Batches for each step of this optimizer, where a module takes the steps itself.
    """

    optimizer: Optimizer
    lr_scheduler: LRSchedulerCallable | None = None
    every: int = 1


def lightning_plan(
    module: LightningModule, plan: OptimizerPlan
) -> OptimizerConfig | OptimizerLRSchedulerConfig:
    """For ``configure_optimizers``: steps a schedule as often as its kind wants it.

    Args:
        module: The one that is trained; its Trainer knows how long the run is.
        plan: The optimizer and its schedule.

    Raises:
        InvalidArgumentError: If a schedule over the whole run has a run without an end.
    """
    if plan.lr_scheduler is None:
        return {"optimizer": plan.optimizer}
    scheduler = plan.lr_scheduler(plan.optimizer)
    if isinstance(scheduler, WholeRunScheduler):
        scheduler.set_total_steps(ceil(_total_batches(module) / plan.every))
    config: LRSchedulerConfigType = {"scheduler": scheduler}
    if module.automatic_optimization:
        config["interval"] = "step" if steps_with_optimizer(scheduler) else "epoch"
        if isinstance(scheduler, ReduceLROnPlateau):
            config["monitor"] = scheduler.monitor
    return {"optimizer": plan.optimizer, "lr_scheduler": config}


def steps_with_optimizer(scheduler: LRScheduler | ReduceLROnPlateau) -> bool:
    """Whether a schedule steps after every step of its optimizer; others do after an epoch."""
    return isinstance(scheduler, WholeRunScheduler | OneCycleLR | CyclicLR)


def _total_batches(module: LightningModule) -> int:
    trainer = module.trainer
    if not module.automatic_optimization and trainer.max_steps != -1:
        raise InvalidArgumentError(
            "trainer.max_steps counts the steps of all optimizers together, so a schedule over the "
            "whole run cannot follow it",
            "set trainer.max_epochs",
        )
    batches = trainer.estimated_stepping_batches
    if batches == float("inf"):
        raise InvalidArgumentError(
            "a schedule over the whole run needs an end: set trainer.max_epochs or "
            "trainer.max_steps"
        )
    return int(batches)
