"""The LightningModule that fits properties with any model of any package."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from crystal_data.artifacts.artifact import Artifact, TargetScale
from crystal_data.artifacts.pretrained import PretrainedModel, load_model
from crystal_data.artifacts.registry import ArtifactError
from crystal_data.artifacts.state_report import load_state_report
from crystal_data.crystal import Crystal
from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.errors import InvalidArgumentError, InvalidCrystalError, Reason
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.graphs.spec import GraphSpec
from crystal_data.io.read import CrystalInput, read_crystals
from crystal_data.loading.domain import without
from crystal_data.processes.distributed import without_statistics
from crystal_data.training.masked import LossName, MaskedMAE
from crystal_data.training.optimization import optimizer_plan
from crystal_data.training.target_loss import UncertaintyLoss, target_loss
from crystal_data.transforms.normalize import TargetNormalizer

_SCALE_RATE = 10.0  # learning rate of the scales of errors, in that of the model


class PropertyModule(LightningModule):
    """Fits one or more properties per crystal.

    Logs ``<stage>/mae/<target>`` in the target's own unit. ``<stage>/mae``, which chooses the best
    checkpoint, is the same number for one target. For several, whose units may differ, it is the
    mean over targets of the error divided by the target's standard deviation in training.

    Args:
        model: Maps a batch to ``[num_crystals, num_targets]``, normalized; knows its
            ``graph_spec``.
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
        model: nn.Module,
        targets: list[str],
        *,
        loss: LossName = "mse",
        target_weights: dict[str, float] | Literal["uncertainty"] | None = None,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        _check_targets(targets)
        self.model = model
        self.normalizer = TargetNormalizer(tuple(targets))
        self.units: dict[str, str] = {}
        self.num_labels: dict[str, int] = {}
        self.metadata: Mapping[str, Any] = {}
        self._targets = tuple(targets)
        self.target_loss = target_loss(targets, loss, target_weights)
        self._optimizer = optimizer
        self._lr_scheduler = lr_scheduler
        self.train_mae, self.val_mae, self.test_mae = (MaskedMAE(targets) for _ in range(3))

    @property
    def targets(self) -> tuple[str, ...]:
        """Columns that the data module has to give."""
        return self._targets

    @property
    def graph_spec(self) -> GraphSpec | None:
        """Edges that the model wants; None for a model without."""
        spec: GraphSpec | None = getattr(self.model, "graph_spec", None)
        return spec

    @override
    def setup(self, stage: str) -> None:
        datamodule = getattr(self.trainer, "datamodule", None)
        if stage == "fit":
            if datamodule is None or not hasattr(datamodule, "train_targets"):
                raise InvalidArgumentError(
                    "labels are normalized by the training split, which only a data module can "
                    "name: give fit() a CrystalDataModule, not loaders"
                )
            self.normalizer.fit(datamodule.train_targets())
        told = getattr(datamodule, "units", {})
        # What is predicted later need not know the units of what was trained on.
        known = told if stage == "fit" else told | self.units
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
        self.train_mae.update(self.normalizer.denormalize(output), label)
        return loss

    @override
    def validation_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        self.val_mae.update(self(batch), self._labels(batch))

    @override
    def test_step(self, batch: CrystalBatch, batch_idx: int) -> dict[str, Any]:
        prediction = self(batch)
        self.test_mae.update(prediction, self._labels(batch))
        return self._rows(batch, prediction)

    @override
    def predict_step(self, batch: CrystalBatch, batch_idx: int) -> dict[str, Any]:
        return self._rows(batch, self(batch))

    @override
    def on_train_epoch_end(self) -> None:
        self._log_errors("train", self.train_mae)
        if isinstance(self.target_loss, UncertaintyLoss):
            scales = self.target_loss.log_scale.detach().exp() * self.normalizer.std
            for name, scale in zip(self._targets, scales, strict=True):
                self.log(f"train/scale/{name}", scale, sync_dist=True)

    @override
    def on_validation_epoch_end(self) -> None:
        self._log_errors("val", self.val_mae)

    @override
    def on_test_epoch_end(self) -> None:
        self._log_errors("test", self.test_mae)

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self._optimizer([p for p in self.model.parameters() if p.requires_grad])
        if isinstance(self.target_loss, UncertaintyLoss):
            # Scales start at the spread of the labels and end at that of the errors, further away
            # than weights go; decay would pull them back.
            rate = _SCALE_RATE * optimizer.param_groups[0]["lr"]
            scales = [self.target_loss.log_scale]
            optimizer.add_param_group({"params": scales, "lr": rate, "weight_decay": 0.0})
        return optimizer_plan(self, optimizer, self._lr_scheduler)

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
        _check_same_weights(checkpoint["state_dict"], self.state_dict())

    def scales(self) -> dict[str, TargetScale]:
        """What turns each normalized output into a property."""
        mean, std = self.normalizer.mean.tolist(), self.normalizer.std.tolist()
        return {
            name: TargetScale(mean[i], std[i], self.units.get(name, ""))
            for i, name in enumerate(self._targets)
        }

    def save_pretrained(
        self, folder: str | Path, *, metadata: Mapping[str, Any] | None = None
    ) -> Path:
        """Writes model, targets, units and normalizer as an artifact.

        Raises:
            ArtifactError: If the model is not a ``PretrainedModel``, or cannot be saved.
        """
        if not isinstance(self.model, PretrainedModel):
            raise ArtifactError(f"{type(self.model).__name__} is not a PretrainedModel")
        return self.model.save_pretrained(folder, targets=self.scales(), metadata=metadata)

    @classmethod
    def from_pretrained(cls, path_or_hub_id: str | Path) -> Self:
        """A module ready to predict, or to be trained on, with the artifact's ``metadata``.

        Raises:
            ArtifactError: If the artifact cannot be loaded, or predicts no property.
        """
        artifact, model = load_model(path_or_hub_id)
        if not artifact.targets:
            raise ArtifactError(
                f"{path_or_hub_id}: {artifact.model} predicts no property",
                f"load it with {artifact.model}.from_pretrained",
            )
        module = cls(model, list(artifact.targets))
        module._set_scales(artifact.targets)
        module.metadata = artifact.metadata
        return module.eval()

    def load_pretrained(self, path_or_hub_id: str | Path, *, strict: bool) -> str:
        """Takes weights from an artifact into the model that is here.

        Args:
            path_or_hub_id: Folder or ``owner/name``.
            strict: For predictions: all weights and targets must fit, and the normalizer is
                taken over. Otherwise what fits by name and shape is.

        Returns:
            A report to print.

        Raises:
            ArtifactError: If nothing fits, or not all of it while ``strict``.
        """
        artifact = Artifact.load(path_or_hub_id)
        report = load_state_report(self.model, artifact.weights)
        if strict:
            if report.skipped or report.initialized:
                raise ArtifactError(f"{path_or_hub_id} does not fit the model:\n{report}")
            if tuple(artifact.targets) != self._targets:
                raise ArtifactError(
                    f"{path_or_hub_id} predicts {', '.join(artifact.targets) or 'no property'}, "
                    f"the config asks for {', '.join(self._targets)}"
                )
            self._set_scales(artifact.targets)
        return str(report)

    @torch.inference_mode()
    def predict(
        self, crystals: CrystalInput | Iterable[CrystalInput], batch_size: int = 64
    ) -> dict[str, NDArray[np.float64]]:
        """Predicts for crystals in memory or in files, in the targets' own units.

        Args:
            crystals: What :func:`~crystal_data.io.read.read_crystals` takes.
            batch_size: Crystals at a time.

        Returns:
            Target to values in the order of the crystals; each of shape ``[num_crystals]``.

        Raises:
            InvalidCrystalError: If one of them cannot be used or has an element that the model
                does not know: the predictions would no longer line up with the inputs.
        """
        crystals = _all_crystals(crystals)
        self._check_elements(crystals)
        was_training = self.training
        self.eval()
        rows = []
        for start in range(0, len(crystals), batch_size):
            batch = CrystalBatch.from_crystals(crystals[start : start + batch_size])
            if self.graph_spec is not None:
                batch = batch.with_edges(self.graph_spec)
            rows.append(self(batch.float32().to(self.device)).double().cpu())
        self.train(was_training)
        values = torch.cat(rows).numpy() if rows else np.empty((0, len(self._targets)))
        return {name: values[:, i] for i, name in enumerate(self._targets)}

    def _check_elements(self, crystals: Sequence[Crystal]) -> None:
        known = getattr(self.model, "supported_elements", None)
        if known is None:
            return
        for crystal in crystals:
            others = [x for x in crystal.composition if ATOMIC_NUMBERS[x] not in known]
            if others:
                raise InvalidCrystalError(
                    crystal.identifier, Reason.UNSUPPORTED_ELEMENT, without(others)
                )

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

    def _log_errors(self, stage: str, metric: MaskedMAE) -> None:
        # torchmetrics drops the dimension of a single target.
        errors: Tensor = metric.compute().reshape(-1)
        counts = metric.num_labels
        metric.reset()
        for name, error, count in zip(self._targets, errors, counts, strict=True):
            self.log(f"{stage}/mae/{name}", error, sync_dist=True)
            self.num_labels[f"{stage}/mae/{name}"] = count
        self.num_labels[f"{stage}/mae"] = sum(counts)
        overall = errors[0] if len(errors) == 1 else (errors / self.normalizer.std).nanmean()
        self.log(f"{stage}/mae", overall, sync_dist=True)

    def _set_scales(self, scales: Mapping[str, TargetScale]) -> None:
        self.units = {name: scale.unit for name, scale in scales.items()}
        self.normalizer.mean.copy_(torch.tensor([scale.mean for scale in scales.values()]))
        self.normalizer.std.copy_(torch.tensor([scale.std for scale in scales.values()]))


