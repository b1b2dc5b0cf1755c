"""Checkpoints that a training, killed at any moment, goes on from as if nothing had happened."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from typing_extensions import override

from crystal_data.io.files import atomic_path
from crystal_data.lightning_internals import (
    begin_next_epoch,
    metrics_to_log,
    num_logged_steps,
    num_trained_epochs,
)
from crystal_data.run_folder import EPOCH, LAST, STEP
from crystal_data.training.checkpoint_file import read_checkpoint
from crystal_data.training.metrics_table import MetricsTable

_REMOTE = "://"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, down to the disk, and moves it there in one step.

    Lightning's own goes through a temporary folder, which may be on another file system; moving
    from there copies, and a copy can be cut short.

    Args:
        resumes: Whether a checkpoint is loaded to go on training from it.
    """

    def __init__(self, *, resumes: bool = False) -> None:
        super().__init__()
        self._resumes = resumes

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        if _REMOTE in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        # An open file rather than its path, whose random name would become part of the content.
        with atomic_path(Path(path)) as temporary:
            try:
                with temporary.open("wb") as file:
                    torch.save(checkpoint, file)
            except RuntimeError as error:
                # On a full disk torch closes its archive, and says that it is incomplete.
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise

    @override
    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any | None = lambda storage, _: storage,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        if _REMOTE in str(path):
            return super().load_checkpoint(path, map_location, weights_only=True)
        return read_checkpoint(path, map_location, to_resume=self._resumes)


class LastCheckpoint(ModelCheckpoint):
    """``last.ckpt``, at the end of every epoch.

    ``ModelCheckpoint(save_last=True)`` writes it only after epochs that were the best so far, and
    within the epoch where validation is rare.

    Args:
        dirpath: Folder.
    """

    def __init__(self, dirpath: Path) -> None:
        super().__init__(
            dirpath=dirpath,
            filename=LAST,
            save_top_k=1,
            every_n_epochs=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )


class ExactResume(Callback):
    """Keeps in each checkpoint what Lightning leaves out or does only after it was written.

    That is: a decision to stop early, the step of schedulers that wait for a metric, and this
    epoch's numbers in ``metrics.csv``. Only checkpoints written when an epoch ends have it; from
    one of those the next epoch begins like any other.
    """

    _KEY = "crystal_resume"

    def __init__(self) -> None:
        self._monitored: dict[str, float] | None = None

    @override
    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if num_trained_epochs(trainer) == trainer.current_epoch:
            return  # the epoch goes on
        metrics = trainer.callback_metrics
        monitors = {str(config.monitor) for config in trainer.lr_scheduler_configs}
        checkpoint[self._KEY] = {
            "should_stop": trainer.should_stop,
            "monitored": {name: float(metrics[name]) for name in monitors if name in metrics},
            "tables": [table.rows_with(_epoch_numbers(trainer)) for table in _tables(trainer)],
        }

    @override
    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        state = checkpoint.get(self._KEY)
        if state is None or trainer.state.fn != TrainerFn.FITTING:
            return
        self._monitored = state["monitored"]
        # Other callbacks that stop, such as one at a time of day, ask anew.
        if trainer.early_stopping_callbacks:
            trainer.should_stop = state["should_stop"]
        for table, rows in zip(_tables(trainer), state["tables"], strict=False):
            table.restore(rows)

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        monitored, self._monitored = self._monitored, None
        if monitored is None:
            return
        begin_next_epoch(trainer)
        if not pl_module.automatic_optimization:
            return  # the module has stepped its schedules before the checkpoint was written
        for config in trainer.lr_scheduler_configs:
            due = trainer.current_epoch % config.frequency == 0 and config.interval == "epoch"
            if config.reduce_on_plateau and due and config.monitor in monitored:
                pl_module.lr_scheduler_step(config.scheduler, monitored[config.monitor])


def _tables(trainer: Trainer) -> list[MetricsTable]:
    return [logger for logger in trainer.loggers if isinstance(logger, MetricsTable)]


def _epoch_numbers(trainer: Trainer) -> dict[str, float]:
    step = num_logged_steps(trainer) - 1
    return {EPOCH: trainer.current_epoch, STEP: step, **metrics_to_log(trainer)}
