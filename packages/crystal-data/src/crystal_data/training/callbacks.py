"""What every run prints and leaves behind besides its checkpoints."""

import copy
import os
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from typing_extensions import override

from crystal_data.artifacts.registry import ArtifactError
from crystal_data.lightning_internals import (
    attached_data_module,
    is_trial,
    num_trained_epochs,
)
from crystal_data.loading.datamodule import CrystalDataModule
from crystal_data.metrics.result import MetricResult
from crystal_data.processes.progress import Pace
from crystal_data.processes.signals import Terminated
from crystal_data.run_folder import LAST, RunFolder
from crystal_data.training.checkpoint_file import read_checkpoint
from crystal_data.training.crystal_module import CrystalModule, crystal_module
from crystal_data.training.trainer_run import run_of
from crystal_data.versions import library_versions


class EpochPrinter(Callback):
    """Prints one line for each epoch, where a progress bar would fill a log file."""

    def __init__(self) -> None:
        self._started = 0.0
        self._pace = Pace()

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Only now are all numbers of the epoch before there, those of training included.
        self._report(trainer, trainer.current_epoch)
        if not self._started:
            self._pace = Pace()
        self._started = time.perf_counter()

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._sign_of_life(trainer, "step", batch_idx + 1, trainer.num_training_batches)

    @override
    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **options: Any
    ) -> None:
        if not trainer.sanity_checking:
            total = sum(trainer.num_val_batches)
            self._sign_of_life(trainer, "validation batch", args[2] + 1, total)

    def _sign_of_life(self, trainer: Trainer, what: str, done: int, total: float) -> None:
        # Epochs that end soon say enough by themselves.
        if trainer.is_global_zero and self._pace.is_due() and done < total:
            epoch = f"epoch {trainer.current_epoch + 1}/{_number_of_epochs(trainer)}"
            print(f"in {epoch}: {what} {done} of {total:g}", flush=True)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report(trainer, trainer.current_epoch)

    def _report(self, trainer: Trainer, finished: int) -> None:
        if not trainer.is_global_zero or not self._started:
            return
        seconds = time.perf_counter() - self._started
        monitor = crystal_module(trainer.lightning_module).monitor
        names = dict.fromkeys(("train/loss", "train/mae", "val/loss", "val/mae", monitor))
        values = {name: trainer.callback_metrics.get(name) for name in names}
        parts = [
            f"{name} {float(value):.4g}" for name, value in values.items() if value is not None
        ]
        epoch = f"epoch {finished}/{_number_of_epochs(trainer)}"
        print(f"{epoch}  {'  '.join(parts)}  {seconds:.1f} s", flush=True)


class FitSummary(Callback):
    """Says what is about to be trained on what: size of the model, steps, units, labels."""

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        module = crystal_module(pl_module)
        print("\n".join(_summary_lines(trainer, module)), flush=True)


def _summary_lines(trainer: Trainer, module: CrystalModule) -> list[str]:
    counts = [(one.numel(), one.requires_grad) for one in module.parameters()]
    total, trained = sum(n for n, _ in counts), sum(n for n, is_trained in counts if is_trained)
    frozen = f", {total - trained:,} of them frozen" if trained < total else ""
    lines = [
        f"{type(module.model).__name__}: {total:,} parameters{frozen}; "
        f"{_number_of_epochs(trainer)} epochs of {trainer.num_training_batches:g} steps on "
        f"{module.device.type}"
    ]
    data = module.datamodule
    labels = {} if data is None else data.training_domain()["targets"]
    for name, spread in labels.items():
        unit = f" [{module.units[name]}]" if module.units.get(name, "1") != "1" else ""
        lines.append(
            f"{name}{unit}: {spread['num_labels']:,} labels from {spread['min']:.4g} to "
            f"{spread['max']:.4g}, mean absolute deviation {spread['mean_absolute_deviation']:.3g}"
        )
    return lines


def _number_of_epochs(trainer: Trainer) -> int | str:
    most = trainer.max_epochs or -1
    return most if most > 0 else "?"


class InterruptNote(Callback):
    """Says how to go on with a training that Ctrl-C or SIGTERM has ended."""

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        run = RunFolder(Path(trainer.default_root_dir))
        ended = isinstance(exception, KeyboardInterrupt | Terminated)
        if ended and run.checkpoint(LAST).is_file():
            exception.add_note(
                f"to go on: --trainer.default_root_dir {run.path} --ckpt_path {LAST}"
            )


class LearningRate(Callback):
    """Logs the learning rate that each epoch ended with: ``lr``; of several ``lr/0``, ``lr/1``."""

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        several = len(trainer.optimizers) > 1
        for place, optimizer in enumerate(trainer.optimizers):
            name = f"lr/{place}" if several else "lr"
            pl_module.log(name, optimizer.param_groups[0]["lr"], sync_dist=True)


