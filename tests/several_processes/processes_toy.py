"""What configs of the tests name: built-in data with holes, and a callback that keeps gradients."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from crystal_data import BuiltinSource, CrystalDataModule
from crystal_data.io.record import Record
from crystal_data.loading.sampler import BatchRequest
from crystal_data.sources.base import combine_fingerprint
from crystal_data.training.trainer_run import run_of

NUM_TRAIN, NUM_VAL, NUM_TEST = 33, 13, 9


class Holes(BuiltinSource):
    """Some built-in crystals of all kinds; many have no bulk modulus, a few no energy."""

    @property
    def name(self) -> str:
        return "holes"

    def fingerprint(self) -> str:
        return combine_fingerprint(self, super().fingerprint(), {})

    def records(self) -> Iterator[Record]:
        wanted = {"train": NUM_TRAIN, "val": NUM_VAL, "test": NUM_TEST}
        for number, record in enumerate(list(super().records())[::23]):
            if not wanted[record.split]:
                continue
            wanted[record.split] -= 1
            labels = dict(record.properties)
            if number % 3:
                labels["bulk_modulus"] = math.nan
            if number % 7 == 0:
                labels["formation_energy_per_atom"] = math.nan
            yield replace(record, properties=labels)


class StepsOfTwo(CrystalDataModule):
    """Alone, the steps that two processes make together, where bounds let each fill its own."""

    def train_dataloader(self) -> DataLoader[Any]:
        place, shares = self._place, []
        for rank in range(2):
            self._place = lambda rank=rank: (rank, 2)  # type: ignore[method-assign]
            shares.append(super().train_dataloader())
        self._place = place  # type: ignore[method-assign]
        requests = []
        for pair in zip(*(share.sampler for share in shares), strict=True):
            rows = [request.rows for request in pair if not request.is_filler]
            requests.append(BatchRequest(np.concatenate(rows), pair[0].epoch))
        return DataLoader(
            shares[0].dataset, batch_size=None, sampler=requests, collate_fn=lambda batch: batch
        )


class KeepGradients(Callback):
    """Writes ``gradients-<rank>.pt``: gradient, rows and labels of each step, and the buffers."""

    def __init__(self) -> None:
        self._steps: list[dict[str, Any]] = []
        self._batch: Any = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._batch = batch

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        labels = torch.stack(list(self._batch.targets.values()), 1)
        self._steps.append(
            {
                "rows": self._batch.sample_id.clone(),
                "labels": (~labels.isnan()).sum(0),
                "gradients": {
                    name: parameter.grad.clone()
                    for name, parameter in pl_module.named_parameters()
                    if parameter.grad is not None
                },
            }
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        buffers = {name: value.clone() for name, value in pl_module.named_buffers()}
        file = run_of(trainer).path / f"gradients-{trainer.global_rank}.pt"
        torch.save({"steps": self._steps, "buffers": buffers}, file)


class KeepScores(Callback):
    """Leaves every digit of what ``validate`` prints in the run, as ``validated.json``."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        run = run_of(trainer)
        if trainer.is_global_zero:
            scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
            (run.path / "validated.json").write_text(json.dumps(scores), encoding="utf-8")
