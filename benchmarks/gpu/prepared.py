"""A store that was prepared elsewhere, and a training that ends when its time is up."""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from crystal_data import CrystalSource, Record, Rejection


class Prepared(CrystalSource):
    """A source whose store has been carried here; it cannot be read again."""

    @staticmethod
    def describe(source: CrystalSource, folder: Path) -> None:
        """Writes down what a source is, beside its store."""
        described = {
            "name": source.name,
            "units": source.units,
            "fingerprint": source.fingerprint(),
        }
        (folder / "source.json").write_text(json.dumps(described), encoding="utf-8")

    def __init__(self, folder: Path) -> None:
        self._described = json.loads((folder / "source.json").read_text(encoding="utf-8"))

    @property
    @override
    def name(self) -> str:
        return self._described["name"]

    @property
    @override
    def units(self) -> dict[str, str]:
        return self._described["units"]

    @override
    def prepare(self) -> None:
        """Nothing to fetch."""

    @override
    def fingerprint(self) -> str:
        return self._described["fingerprint"]

    @override
    def records(self) -> Iterator[Record | Rejection]:
        raise RuntimeError("the store is missing or was written by other code: prepare it anew")


class Deadline(Callback):
    """Ends a training after the epoch in which its time is up.

    Lightning's Timer would count the time of earlier calls too.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or time.monotonic() > self._end


def quiet_trainer(
    options: argparse.Namespace, folder: Path, callbacks: Sequence[Callback], clip: float
) -> Trainer:
    """A trainer on one device that writes nothing by itself.

    Args:
        options: With ``epochs`` and ``precision``.
        folder: Of the run.
        callbacks: A `Deadline` among them.
        clip: Greatest norm of a gradient.
    """
    return Trainer(
        max_epochs=options.epochs,
        accelerator="auto",
        devices=1,
        precision=options.precision,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        gradient_clip_val=clip,
        default_root_dir=folder,
        callbacks=list(callbacks),
        num_sanity_val_steps=0,
    )
