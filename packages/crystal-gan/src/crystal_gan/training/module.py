"""The LightningModule that trains a network to repair crystals, without labels."""

from collections.abc import Mapping, Sequence

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from typing_extensions import override

from crystal_data import CrystalBatch
from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import global_mean, without_statistics
from crystal_data.training import (
    CrystalModule,
    HiddenElementSums,
    Measured,
    NamedMeans,
    Sums,
    hidden_elements,
)
from crystal_data.transforms import (
    MaskAtoms,
    PerturbAtoms,
    PerturbLattice,
    SampleRandom,
    Transform,
)
from crystal_gan.models.repair import Repair, RepairModel
from crystal_gan.training.fakes import original
from crystal_gan.training.losses import displacement_sums, strain_sums

_TOP = 5
_HEADS = {
    "element": (MaskAtoms, "element_head."),
    "displacement": (PerturbAtoms, "displacement_head."),
    "strain": (PerturbLattice, "strain_head."),
}
_NOT_TOLD = 0.2  # share of the crystals whose vector a self-conditioned model is not told


class RepairModule(CrystalModule):
    """Trains a model to fill in hidden elements and to put moved atoms back.

    It needs no labels. Every crystal is corrupted anew each time it is shown; in evaluation it is
    always corrupted in the same way. Logs ``<stage>/loss``, which chooses the best checkpoint, and
    its parts. ``element_loss`` is the cross-entropy over hidden atoms alone, since seen ones need
    only be copied; ``masked_accuracy`` and ``masked_top5`` are the shares of them whose element is
    the likeliest, or among the five likeliest. ``displacement_loss`` is the squared error as a
    share of what it is without any repair, ``position_error`` the mean distance of atoms from where
    they belong, Å, beside what it is without repair, ``position_error_unrepaired``. The same of
    strains: ``strain_loss``, ``strain_error``, ``strain_error_unrepaired``.

    A model that is ``self_conditioned`` is told its own vector of the crystal as it was, except of
    one in five, and learns through it too. With hidden elements there would be nothing to learn.

    Args:
        model: What is trained.
        corruptions: What is done to crystals: one or more of ``MaskAtoms``, ``PerturbAtoms`` and,
            for a model that repairs cells, ``PerturbLattice``.
        displacement_weight: Factor of ``displacement_loss`` in the loss.
        strain_weight: Factor of ``strain_loss`` in the loss.
        optimizer: Called with the parameters.
        lr_scheduler: Called with the optimizer. ``OneCycle`` and ``WarmupCosine`` of
            ``crystal_data.training`` learn the number of steps from the Trainer.
        seed: Of which crystals a self-conditioned model is not told.

    Raises:
        InvalidArgumentError: If there is nothing to repair, or what the model cannot.

    Source:
        The published self-supervised Equiformer: hidden species and noise on positions. There all
        atoms count in the loss of elements, and displacements are fractional, which depend on the
        choice of cell.
    """

    def __init__(
        self,
        model: RepairModel,
        corruptions: Sequence[Transform],
        *,
        displacement_weight: float = 1.0,
        strain_weight: float = 1.0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(model, optimizer=optimizer, lr_scheduler=lr_scheduler)
        self._corruptions = tuple(corruptions)
        self._weights = {"displacement": displacement_weight, "strain": strain_weight}
        self._seed = seed
        kinds = [type(corruption) for corruption in corruptions]
        self._parts = [part for part, (kind, _) in _HEADS.items() if kind in kinds]
        if not self._parts:
            raise InvalidArgumentError(
                "corruptions: there is nothing to repair",
                "give MaskAtoms or PerturbAtoms of crystal_data.transforms, not "
                f"{[kind.__name__ for kind in kinds]}",
            )
        if "strain" in self._parts and model.strain_head is None:
            raise InvalidArgumentError(
                "corruptions: this model cannot undo PerturbLattice",
                "give RepairModel repairs_cell: true, or leave out PerturbLattice",
            )
        if "element" in self._parts and model.condition is not None:
            raise InvalidArgumentError(
                "a self-conditioned model is told which elements MaskAtoms has hidden",
                "leave out MaskAtoms, or self_conditioned",
            )
        self._element_sums = HiddenElementSums(top=_TOP)
        for name in self.untrained:
            # Data parallel would wait for the gradients of unused parameters.
            model.get_parameter(name).requires_grad_(False)

    @property
    @override
    def corruptions(self) -> tuple[Transform, ...]:
        return self._corruptions

    @property
    @override
    def untrained(self) -> tuple[str, ...]:
        heads = tuple(head for part, (_, head) in _HEADS.items() if part not in self._parts)
        return tuple(n for n, _ in self.model.named_parameters() if heads and n.startswith(heads))

    @override
    def setup(self, stage: str) -> None:
        self._element_sums.take_sources(self.datamodule)
        super().setup(stage)

    @property
    def measured(self) -> list[str]:
        """Names of all that is measured of repairs."""
        names = self._element_sums.names if "element" in self._parts else []
        if "displacement" in self._parts:
            names += ["displacement_loss", "position_error", "position_error_unrepaired"]
        if "strain" in self._parts:
            names += ["strain_loss", "strain_error", "strain_error_unrepaired"]
        return names

    @override
    def new_metric(self) -> NamedMeans:
        return NamedMeans(self.measured)

    @override
    def epoch_metrics(self, measured: dict[str, Measured]) -> dict[str, Measured]:
        losses = {part: f"{part}_loss" for part in self._parts}
        for name in ("displacement_loss", "strain_loss"):
            if name in measured:  # a share of squares, which counts no labels
                measured[name] = Measured(measured[name].value)
        known = {p: measured[name].value for p, name in losses.items() if name in measured}
        return measured | {"loss": Measured(self._loss(known))}

    @override
    def forward(self, batch: CrystalBatch) -> Repair:
        """Repairs a batch."""
        if self.model.condition is None:
            repair: Repair = self.model(batch)
            return repair
        return self.model(batch, crystals=self._told(batch))

    def _told(self, batch: CrystalBatch) -> Tensor:
        """Vectors of the crystals as they were, zero for some in training."""
        assert isinstance(self.model, RepairModel)
        vectors = self.model.encode(original(batch).with_edges(self.model.graph_spec))
        if self.training:
            rng = SampleRandom(self._seed, self.current_epoch, batch.sample_id)
            is_told = rng.uniform("told").to(vectors) >= _NOT_TOLD
            vectors = vectors * is_told[:, None]
        return vectors

    @override
    def training_step(self, batch: CrystalBatch, batch_idx: int) -> Tensor | None:
        with without_statistics(batch.is_filler):
            sums = self.sums(batch)
        self.train_metric.update(sums)
        return self.repair_loss(sums)

    @override
    def validation_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        self.val_metric.update(self.sums(batch))

    @override
    def test_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        self.test_metric.update(self.sums(batch))

    def sums(self, batch: CrystalBatch) -> Sums:
        """Totals and counts of all that is measured, of a batch that was corrupted."""
        return self.sums_of(self(batch), batch)

    def sums_of(self, repair: Repair, batch: CrystalBatch) -> Sums:
        """Totals and counts of a repair of a batch."""
        sums: dict[str, tuple[Tensor, Tensor]] = {}
        if "element" in self._parts:
            hidden, _ = hidden_elements(batch)
            sums |= self._element_sums(repair.logits[hidden], batch)
        if "displacement" in self._parts:
            sums |= displacement_sums(repair.displacement, batch)
        if repair.strain is not None and "strain" in self._parts:
            sums |= strain_sums(repair.strain, batch)
        # A padding batch repeats crystals of another process and carries no loss.
        share = 0.0 if batch.is_filler else 1.0
        return {name: (share * total, share * count) for name, (total, count) in sums.items()}

    def repair_loss(self, sums: Sums) -> Tensor:
        """The loss of a batch, over all processes."""
        return self._loss({part: global_mean(*sums[f"{part}_loss"]) for part in self._parts})

    def _loss(self, parts: Mapping[str, Tensor]) -> Tensor:
        weighted = [self._weights.get(part, 1.0) * loss for part, loss in parts.items()]
        return torch.stack(weighted).sum()