class ArtifactExport(Callback):
    """Writes ``artifact/`` when training ends, from the best checkpoint where there is one.

    A model that no registry knows, such as a user's own, trains all the same; then the reason for
    there being no artifact is printed.
    """

    @override
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = run_of(trainer).artifact
        if not trainer.is_global_zero or is_trial(trainer):
            return
        module = copy.deepcopy(crystal_module(pl_module))
        best = best_checkpoint(trainer)
        if best is not None:
            module.load_state_dict(read_checkpoint(best, "cpu")["state_dict"])
        try:
            module.save_pretrained(folder, metadata=artifact_metadata(trainer))
        except ArtifactError as error:
            print(f"no artifact: {error}")
        else:
            print(f"artifact: {folder}")


class ResultsFile(Callback):
    """Writes ``results.json``: validation errors of the best epoch, and those of every test."""

    def __init__(self) -> None:
        self._score: float | None = None
        self._best: dict[str, float] = {}
        self._num_labels: dict[str, int] = {}

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # A file that cannot be added to is found before the work is done.
        run_of(trainer).results()

    @override
    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Whichever checkpoint this is, the score of the best one is settled by now.
        self._remember(trainer, pl_module)
        checkpoint["callbacks"][self.state_key] = {
            "score": self._score,
            "best": self._best,
            "num_labels": self._num_labels,
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._score, self._best = state_dict["score"], state_dict["best"]
        self._num_labels = state_dict["num_labels"]

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.checkpoint_callback is None:
            self._remember(trainer, pl_module)

    @override
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module = crystal_module(pl_module)
        self._write(trainer, module, "val", self._best, self._num_labels)

    @override
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = _metrics(trainer, "test")
        module = crystal_module(pl_module)
        self._write(trainer, module, "test", metrics, _num_labels(module, metrics))

    def _remember(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module, score = crystal_module(pl_module), _best_score(trainer)
        if score is None or score != self._score:
            self._score, self._best = score, _metrics(trainer, "val")
            self._num_labels = _num_labels(module, self._best)

    def _write(
        self,
        trainer: Trainer,
        module: CrystalModule,
        split: str,
        metrics: dict[str, float],
        num_labels: dict[str, int],
    ) -> None:
        run = run_of(trainer)
        if not trainer.is_global_zero or is_trial(trainer) or not metrics:
            return
        results = [result for result in run.results() if not result.metric.startswith(f"{split}/")]
        for name, value in metrics.items():
            parameters = {
                "unit": _unit(module, name),
                "seed": int(os.environ.get("PL_GLOBAL_SEED", "0")),
                "epochs": num_trained_epochs(trainer),
            }
            results.append(
                MetricResult(
                    metric=name,
                    value=value,
                    parameters=parameters,
                    versions=library_versions(),
                    data_hash=data_description(trainer).get("fingerprint", ""),
                    num_samples=num_labels.get(name, 0),
                )
            )
        run.write_results(results)


def _unit(module: CrystalModule, metric: str) -> str:
    _, kind, *target = metric.split("/", 2)
    return "1" if kind == "cosine" else module.units.get("".join(target), "")


def _metrics(trainer: Trainer, split: str) -> dict[str, float]:
    found = trainer.callback_metrics.items()
    return {name: float(value) for name, value in found if name.startswith(f"{split}/")}


def _num_labels(module: CrystalModule, metrics: dict[str, float]) -> dict[str, int]:
    return {name: module.num_labels[name] for name in metrics if name in module.num_labels}


def _best_score(trainer: Trainer) -> float | None:
    callback = trainer.checkpoint_callback
    score = callback.best_model_score if isinstance(callback, ModelCheckpoint) else None
    return None if score is None else float(score)


def best_checkpoint(trainer: Trainer) -> Path | None:
    """File of the best weights, or the last ones if nothing was compared."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            for path in (callback.best_model_path, callback.last_model_path):
                if path and Path(path).is_file():
                    return Path(path)
    return None


def artifact_metadata(trainer: Trainer) -> dict[str, Any]:
    """Versions, data and metrics of a run, as an artifact keeps them."""
    callback, score = trainer.checkpoint_callback, _best_score(trainer)
    monitor = callback.monitor if isinstance(callback, ModelCheckpoint) else None
    metrics = {} if score is None else {str(monitor): score}
    data = attached_data_module(trainer)
    domain = data.training_domain() if isinstance(data, CrystalDataModule) else {}
    return {
        "versions": library_versions(),
        "data": data_description(trainer),
        "training": domain,
        "metrics": metrics,
        "epochs": num_trained_epochs(trainer),
    }


def data_description(trainer: Trainer) -> dict[str, Any]:
    """Source and fingerprint of the data, as far as the data module tells."""
    data = attached_data_module(trainer)
    metadata = data.metadata if isinstance(data, CrystalDataModule) else {}
    return {key: metadata[key] for key in ("source", "fingerprint") if key in metadata}
