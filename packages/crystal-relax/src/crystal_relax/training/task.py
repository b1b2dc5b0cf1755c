"""What modules that train models of relaxations share: targets, true crystals, and errors."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.graphs import CrystalBatch
from crystal_data.training import CrystalModule, Measured, NamedMeans, Sums
from crystal_data.trajectories import DISPLACEMENT, STRAIN
from crystal_relax.graph.geometry import Geometry, displacements, strained
from crystal_relax.model import RelaxationModel
from crystal_relax.training.loss import (
    TrueGeometry,
    cell_parameters,
    position_errors,
    strain_errors,
    true_geometry,
)

_TARGETS = (STRAIN, DISPLACEMENT)


class RelaxationTask(CrystalModule):
    """Trains a model on the first and last frames of relaxations.

    Logs ``<stage>/loss`` and, of what is predicted, ``positions`` (Å, mean over atoms), ``strain``,
    ``lengths`` (Å, mean absolute error of a, b, c) and ``angles`` (degrees). ``val/error``, which
    chooses the best checkpoint, is ``positions`` plus ``cell_weight`` times ``strain``.

    Args:
        model: What is trained.
        cell_weight: Å that a strain of one counts; about the length of a cell's edge.
        optimizer: Called with the parameters.
        lr_scheduler: Called with the optimizer.

    Raises:
        InvalidArgumentError: If the weight is negative.
    """

    monitor = "val/error"

    def __init__(
        self,
        model: RelaxationModel,
        *,
        cell_weight: float = 5.0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(model, optimizer=optimizer, lr_scheduler=lr_scheduler)
        if not cell_weight >= 0:
            raise InvalidArgumentError(f"cell_weight is {cell_weight}; it is 0 or more")
        self.cell_weight = cell_weight

    @abstractmethod
    def predicted(self, batch: CrystalBatch) -> Geometry:
        """What the model makes of a batch of starts; without gradients."""

    @abstractmethod
    def loss(self, batch: CrystalBatch, true: TrueGeometry, share: Tensor) -> Tensor:
        """What is minimized.

        Args:
            batch: Starts.
            true: The relaxed crystals.
            share: 1 for each crystal that counts, else 0; ``[num_crystals]``.
        """

    @property
    @override
    def targets(self) -> tuple[str, ...]:
        return tuple(field.name for field in _TARGETS)

    @override
    def take_fields(self, fields: Mapping[str, Field], *, is_fit: bool) -> None:
        for expected in _TARGETS:
            found = fields.get(expected.name)
            if found is not None and not found.is_like(expected):
                raise InvalidArgumentError(
                    f"'{expected.name}' is {found.words}, expected {expected.words}",
                    "RelaxationSource gives it",
                )

    @override
    def new_metric(self) -> NamedMeans:
        return NamedMeans(("loss", "positions", "strain", "lengths", "angles"))

    @override
    def epoch_metrics(self, measured: dict[str, Measured]) -> dict[str, Measured]:
        found = dict(measured)
        if "loss" in measured:
            found["loss"] = Measured(measured["loss"].value)
        if "positions" in measured and "strain" in measured:
            last = measured["positions"].value + self.cell_weight * measured["strain"].value
            found["error"] = Measured(last)
        return found

    @override
    def validation_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        self.val_metric.update(self._measured(batch)[0])

    @override
    def test_step(self, batch: CrystalBatch, batch_idx: int) -> dict[str, Any]:
        sums, found = self._measured(batch)
        self.test_metric.update(sums)
        return self._rows(batch, found)

    @override
    def predict_step(self, batch: CrystalBatch, batch_idx: int) -> dict[str, Any]:
        return self._rows(batch, self.predicted(batch))

    def _measured(self, batch: CrystalBatch) -> tuple[Sums, Geometry]:
        true, share = self.true(batch)
        found = self.predicted(batch)
        loss = self.loss(batch, true, share)
        return self.sums(batch, found, true, share, loss), found

    def true(self, batch: CrystalBatch) -> tuple[TrueGeometry, Tensor]:
        """The relaxed crystals, and 0 for those without label or of another process, else 1."""
        strain, moved = (batch.targets[field.name] for field in _TARGETS)
        missing = torch.zeros(len(strain), device=strain.device)
        missing.index_add_(0, batch.batch, moved.isnan().any(dim=1).to(missing.dtype))
        is_known = (missing == 0) & ~strain.isnan().any(dim=1) & (not batch.is_filler)
        share = is_known.to(strain.dtype)
        return true_geometry(batch, strain.nan_to_num(), moved.nan_to_num()), share

    def sums(
        self,
        batch: CrystalBatch,
        last: Geometry,
        true: TrueGeometry,
        share: Tensor,
        loss: Tensor,
    ) -> Sums:
        """Totals and counts of everything that is logged."""
        of_atoms, count = share[batch.batch], share.sum()
        found = cell_parameters(strained(batch.lattice, last.strain))
        errors = (found - cell_parameters(true.lattice)).abs() * share[:, None]
        return {
            "loss": (loss * count, count),
            "positions": (
                (of_atoms * position_errors(batch, last, true)).sum(),
                of_atoms.sum(),
            ),
            "strain": ((share * strain_errors(last, true)).sum(), count),
            "lengths": (errors[:, :3].sum(), 3 * count),
            "angles": (errors[:, 3:].sum(), 3 * count),
        }

    def _rows(self, batch: CrystalBatch, last: Geometry) -> dict[str, Any]:
        counts = batch.num_atoms.tolist()
        moved = displacements(batch, last)
        prediction = {STRAIN.name: last.strain.flatten(1), DISPLACEMENT.name: moved.split(counts)}
        target = {
            name: values.split(counts) if name == DISPLACEMENT.name else values
            for name, values in batch.targets.items()
        }
        return {
            "sample_id": batch.sample_id,
            "identifier": batch.identifier,
            "prediction": prediction,
            "target": target,
        }
