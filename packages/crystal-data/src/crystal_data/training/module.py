"""The LightningModule that fits properties with any model of any package."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from typing_extensions import override

from crystal_data.artifacts.artifact import TargetScale
from crystal_data.artifacts.pretrained import PretrainedModel
from crystal_data.artifacts.registry import ArtifactError
from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.processes.distributed import without_statistics
from crystal_data.training.crystal_module import CrystalModule
from crystal_data.training.masked import LossName, MaskedMAE
from crystal_data.training.means import Measured
from crystal_data.training.optimization import OptimizerPlan
from crystal_data.training.target_loss import UncertaintyLoss, target_loss
from crystal_data.transforms.normalize import TargetNormalizer

_SCALE_RATE = 10.0  # learning rate of the scales of errors, in that of the model


class PropertyModule(CrystalModule):
    """Fits one or more properties per crystal.

    Logs ``<stage>/mae/<target>`` in the target's own unit. ``<stage>/mae``, which chooses the best
    checkpoint, is the same number for one target. For several, whose units may differ, it is the
    mean over targets of the error divided by the target's standard deviation in training.

    Args:
        model: Maps a batch to ``[num_crystals, num_targets]``, normalized.
        targets: Columns of the data set, in the order of the model's outputs.
        loss: Compared with normalized labels; missing labels do not count.
        target_weights: Factor of a target in the loss, 1 for those that are not named; or
            ``uncertainty``, which learns them: ``crystal_data.training.UncertaintyLoss``.
        optimizer: Called with the parameters.
        lr_scheduler: Called with the optimizer. ``OneCycle`` and ``WarmupCosine`` of
            ``crystal_data.training`` learn the number of steps from the Trainer.
    """

    monitor = "val/mae"

    def __init__(
        self,
        model: PretrainedModel,
        targets: list[str],
        *,
        loss: LossName = "mse",
        target_weights: dict[str, float] | Literal["uncertainty"] | None = None,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(model, optimizer=optimizer, lr_scheduler=lr_scheduler)
        _check_targets(targets)
        self.normalizer = TargetNormalizer(tuple(targets))
        self._targets = tuple(targets)
        self.target_loss = target_loss(targets, loss, target_weights)

    @property
    @override
    def targets(self) -> tuple[str, ...]:
        return self._targets

    @override
    def new_metric(self) -> MaskedMAE:
        return MaskedMAE(self._targets)

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
        units = {} if data is None else data.units
        # What is predicted later need not know the units of what was trained on.
        known = units if stage == "fit" else units | self.units
        self.units = {name: known[name] for name in self._targets if name in known}

    @override
    def forward(self, batch: CrystalBatch) -> Tensor:
        """Predicts in the targets' own units; shape ``[num_crystals, num_targets]``."""
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
            scales = self.target_loss.log_scale.detach().exp() * self.normalizer.std
            for name, scale in zip(self._targets, scales, strict=True):
                self.log(f"train/scale/{name}", scale, sync_dist=True)

    @override
    def epoch_metrics(self, measured: dict[str, Measured]) -> dict[str, Measured]:
        errors = torch.stack([one.value for one in measured.values()])
        overall = errors[0] if len(errors) == 1 else (errors / self.normalizer.std).nanmean()
        num_labels = sum(one.num_labels or 0 for one in measured.values())
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
        checkpoint["targets"] = list(self._targets)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = tuple(checkpoint.get("targets", self._targets))
        if saved != self._targets:
            raise InvalidArgumentError(
                f"the checkpoint predicts {', '.join(saved)}, the config asks for "
                f"{', '.join(self._targets)}",
                "to start from its weights use --init_from",
            )
        super().on_load_checkpoint(checkpoint)

    @override
    def scales(self) -> dict[str, TargetScale]:
        mean, std = self.normalizer.mean.tolist(), self.normalizer.std.tolist()
        return {
            name: TargetScale(mean[i], std[i], self.units.get(name, ""))
            for i, name in enumerate(self._targets)
        }

    @override
    def take_scales(self, name: str, scales: Mapping[str, TargetScale]) -> None:
        if tuple(scales) != self._targets:
            raise ArtifactError(
                f"{name} predicts {', '.join(scales) or 'no property'}, "
                f"the config asks for {', '.join(self._targets)}"
            )
        self._set_scales(scales)

    def _normalized(self, batch: CrystalBatch) -> Tensor:
        output: Tensor = self.model(batch)
        expected = (batch.num_crystals, len(self._targets))
        if output.shape != expected:
            raise InvalidArgumentError(
                f"{type(self.model).__name__} gave {tuple(output.shape)} for "
                f"{expected[0]} crystals and the targets {', '.join(self._targets)}; expected "
                f"{expected}: set the model's number of outputs to {expected[1]}"
            )
        return output

    def _labels(self, batch: CrystalBatch) -> Tensor:
        missing = [name for name in self._targets if name not in batch.targets]
        if missing:
            raise InvalidArgumentError(f"the batch has no column {', '.join(missing)}")
        columns = [batch.targets[name] for name in self._targets]
        for name, column in zip(self._targets, columns, strict=True):
            if column.ndim != 1:
                raise InvalidArgumentError(
                    f"target '{name}' has shape {tuple(column.shape)}; PropertyModule fits one "
                    "number per crystal"
                )
        return torch.stack(columns, dim=1)

    def _rows(self, batch: CrystalBatch, prediction: Tensor) -> dict[str, Any]:
        rows: dict[str, Any] = {
            "sample_id": batch.sample_id,
            "identifier": list(batch.identifier),
            "prediction": {name: prediction[:, i] for i, name in enumerate(self._targets)},
        }
        known = {name: batch.targets[name] for name in self._targets if name in batch.targets}
        if known:
            rows["target"] = known
        return rows

    def _set_scales(self, scales: Mapping[str, TargetScale]) -> None:
        self.units = {name: scale.unit for name, scale in scales.items()}
        self.normalizer.mean.copy_(torch.tensor([scale.mean for scale in scales.values()]))
        self.normalizer.std.copy_(torch.tensor([scale.std for scale in scales.values()]))


def _check_targets(targets: Sequence[str]) -> None:
    if isinstance(targets, str) or not targets or len(set(targets)) != len(targets):
        raise InvalidArgumentError(f"targets is a list of different column names, not {targets!r}")
