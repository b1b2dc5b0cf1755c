"""The LightningModule that trains models of structures."""

from collections.abc import Mapping

import numpy as np
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.loading import OrbitBatch, OrbitCollator
from crystal_data.metrics import MatchSettings, Outcome, match_pairs
from crystal_data.processes import global_mean
from crystal_data.store import OrbitColumn
from crystal_data.training import CrystalModule, Measured, NamedMeans, Sums
from crystal_data.transforms import SampleRandom
from crystal_gen.batches import crystals_of
from crystal_gen.structure_model import Sampling, StructureModel

_PARTS = ("coordinates", "cell")


class StructureModule(CrystalModule):
    """Trains a model to make the crystals of a data set from their symmetry, or without it.

    Which of the two, the model says (``uses_symmetry``).

    Logs ``<stage>/loss`` and its parts ``coordinates`` and ``cell``, with the same noise in every
    validation. Of validation and test crystals one sample each is made and compared with the truth
    (``StructureMatcher`` with stol 0.5, ltol 0.3, angle_tol 10): ``val/match_rate`` chooses the
    best checkpoint; ``rmse`` is the mean over matches in units of (volume / atoms)^(1/3).

    Args:
        model: What is trained.
        symprec: How far an atom of the data may be from where symmetry sends it, Å.
        cell_weight: Factor of the cell's part in the loss.
        sampling: How validation and test crystals are made; None takes what suits the model.
        max_val_samples: Validation crystals that are made; the first of a shuffle.
        seed: Of all noise.
        optimizer: Called with the parameters.
        lr_scheduler: Called with the optimizer. ``OneCycle`` and ``WarmupCosine`` of
            ``crystal_data.training`` learn the number of steps from the Trainer.
    """

    monitor = "val/match_rate"
    monitor_mode = "max"

    def __init__(
        self,
        model: StructureModel,
        *,
        symprec: float = 0.1,
        cell_weight: float = 0.5,
        sampling: Sampling | None = None,
        max_val_samples: int = 500,
        seed: int = 0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(model, optimizer=optimizer, lr_scheduler=lr_scheduler)
        if max_val_samples < 1:
            raise InvalidArgumentError(
                f"max_val_samples is {max_val_samples}; samples choose the best checkpoint",
                "give at least 1",
            )
        self.structure_model = model
        self.cell_weight = cell_weight
        self._collator = OrbitCollator(OrbitColumn(symprec, uses_symmetry=model.uses_symmetry))
        self._sampling = sampling or model.default_sampling
        self._max_val_samples = max_val_samples
        self._seed = seed
        self._sampled_rows: Tensor | None = None

    @property
    @override
    def targets(self) -> tuple[str, ...]:
        return self.structure_model.properties

    @property
    @override
    def needs_labels(self) -> bool:
        return False

    @property
    @override
    def collator(self) -> OrbitCollator:
        return self._collator

    @override
    def take_fields(self, fields: Mapping[str, Field], *, is_fit: bool) -> None:
        self.structure_model.take_units(fields, is_fit=is_fit)

    @override
    def new_metric(self) -> NamedMeans:
        return NamedMeans((*_PARTS, "match_rate", "rmse"))

    @override
    def epoch_metrics(self, measured: dict[str, Measured]) -> dict[str, Measured]:
        parts = {name: measured[name].value for name in _PARTS if name in measured}
        return measured | {"loss": Measured(self._loss(parts))}

    @override
    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = self.datamodule
        if stage != "fit":
            return
        if data is None:
            raise InvalidArgumentError(
                "cells and properties are normalized by the training split, which loaders do not "
                "name",
                "give fit() a CrystalDataModule",
            )
        self.structure_model.fit_scales(data.train_batch())
        shuffled = np.random.default_rng(self._seed).permutation(data.sample_ids("val"))
        self._sampled_rows = torch.from_numpy(np.sort(shuffled[: self._max_val_samples]))

    @override
    def training_step(self, batch: OrbitBatch, batch_idx: int) -> Tensor:
        sums = self._sums(batch, SampleRandom(self._seed, self.current_epoch, batch.sample_id))
        self.train_metric.update(sums)
        return self._loss({name: global_mean(*sums[name]) for name in _PARTS})

    @override
    def validation_step(self, batch: OrbitBatch, batch_idx: int) -> None:
        self.val_metric.update(self._sums(batch, self._fixed_noise(batch)))
        if self._sampled_rows is not None:
            rows = self._sampled_rows.to(batch.sample_id.device)
            batch = batch.select(torch.isin(batch.sample_id, rows))
        self.val_metric.update(self._matches(batch))

    @override
    def test_step(self, batch: OrbitBatch, batch_idx: int) -> None:
        self.test_metric.update(self._sums(batch, self._fixed_noise(batch)))
        self.test_metric.update(self._matches(batch))

    def _fixed_noise(self, batch: OrbitBatch) -> SampleRandom:
        return SampleRandom(self._seed, 0, batch.sample_id)

    def _sums(self, batch: OrbitBatch, random: SampleRandom) -> Sums:
        sums = self.structure_model.losses(batch, random)
        # A padding batch repeats crystals of another process and carries no loss.
        share = 0.0 if batch.is_filler else 1.0
        return {name: (share * total, share * count) for name, (total, count) in sums.items()}

    def _matches(self, batch: OrbitBatch) -> Sums:
        """Whether one sample of each crystal is the crystal."""
        if batch.is_filler or not batch.num_crystals:
            return {}
        made = self.structure_model.sample(batch, self._fixed_noise(batch), self._sampling)
        pairs = [
            (None if sample is None else sample.to_crystal(), true.to_crystal())
            for sample, true in zip(crystals_of(made), crystals_of(batch), strict=True)
            if true is not None
        ]
        found = [
            pair.rms
            for pair in match_pairs(pairs, MatchSettings(num_workers=0))
            if pair.outcome is Outcome.MATCH
        ]
        values = torch.tensor([len(found), len(pairs), sum(found)], dtype=torch.float32)
        matched, compared, displaced = values.to(self.device)
        return {"match_rate": (matched, compared), "rmse": (displaced, matched)}

    def _loss(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Coordinates and cell together; a batch in which nothing of one is free lacks it."""
        return parts["coordinates"] + self.cell_weight * parts["cell"]
