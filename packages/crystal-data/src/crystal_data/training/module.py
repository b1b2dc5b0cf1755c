"""The LightningModule that fits properties with any model of any package."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from typing_extensions import override

from crystal_data.artifacts.artifact import TargetScale
from crystal_data.artifacts.pretrained import PretrainedModel
from crystal_data.artifacts.registry import ArtifactError
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.processes.distributed import without_statistics
from crystal_data.training.crystal_module import CrystalModule
from crystal_data.training.masked import LossName
from crystal_data.training.means import EpochMetric, Measured
from crystal_data.training.optimization import OptimizerPlan
from crystal_data.training.target_errors import TargetErrors
from crystal_data.training.target_loss import UncertaintyLoss, target_loss
from crystal_data.transforms.normalize import TargetNormalizer
from crystal_data.transforms.target_columns import TargetColumns

_MINIMUM = "minimum"  # key of checkpoints
_SCALE_RATE = 10.0  # learning rate of the scales of errors, in that of the model


class PropertyModule(CrystalModule):
    """Fits properties of crystals or of atoms: numbers, spectra, vectors, tensors.

    What a target is, the data set knows: its :class:`~crystal_data.field.Field`. The model gives
    the numbers of all targets side by side. That a vector turns with the crystal is up to the
    model; neither loss nor normalization depends on the orientation.

    Logs ``<stage>/mae/<target>`` in the target's own unit: the absolute difference of numbers, its
    mean over the components of a spectrum, the length of the difference of vectors and tensors.
    Spectra also have a cosine similarity, ``<stage>/cosine/<target>``. ``<stage>/mae``, which
    chooses the best checkpoint, is the error of the only target. For several, whose units may
    differ, it is the mean over targets of the error divided by the target's standard deviation in
    training.

    A target whose smallest training label is exactly 0 is never predicted below 0.

    Args:
        model: Maps a batch to ``[num_crystals, width]``, normalized, or ``[num_atoms, width]``
            where targets are those of atoms; width is one for each number, nine for a tensor.
        targets: Columns of the data set, in the order of the model's outputs; as one text too, with
            commas between them.
        loss: Compared with normalized labels; missing labels do not count. A label counts once,
            however many numbers it has. Of vectors and tensors the root mean square of the
            components is compared.
        target_weights: Factor of a target in the loss, 1 for those that are not named; or
            ``uncertainty``, which learns them: ``crystal_data.training.UncertaintyLoss``.
        optimizer: Called with the parameters.
        lr_scheduler: Called with the optimizer. ``OneCycle`` and ``WarmupCosine`` of
            ``crystal_data.training`` learn the number of steps from the Trainer.
    """

    monitor = "val/mae"
    are_probabilities: ClassVar[bool] = False

    def __init__(
        self,
        model: PretrainedModel,
        targets: list[str] | str,
        *,
        loss: LossName = "mse",
        target_weights: dict[str, float] | Literal["uncertainty"] | None = None,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(model, optimizer=optimizer, lr_scheduler=lr_scheduler)
        if isinstance(targets, str):
            targets = [name.strip() for name in targets.split(",")]
        _check_targets(targets)
        self._targets = tuple(targets)
        self.target_loss = target_loss(targets, loss, target_weights)
        self._knows_fields = False
        self._set_fields([Field(name) for name in targets])

    @property
    @override
    def targets(self) -> tuple[str, ...]:
        return self._targets

    @override
    def new_metric(self) -> EpochMetric:
        return TargetErrors(self.fields)

    @property
    def fields(self) -> tuple[Field, ...]:
        """What the targets are; numbers without unit as long as nothing has said it."""
        return self._columns.fields

    @override
    def take_fields(self, fields: Mapping[str, Field], *, is_fit: bool) -> None:
        if is_fit or not self._knows_fields:
            # Crystals can be predicted that nobody has labels of.
            if set(self._targets) <= set(fields):
                self._set_fields([fields[name] for name in self._targets])
                self._knows_fields = True
            return
        known = [field for field in self.fields if field.name in fields]
        _check_alike([fields[field.name] for field in known], known, "the data")

    @override
    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = self.datamodule
        if stage == "fit":
            if data is None:
                raise InvalidArgumentError(
                    "labels are normalized by the training split, which only a data module can "
                    "name: give fit() a CrystalDataModule, not loaders"
                )
            self.normalizer.fit(data.train_targets())

    @override
    def forward(self, batch: CrystalBatch) -> Tensor:
        """Predicts in the targets' own units; shape ``[num_rows, width]``."""
        return self.normalizer.denormalize(self._normalized(batch))

    @override
    def training_step(self, batch: CrystalBatch, batch_idx: int) -> Tensor:
        label = self._labels(batch)
        with without_statistics(batch.is_filler):
            output = self._normalized(batch)
        loss = self.target_loss(output, self.normalizer.normalize(label))
        self.log("train/loss", loss, on_epoch=True, on_step=False, sync_dist=True, batch_size=1)
        self.train_metric.update(self.normalizer.denormalize(output), label)
        return loss

    @override
    def validation_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        self.val_metric.update(self(batch), self._labels(batch))

    @override
    def test_step(self, batch: CrystalBatch, batch_idx: int) -> dict[str, Any]:
        prediction = self(batch)
        self.test_metric.update(prediction, self._labels(batch))
        return self._rows(batch, prediction)

    @override
    def predict_step(self, batch: CrystalBatch, batch_idx: int) -> dict[str, Any]:
        return self._rows(batch, self(batch))

    @override
    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        if isinstance(self.target_loss, UncertaintyLoss):
            scales = self.target_loss.log_scale.detach().exp() * self._stds
            for name, scale in zip(self._targets, scales, strict=True):
                self.log(f"train/scale/{name}", scale, sync_dist=True)

    @override
    def epoch_metrics(self, measured: dict[str, Measured]) -> dict[str, Measured]:
        of_targets = [measured[f"mae/{name}"] for name in self._targets]
        errors = torch.stack([one.value for one in of_targets])
        overall = errors[0] if len(errors) == 1 else (errors / self._stds).nanmean()
        num_labels = sum(one.num_labels or 0 for one in of_targets)
        return measured | {"mae": Measured(overall, num_labels)}

    @override
    def optimizer_plans(self) -> Sequence[OptimizerPlan]:
        optimizer = self._optimizer([p for p in self.model.parameters() if p.requires_grad])
        if isinstance(self.target_loss, UncertaintyLoss):
            # Scales start at the spread of the labels and end at that of the errors, further away
            # than weights go; decay would pull them back.
            rate = _SCALE_RATE * optimizer.param_groups[0]["lr"]
            scales = [self.target_loss.log_scale]
            optimizer.add_param_group({"params": scales, "lr": rate, "weight_decay": 0.0})
        return [OptimizerPlan(optimizer, self._lr_scheduler)]

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["fields"] = [field.to_dict() for field in self.fields]
        checkpoint[_MINIMUM] = list(self.normalizer.minimum)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "fields" not in checkpoint:
            raise InvalidArgumentError(
                "the checkpoint is of an earlier version, which did not store what its targets are",
                "start from the run's artifact with --init_from",
            )
        saved = [Field.from_dict(values) for values in checkpoint["fields"]]
        if tuple(field.name for field in saved) != self._targets:
            raise InvalidArgumentError(
                f"the checkpoint predicts {', '.join(field.name for field in saved)}, the config "
                f"asks for {', '.join(self._targets)}",
                "to start from its weights use --init_from",
            )
        if self._knows_fields:
            _check_alike(saved, self.fields, "the checkpoint")
        else:
            self._set_fields(saved)
        # Checkpoints of an earlier version have none.
        self.normalizer.minimum = tuple(checkpoint.get(_MINIMUM, [None] * len(saved)))
        super().on_load_checkpoint(checkpoint)

    @override
    def scales(self) -> dict[str, TargetScale]:
        means, stds = self._columns.split(self.normalizer.mean[None]), self._stds.tolist()
        return {
            field.name: TargetScale(
                means[field.name][0].tolist(), std, field, minimum, self.are_probabilities
            )
            for field, std, minimum in zip(self.fields, stds, self.normalizer.minimum, strict=True)
        }

    @override
    def take_scales(self, name: str, scales: Mapping[str, TargetScale]) -> None:
        if tuple(scales) != self._targets:
            raise ArtifactError(
                f"{name} predicts {', '.join(scales) or 'no property'}, "
                f"the config asks for {', '.join(self._targets)}"
            )
        if any(scale.is_probability != self.are_probabilities for scale in scales.values()):
            kinds = ("properties", "probabilities of classes")
            raise ArtifactError(
                f"{name} predicts {kinds[not self.are_probabilities]}, {type(self).__name__} fits "
                f"{kinds[self.are_probabilities]}"
            )
        self._set_fields([scale.field for scale in scales.values()])
        self._knows_fields = True
        self.normalizer.take(
            [np.array(scale.mean) for scale in scales.values()],
            [scale.std for scale in scales.values()],
            [scale.minimum for scale in scales.values()],
        )

    def _set_fields(self, fields: Sequence[Field]) -> None:
        self._columns = TargetColumns(fields)
        self.model.follow_targets(self._columns.width)
        self.target_loss.take_columns(self._columns)
        self.units = {field.name: field.unit for field in fields if field.unit}
        self.normalizer = TargetNormalizer(fields, are_probabilities=self.are_probabilities)

    @property
    def _stds(self) -> Tensor:
        """Deviation of each target; shape ``[num_targets]``."""
        return self.normalizer.std[self._columns.first]

    def _normalized(self, batch: CrystalBatch) -> Tensor:
        output: Tensor = self.model(batch)
        self._columns.check_output(type(self.model).__name__, output, batch)
        return output

    def _labels(self, batch: CrystalBatch) -> Tensor:
        return self._columns.join(batch.targets)

    def _rows(self, batch: CrystalBatch, prediction: Tensor) -> dict[str, Any]:
        known = {name: batch.targets[name] for name in self._targets if name in batch.targets}
        rows: dict[str, Any] = {
            "sample_id": batch.sample_id,
            "identifier": list(batch.identifier),
            "prediction": self._by_crystal(batch, self._columns.split(prediction)),
        }
        if known:
            rows["target"] = self._by_crystal(batch, known)
        return rows

    def _by_crystal(
        self, batch: CrystalBatch, values: Mapping[str, Tensor]
    ) -> dict[str, Tensor | tuple[Tensor, ...]]:
        if not self._columns.per_atom:
            return dict(values)
        counts = batch.num_atoms.tolist()
        return {name: column.split(counts) for name, column in values.items()}


def _check_targets(targets: Sequence[str]) -> None:
    if not all(targets) or not targets or len(set(targets)) != len(targets):
        raise InvalidArgumentError(f"targets is a list of different column names, not {targets!r}")


def _check_alike(fields: Sequence[Field], expected: Sequence[Field], whose: str) -> None:
    """Raises where a target is not the kind of quantity that it was when it was fitted.

    Raises:
        InvalidArgumentError: Naming the target and both.
    """
    for field, other in zip(fields, expected, strict=True):
        if not field.is_like(other):
            raise InvalidArgumentError(
                f"target '{field.name}' is {field.words} in {whose}, where {other.words} was "
                "expected"
            )
