"""The private parts of Lightning that these packages use; no other module touches any.

Lightning may change them with any minor release, so ``pyproject.toml`` bounds its version from
above, and ``tests/test_lightning_internals.py`` compares each with the installed version.
"""

from typing import Any

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.loops.loop import _Loop
from torch.optim.swa_utils import AveragedModel


def uses_distributed_sampler(trainer: Trainer) -> bool:
    """Whether the trainer replaces samplers by its own distributed one.

    Private: ``Trainer._accelerator_connector``. The trainer keeps this argument nowhere else.
    """
    return bool(trainer._accelerator_connector.use_distributed_sampler)


def attached_data_module(trainer: Trainer) -> LightningDataModule | None:
    """The data module that the trainer runs with; None where it was given loaders.

    Private: ``Trainer.datamodule`` is in no signature and no type; its data connector sets it.
    """
    found: LightningDataModule | None = trainer.datamodule  # type: ignore[attr-defined]
    return found


def is_trial(trainer: Trainer) -> bool:
    """Whether this is a ``fast_dev_run``, which leaves nothing behind.

    Private: ``Trainer.fast_dev_run``, an argument that is kept in no declared attribute.
    """
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def num_trained_epochs(trainer: Trainer) -> int:
    """Epochs whose batches have all been trained on.

    Private: ``Trainer.fit_loop.epoch_progress``. ``Trainer.current_epoch`` is one less while an
    epoch ends, and where a finished training was resumed.
    """
    progress: Any = trainer.fit_loop.epoch_progress.current
    return int(progress.processed)


def num_logged_steps(trainer: Trainer) -> int:
    """Training steps so far, as loggers count them.

    Private: ``_batches_that_stepped`` of the epoch loop. ``Trainer.global_step`` counts one for
    each optimizer.
    """
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def metrics_to_log(trainer: Trainer) -> dict[str, float]:
    """Metrics of this epoch for the loggers, before they have received them.

    Private: ``Trainer._logger_connector``. ``Trainer.logged_metrics`` has those of earlier epochs
    too.
    """
    logged = trainer._logger_connector.metrics["log"]
    return {name: float(value) for name, value in logged.items()}


def begin_next_epoch(trainer: Trainer) -> None:
    """Makes a training that resumes from the end of an epoch begin the next one like any other.

    With ``max_steps`` Lightning would end the epoch of the checkpoint a second time. It would also
    keep the iterator that it made before it set the sampler's epoch: workers have already asked
    for the batches of epoch 0.

    Private: ``epoch_progress`` and ``on_iteration_done`` of the fit loop, and ``restarting`` of
    ``_Loop``, which sets it in the inner loops too. No public call ends a resumption.
    """
    loop: Any = trainer.fit_loop
    loop.epoch_progress.current.completed = loop.epoch_progress.current.processed
    # The fit loop's own setter makes it True wherever max_steps is given.
    _Loop.restarting.fset(loop, False)  # type: ignore[attr-defined]
    loop.on_iteration_done()


def average_model(callback: WeightAveraging) -> AveragedModel | None:
    """The averaged weights of a callback; None outside of a training.

    Private: ``WeightAveraging._average_model``. No public attribute has it.
    """
    return callback._average_model
