"""The LightningModule that trains an encoder on crystals without labels."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from typing_extensions import override

from crystal_data import Crystal, CrystalBatch, GraphSpec
from crystal_data.artifacts import Artifact, ArtifactError, PretrainedModel, load_state_report
from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import global_mean, without_statistics
from crystal_data.training import optimizer_plan
from crystal_data.transforms import MaskAtoms, PerturbAtoms, PerturbLattice, Transform
from crystal_embed.training.means import NamedMeans, Sums
from crystal_embed.training.repair import (
    ElementHead,
    LengthHead,
    VolumeHead,
    near_edges,
    true_log_lengths,
    true_log_volumes,
)

# Whose lengths are repaired, for a model that asks for no edges: the first shell of most atoms.
_EDGES = GraphSpec(max_neighbors=8)
_SOURCE = "source"
_PARTS = ("element", "length", "volume")


@runtime_checkable
class AtomEncoder(Protocol):
    """A model that can be pre-trained."""

    graph_spec: GraphSpec | None

    def encode_atoms(self, batch: CrystalBatch) -> Tensor:
        """One vector for each atom, hidden ones included; shape ``[num_atoms, width]``."""


class PretrainingModule(LightningModule):
    """Trains a model to repair crystals: hidden elements, edge lengths, cell volumes.

    It needs no labels. Every crystal is corrupted anew each time it is shown; in evaluation it is
    always corrupted in the same way. Logs ``<stage>/loss``, which chooses the best checkpoint, and
    its parts: ``element_loss``, the cross-entropy over hidden atoms alone; ``length_loss`` and
    ``volume_loss``, the mean square error of the logarithm, as a share of what it is without any
    repair. ``masked_accuracy`` is the share of hidden atoms whose element is told, also by
    ``source`` where the data have such a column (``JoinedSource``). ``length_mae``, Å, and
    ``volume_mae``, relative, stand beside what they are without repair
    (``length_mae_unrepaired``, ``volume_mae_unrepaired``).

    The artifact holds the model without its head for properties, which is not trained here.

    Args:
        model: Has ``encode_atoms`` and ``graph_spec``; takes 0 for the number of a hidden atom.
        corruptions: What is done to crystals; at least one of ``MaskAtoms`` (element),
            ``PerturbAtoms`` (length) and ``PerturbLattice`` (length and volume), which bring the
            parts of the loss.
        repair_weight: Factor of ``length_loss`` and ``volume_loss`` in the loss.
        optimizer: Called with the parameters.
        lr_scheduler: Called with the optimizer. ``OneCycle`` and ``WarmupCosine`` of
            ``crystal_data.training`` learn the number of steps from the Trainer.

    Source:
        The abstract that proposes unsupervised pre-training of a transformer for crystals, and then
        fine-tuning, gives no task, head, loss or size: nothing of this is in it, all is our own
        design. Hidden elements and noise on positions are those of arXiv 2312.14485.
    """

    monitor = "val/loss"

    def __init__(
        self,
        model: nn.Module,
        corruptions: Sequence[Transform],
        *,
        repair_weight: float = 1.0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(model, AtomEncoder):
            raise InvalidArgumentError(
                f"{type(model).__name__} has no encode_atoms and graph_spec, so there is nothing "
                "to pre-train; CrystalTransformer has both"
            )
        self.model = model
        self.corruptions = tuple(corruptions)
        self.num_labels: dict[str, int] = {}
        self._repair_weight = repair_weight
        self._optimizer = optimizer
        self._lr_scheduler = lr_scheduler
        width, self._untrained = _examine(model)
        for name in self._untrained:
            # Data parallel would wait for the gradients of what takes no part.
            model.get_parameter(name).requires_grad_(False)
        self.heads = nn.ModuleDict(dict(_heads(self.corruptions, width)))
        self._source_names: tuple[str, ...] = ()
        self._source_of_row = torch.zeros(0, dtype=torch.int64)
        self._start_metrics()

    @property
    def graph_spec(self) -> GraphSpec | None:
        """Edges of the corrupted crystals: those of the model, or the nearest neighbors."""
        model: Any = self.model
        spec: GraphSpec | None = model.graph_spec
        return _EDGES if spec is None and "length" in self.heads else spec

    @override
    def setup(self, stage: str) -> None:
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        if _SOURCE in getattr(getattr(datamodule, "store", None), "properties", ()):
            groups = datamodule.groups(_SOURCE)
            self._source_names = groups.names
            self._source_of_row = torch.from_numpy(groups.of_row)
        self._start_metrics()

    @override
    def forward(self, batch: CrystalBatch) -> Tensor:
        """One vector for each atom; shape ``[num_atoms, width]``."""
        model: Any = self.model
        vectors: Tensor = model.encode_atoms(batch)
        return vectors

    @override
    def training_step(self, batch: CrystalBatch, batch_idx: int) -> Tensor:
        with without_statistics(batch.is_filler):
            sums = self._sums(batch)
        self.train_means.update(sums)
        return self._loss(
            {part: global_mean(*sums[f"{part}_loss"]) for part in _PARTS if part in self.heads}
        )

    @override
    def validation_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        self.val_means.update(self._sums(batch))

    @override
    def test_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        self.test_means.update(self._sums(batch))

    @override
    def on_train_epoch_end(self) -> None:
        self._log_means("train", self.train_means)

    @override
    def on_validation_epoch_end(self) -> None:
        self._log_means("val", self.val_means)

    @override
    def on_test_epoch_end(self) -> None:
        self._log_means("test", self.test_means)

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self._optimizer([p for p in self.parameters() if p.requires_grad])
        return optimizer_plan(self, optimizer, self._lr_scheduler)

    def save_pretrained(
        self, folder: str | Path, *, metadata: Mapping[str, Any] | None = None
    ) -> Path:
        """Writes the model as an artifact, without weights that were not trained.

        Raises:
            ArtifactError: If the model is not a ``PretrainedModel``, or cannot be saved.
        """
        if not isinstance(self.model, PretrainedModel):
            raise ArtifactError(f"{type(self.model).__name__} is not a PretrainedModel")
        return self.model.save_pretrained(folder, metadata=metadata, untrained=self._untrained)

    def load_pretrained(self, path_or_hub_id: str | Path, *, strict: bool) -> str:
        """Takes weights from an artifact into the model that is here.

        Args:
            path_or_hub_id: Folder or ``owner/name``.
            strict: For evaluation, which an artifact is not enough for.

        Returns:
            A report to print.

        Raises:
            ArtifactError: If nothing fits, or if ``strict``.
        """
        if strict:
            raise ArtifactError(
                f"{path_or_hub_id}: an artifact has no heads that repair",
                "give the checkpoint of a run with --ckpt_path",
            )
        artifact = Artifact.load(path_or_hub_id)
        return str(load_state_report(self.model, artifact.weights))

    def _sums(self, batch: CrystalBatch) -> Sums:
        atoms = self(batch)
        sums: dict[str, tuple[Tensor, Tensor]] = {}
        if "element" in self.heads:
            sums |= self._element_sums(atoms, batch)
        if "length" in self.heads:
            near = near_edges(batch)
            guess, truth = self.heads["length"](atoms, near), true_log_lengths(near)
            sums |= _repair_sums("length", guess, truth, near.edge_length)
        if "volume" in self.heads:
            guess, truth = self.heads["volume"](atoms, batch), true_log_volumes(batch)
            sums |= _repair_sums("volume", guess, truth, torch.ones_like(truth))
        # The crystals of a filler are another process's.
        share = 0.0 if batch.is_filler else 1.0
        return {name: (share * total, share * count) for name, (total, count) in sums.items()}

    def _element_sums(self, atoms: Tensor, batch: CrystalBatch) -> Sums:
        hidden = batch.masked_sites
        logits = self.heads["element"](atoms[hidden])
        classes = batch.true_atomic_numbers[hidden] - 1
        is_right = (logits.argmax(1) == classes).to(logits.dtype)
        count = torch.ones_like(is_right).sum()
        sums = {
            "element_loss": (F.cross_entropy(logits, classes, reduction="sum"), count),
            "masked_accuracy": (is_right.sum(), count),
        }
        if self._source_names:
            # No buffer: it belongs to the data, and averages of the weights would copy it.
            self._source_of_row = self._source_of_row.to(batch.sample_id.device)
            source = self._source_of_row[batch.sample_id][batch.batch[hidden]]
            zeros = is_right.new_zeros(len(self._source_names))
            right = zeros.index_add(0, source, is_right)
            counts = zeros.index_add(0, source, torch.ones_like(is_right))
            for place, name in enumerate(self._source_names):
                sums[f"masked_accuracy/{name}"] = right[place], counts[place]
        return sums

    def _loss(self, parts: Mapping[str, Tensor]) -> Tensor:
        weighted = [
            loss if part == "element" else self._repair_weight * loss
            for part, loss in parts.items()
        ]
        return torch.stack(weighted).sum()

    def _start_metrics(self) -> None:
        names = [f"{part}_loss" for part in self.heads]
        if "element" in self.heads:
            names += ["masked_accuracy", *(f"masked_accuracy/{s}" for s in self._source_names)]
        for part in self.heads:
            if part != "element":
                names += [f"{part}_mae", f"{part}_mae_unrepaired"]
        self.train_means, self.val_means, self.test_means = (NamedMeans(names) for _ in range(3))

    def _log_means(self, stage: str, metric: NamedMeans) -> None:
        means = metric.compute()
        metric.reset()
        for name, (mean, count) in means.items():
            self.log(f"{stage}/{name}", mean, sync_dist=True)
            # That of a share of squares is no number of anything.
            if name not in ("length_loss", "volume_loss"):
                self.num_labels[f"{stage}/{name}"] = int(count)
        parts = {part: means[f"{part}_loss"][0] for part in _PARTS if f"{part}_loss" in means}
        self.log(f"{stage}/loss", self._loss(parts), sync_dist=True)


def _repair_sums(part: str, guess: Tensor, truth: Tensor, scale: Tensor) -> Sums:
    count = torch.ones_like(truth).sum()
    unrepaired = scale * (truth.exp() - 1.0)
    error = scale * (truth.exp() - guess.detach().exp())
    return {
        f"{part}_loss": ((guess - truth).square().sum(), truth.square().sum()),
        f"{part}_mae": (error.abs().sum(), count),
        f"{part}_mae_unrepaired": (unrepaired.abs().sum(), count),
    }


def _heads(corruptions: Sequence[Transform], width: int) -> Iterator[tuple[str, nn.Module]]:
    kinds = [type(corruption) for corruption in corruptions]
    if not {MaskAtoms, PerturbAtoms, PerturbLattice} & set(kinds):
        raise InvalidArgumentError(
            "corruptions: there is nothing to repair",
            "give MaskAtoms, PerturbAtoms or "
            f"PerturbLattice of crystal_data.transforms, not {[kind.__name__ for kind in kinds]}",
        )
    if MaskAtoms in kinds:
        yield "element", ElementHead(width)
    if PerturbAtoms in kinds or PerturbLattice in kinds:
        yield "length", LengthHead(width)
    if PerturbLattice in kinds:
        yield "volume", VolumeHead(width)


def _examine(model: nn.Module) -> tuple[int, tuple[str, ...]]:
    """Length of the vectors of atoms, and the parameters that play no part in them."""
    encoder: Any = model
    salt = Crystal(4.0 * np.eye(3), np.array([[0.0] * 3, [0.5] * 3]), np.array([11, 17]))
    batch = CrystalBatch.from_crystals([salt])
    if encoder.graph_spec is not None:
        batch = batch.with_edges(encoder.graph_spec)
    batch.atomic_numbers = torch.tensor([11, 0])
    was_training = model.training
    model.eval()
    vectors: Tensor = encoder.encode_atoms(batch.float32())
    model.train(was_training)
    # What was frozen before, such as the rows of a table, means something all the same.
    free = {name: p for name, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(vectors.sum(), tuple(free.values()), allow_unused=True)
    unused = [name for name, grad in zip(free, gradients, strict=True) if grad is None]
    return vectors.shape[1], tuple(unused)