def _check_same_weights(saved: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Says in one line what torch says in one for each weight.

    Raises:
        InvalidArgumentError: If names or shapes differ.
    """
    shapes, expected = ({n: tuple(w.shape) for n, w in side.items()} for side in (saved, own))
    wrong = [name for name in {**expected, **shapes} if shapes.get(name) != expected.get(name)]
    if wrong:
        sides = (shapes.get(wrong[0], "missing"), expected.get(wrong[0], "missing"))
        raise InvalidArgumentError(
            f"the checkpoint is of another model than the config's: {len(wrong)} of its weights "
            f"differ, first {wrong[0]}, which is {sides[0]} in the checkpoint and {sides[1]} in "
            "the config",
            "use the config.yaml that lies in the checkpoint's run, or start from "
            "what fits with --init_from and an artifact",
        )


def _all_crystals(inputs: CrystalInput | Iterable[CrystalInput]) -> list[Crystal]:
    if isinstance(inputs, Sequence) and all(isinstance(item, Crystal) for item in inputs):
        return list(inputs)  # two of one name are welcome here
    found = read_crystals(inputs)
    for one in found.rejected:
        raise InvalidCrystalError(
            one.identifier,
            one.reason,
            f"{one.file + ': ' if one.file else ''}{one.detail}; to leave out what cannot be used, "
            "predict for read_crystals(…).crystals",
        )
    return found.crystals


def _check_targets(targets: Sequence[str]) -> None:
    if isinstance(targets, str) or not targets or len(set(targets)) != len(targets):
        raise InvalidArgumentError(f"targets is a list of different column names, not {targets!r}")
