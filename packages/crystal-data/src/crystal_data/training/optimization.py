"""What Lightning is told of an optimizer and of the schedule of its learning rate."""

from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR

from crystal_data.errors import InvalidArgumentError
from crystal_data.training.schedules import WholeRunScheduler


def optimizer_plan(
    module: LightningModule,
    optimizer: Optimizer,
    lr_scheduler: LRSchedulerCallable | None,
) -> OptimizerLRScheduler:
    """For ``configure_optimizers``: steps a schedule as often as its kind wants it.

    Args:
        module: The one that is trained; its Trainer knows how long the run is.
        optimizer: With all its parameters.
        lr_scheduler: Called with the optimizer. ``OneCycle`` and ``WarmupCosine`` learn the number
            of steps from the Trainer.

    Raises:
        InvalidArgumentError: If a schedule over the whole run has a run without an end.
    """
    if lr_scheduler is None:
        return optimizer
    scheduler = lr_scheduler(optimizer)
    each_step = isinstance(scheduler, WholeRunScheduler | OneCycleLR | CyclicLR)
    if isinstance(scheduler, WholeRunScheduler):
        scheduler.set_total_steps(_total_steps(module))
    plan: LRSchedulerConfigType = {
        "scheduler": scheduler,
        "interval": "step" if each_step else "epoch",
    }
    if isinstance(scheduler, ReduceLROnPlateau):
        plan["monitor"] = scheduler.monitor
    return {"optimizer": optimizer, "lr_scheduler": plan}


def _total_steps(module: LightningModule) -> int:
    steps = module.trainer.estimated_stepping_batches
    if steps == float("inf"):
        raise InvalidArgumentError(
            "a schedule over the whole run needs an end: set trainer.max_epochs or "
            "trainer.max_steps"
        )
    return int(steps)
