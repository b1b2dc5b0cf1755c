"""The base of all LightningModules: what commands, data module and callbacks ask of one."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from crystal_data.artifacts.artifact import Artifact, TargetScale
from crystal_data.artifacts.pretrained import PretrainedModel
from crystal_data.artifacts.registry import ArtifactError
from crystal_data.artifacts.state_report import load_state_report
from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs.spec import GraphSpec
from crystal_data.lightning_internals import attached_data_module
from crystal_data.loading.collate import Collator
from crystal_data.loading.datamodule import CrystalDataModule
from crystal_data.loading.needs import BatchNeeds, NeedsBatches
from crystal_data.processes.distributed import average_over_processes
from crystal_data.remembered_arguments import RemembersArguments
from crystal_data.training.checkpoint_file import read_checkpoint
from crystal_data.training.divergence import LossWatch
from crystal_data.training.means import EpochMetric, Measured
from crystal_data.training.module_description import arguments_for, describe
from crystal_data.training.optimization import (
    OptimizerPlan,
    lightning_plan,
    steps_with_optimizer,
)
from crystal_data.transforms.base import Transform

_DESCRIPTION = "crystal_module"  # key of checkpoints: what the module was made with
Stage = Literal["train", "val", "test"]


class CrystalModule(RemembersArguments, LightningModule, NeedsBatches):
    """Trains a model; everything of these packages that handles a module asks for this class.

    A subclass gives :meth:`new_metric` and the steps, which update ``train_metric``, ``val_metric``
    and ``test_metric``. These are computed, logged as ``<stage>/<name>`` and reset here, at the end
    of each epoch.

    With ``automatic_optimization = False`` a subclass gives several plans in
    :meth:`optimizer_plans` and takes the steps by :meth:`step_optimizer`. A run that is resumed
    goes on with the state of all optimizers and schedules.

    Args:
        model: What is trained, and what the artifact holds.
        optimizer: Called with the parameters.
        lr_scheduler: Called with the optimizer. ``OneCycle`` and ``WarmupCosine`` of
            ``crystal_data.training`` learn the number of steps from the Trainer.

    Attributes:
        monitor: Metric that chooses the best checkpoint.
        monitor_mode: Whether the smallest or the largest is the best.
        units: Unit of each target that has one.
        num_labels: Labels that each logged metric is an average of.
    """

    monitor: str = "val/loss"
    monitor_mode: Literal["min", "max"] = "min"

    def __init__(
        self,
        model: PretrainedModel,
        *,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.units: dict[str, str] = {}
        self.num_labels: dict[str, int] = {}
        self._optimizer = optimizer
        self._lr_scheduler = lr_scheduler
        self._losses = LossWatch()

    @abstractmethod
    def new_metric(self) -> EpochMetric:
        """What is measured in each stage."""

    def epoch_metrics(self, measured: dict[str, Measured]) -> dict[str, Measured]:
        """What is logged of what was measured; a subclass may add to it."""
        return measured

    @property
    def targets(self) -> tuple[str, ...]:
        """Columns of the data set that it learns or is scored on."""
        return ()

    @property
    def graph_spec(self) -> GraphSpec | None:
        """Edges that it wants; None for none."""
        return self.model.graph_spec

    @property
    def corruptions(self) -> tuple[Transform, ...]:
        """What is done to the crystals that it learns to repair."""
        return ()

    @property
    def collator(self) -> Collator | None:
        """What makes its batches; None for graphs."""
        return None

    @property
    def needs_labels(self) -> bool:
        """Whether crystals of which no target is known are left out of training."""
        return True

    @property
    @override
    def needs(self) -> BatchNeeds:
        return BatchNeeds(
            targets=self.targets,
            graph_spec=self.graph_spec,
            corruptions=self.corruptions,
            supported_elements=self.model.supported_elements,
            collator=self.collator,
            needs_labels=self.needs_labels,
        )

    @property
    def datamodule(self) -> CrystalDataModule | None:
        """The data module of the Trainer; None where it was given other loaders."""
        found = attached_data_module(self.trainer)
        return found if isinstance(found, CrystalDataModule) else None

    @override
    def setup(self, stage: str) -> None:
        self.train_metric = self.new_metric()
        self.val_metric = self.new_metric()
        self.test_metric = self.new_metric()

    @override
    def on_before_backward(self, loss: Tensor) -> None:
        self._losses.see(loss)

    @override
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.trainer.is_last_batch:
            self._check_losses()

    @override
    def on_validation_start(self) -> None:
        # Before anything is called the best, or a checkpoint is written.
        self._check_losses()

    def _check_losses(self) -> None:
        optimizers: list[Optimizer] = self.trainer.optimizers
        rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
        self._losses.check(self.current_epoch, rates)

    @override
    def on_train_epoch_end(self) -> None:
        self._log_epoch("train", self.train_metric)
        if not self.automatic_optimization:
            self._step_epoch_schedules()

    @override
    def on_validation_epoch_end(self) -> None:
        self._log_epoch("val", self.val_metric)

    @override
    def on_test_epoch_end(self) -> None:
        self._log_epoch("test", self.test_metric)

    def _log_epoch(self, stage: Stage, metric: EpochMetric) -> None:
        measured = metric.compute()
        metric.reset()
        for name, one in self.epoch_metrics(measured).items():
            self.log(f"{stage}/{name}", one.value, sync_dist=True)
            if one.num_labels is not None:
                self.num_labels[f"{stage}/{name}"] = one.num_labels

    def optimizer_plans(self) -> Sequence[OptimizerPlan]:
        """The optimizers; here one for all parameters that are trained."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        return [OptimizerPlan(self._optimizer(parameters), self._lr_scheduler)]

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        plans = [lightning_plan(self, plan) for plan in self.optimizer_plans()]
        return plans[0] if len(plans) == 1 else plans

    def step_optimizer(self, number: int, loss: Tensor) -> None:
        """One step of one optimizer, where the module takes the steps itself.

        Only the optimizer's own parameters get gradients, whatever else the loss depends on; they
        are averaged over processes.

        Args:
            number: Place of its plan in :meth:`optimizer_plans`.
            loss: Scalar; a ``global_mean`` is right in any number of processes.

        Raises:
            InvalidArgumentError: If the Trainer scales losses for half precision.
        """
        if self.trainer.precision == "16-mixed":
            raise InvalidArgumentError(
                f"{type(self).__name__} takes its own optimizer steps, which cannot scale losses "
                "for 16-mixed",
                "set trainer.precision to bf16-mixed or 32-true",
            )
        self._losses.see(loss)
        optimizer = _as_list(self.optimizers())[number]
        # Some may be frozen.
        groups = optimizer.param_groups
        parameters = [p for group in groups for p in group["params"] if p.requires_grad]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        average_over_processes([one for one in gradients if one is not None])
        optimizer.step()
        optimizer.zero_grad()
        scheduler = self._schedules().get(number)
        if scheduler is not None and steps_with_optimizer(scheduler):
            scheduler.step()

    def _schedules(self) -> dict[int, LRScheduler | ReduceLROnPlateau]:
        """Place of an optimizer to its schedule."""
        optimizers: list[Optimizer] = self.trainer.optimizers
        places = {id(optimizer): place for place, optimizer in enumerate(optimizers)}
        schedulers = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        return {places[id(scheduler.optimizer)]: scheduler for scheduler in schedulers}

    def _step_epoch_schedules(self) -> None:
        for scheduler in self._schedules().values():
            if isinstance(scheduler, ReduceLROnPlateau):
                self.lr_scheduler_step(scheduler, self._monitored(scheduler.monitor))
            elif not steps_with_optimizer(scheduler):
                scheduler.step()

    def _monitored(self, name: str) -> Tensor:
        metrics = self.trainer.callback_metrics
        if name not in metrics:
            raise InvalidArgumentError(
                f"a schedule follows {name}, which is not logged; there are {', '.join(metrics)}"
            )
        return metrics[name]

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[_DESCRIPTION] = describe(self)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override] # Lightning's options read pickles
        cls,
        checkpoint_path: str | Path,
        map_location: torch.device | str = "cpu",
        **arguments: Any,
    ) -> Self:
        """Makes the module of a checkpoint again, with its weights; no code in it is executed.

        Optimizer and schedule are those of ``arguments``, or the defaults: a training goes on by
        ``trainer.fit(..., ckpt_path=...)``, which has their state too.

        Args:
            checkpoint_path: File that a training wrote.
            map_location: Device of the module.
            arguments: Take the place of what the module was made with. A model that is in no
                registry has to be given: ``model=...``.

        Raises:
            RunError: If the file is damaged or no checkpoint.
            CheckpointError: If it is of another class, or does not say how the module is made.
            ArtifactError: If its model cannot be built.
            InvalidArgumentError: If the weights do not fit.
        """
        checkpoint = read_checkpoint(checkpoint_path, "cpu")
        state = checkpoint["state_dict"]
        module = cls(**arguments_for(cls, checkpoint.get(_DESCRIPTION), arguments, state))
        module.on_load_checkpoint(checkpoint)
        module.load_state_dict(state)
        return module.to(map_location)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        _check_same_weights(checkpoint["state_dict"], self.state_dict())

    def scales(self) -> dict[str, TargetScale]:
        """What turns each output of the model into a property; none for a model without."""
        return {}

    @property
    def untrained(self) -> tuple[str, ...]:
        """Parameters of the model that are not trained, which the artifact leaves out."""
        return ()

    def save_pretrained(
        self, folder: str | Path, *, metadata: Mapping[str, Any] | None = None
    ) -> Path:
        """Writes the model as an artifact.

        Raises:
            ArtifactError: If no registry knows the model, or it cannot be saved.
        """
        return self.model.save_pretrained(
            folder, targets=self.scales(), metadata=metadata, untrained=self.untrained
        )

    def load_pretrained(self, path_or_hub_id: str | Path, *, strict: bool) -> str:
        """Takes weights from an artifact into the model that is here.

        Args:
            path_or_hub_id: Folder or ``owner/name``.
            strict: To evaluate it: all weights must fit. Otherwise what fits by name and shape is
                taken.

        Returns:
            A report to print.

        Raises:
            ArtifactError: If nothing fits, or not all of it while ``strict``.
        """
        artifact = Artifact.load(path_or_hub_id, kind="model")
        if strict:
            self.take_scales(str(path_or_hub_id), artifact.targets)
        elif artifact.targets and tuple(artifact.targets) == self.targets:
            # The last layer fits too, whatever the data will say that the targets are.
            scales = artifact.targets.values()
            self.model.follow_targets(sum(scale.field.width for scale in scales))
        report = load_state_report(self.model, artifact.weights)
        if strict and (report.skipped or report.initialized):
            raise ArtifactError(f"{path_or_hub_id} does not fit the model:\n{report}")
        return str(report)

    def take_scales(self, name: str, scales: Mapping[str, TargetScale]) -> None:
        """Takes over what an artifact that is evaluated has beside its weights.

        Args:
            name: Of the artifact, for messages.
            scales: Of its targets.

        Raises:
            ArtifactError: If the artifact is not enough to evaluate this module.
        """


def crystal_module(module: LightningModule) -> CrystalModule:
    """The same module, for callbacks that need more than Lightning's own class has.

    Raises:
        InvalidArgumentError: If it is no ``CrystalModule``.
    """
    if not isinstance(module, CrystalModule):
        raise InvalidArgumentError(
            f"{type(module).__name__} is no CrystalModule; derive it from "
            "crystal_data.training.CrystalModule"
        )
    return module


def _as_list(optimizers: Any) -> list[Any]:
    return optimizers if isinstance(optimizers, list) else [optimizers]


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
