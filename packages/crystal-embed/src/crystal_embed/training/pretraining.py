"""The LightningModule that trains an encoder on crystals without labels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from typing_extensions import override

from crystal_data import CrystalBatch, GraphSpec
from crystal_data.artifacts import ArtifactError, PretrainedModel, TargetScale
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
from crystal_data.transforms import MaskAtoms, PerturbAtoms, PerturbLattice, Transform
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
_PARTS = ("element", "length", "volume")


@runtime_checkable
class AtomEncoder(Protocol):
    """A model that can be pre-trained."""

    #: Length of an atom's vector.
    width: int
    #: Names of the parts of the model that ``encode_atoms`` does not use.
    property_heads: tuple[str, ...]

    def encode_atoms(self, batch: CrystalBatch) -> Tensor:
        """One vector for each atom, hidden ones included; shape ``[num_atoms, width]``."""


class PretrainingModule(CrystalModule):
    """Trains a model to repair crystals: hidden elements, edge lengths, cell volumes.

    It needs no labels. Every crystal is corrupted anew each time it is shown; in evaluation it is
    always corrupted in the same way. Logs ``<stage>/loss``, which chooses the best checkpoint, and
    its parts: ``element_loss``, the cross-entropy over hidden atoms alone; ``length_loss`` and
    ``volume_loss``, the mean square error of the logarithm, as a share of what it is without any
    repair. ``masked_accuracy`` is the share of hidden atoms whose element is predicted right, also
    by ``source`` where the data have such a column (``JoinedSource``). ``length_mae``, Å, and
    ``volume_mae``, relative, stand beside what they are without repair
    (``length_mae_unrepaired``, ``volume_mae_unrepaired``).

    The artifact holds the model without its head for properties, which is not trained here.

    Args:
        model: An ``AtomEncoder``; takes 0 for the number of a hidden atom.
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

    def __init__(
        self,
        model: PretrainedModel,
        corruptions: Sequence[Transform],
        *,
        repair_weight: float = 1.0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(model, optimizer=optimizer, lr_scheduler=lr_scheduler)
        if not isinstance(model, AtomEncoder):
            raise InvalidArgumentError(
                f"{type(model).__name__} has no encode_atoms, width and property_heads, so there "
                "is nothing to pre-train; CrystalTransformer has them"
            )
        self._encoder: AtomEncoder = model
        self._corruptions = tuple(corruptions)
        self._repair_weight = repair_weight
        for name in self.untrained:
            # Data parallel would wait for the gradients of unused parameters.
            model.get_parameter(name).requires_grad_(False)
        self.heads = nn.ModuleDict(dict(_heads(self.corruptions, model.width)))
        self._element_sums = HiddenElementSums()

    @property
    @override
    def corruptions(self) -> tuple[Transform, ...]:
        return self._corruptions

    @property
    @override
    def graph_spec(self) -> GraphSpec | None:
        """Edges of the corrupted crystals: those of the model, or the nearest neighbors."""
        spec = self.model.graph_spec
        return _EDGES if spec is None and "length" in self.heads else spec

    @property
    @override
    def untrained(self) -> tuple[str, ...]:
        heads = tuple(f"{part}." for part in self._encoder.property_heads)
        return tuple(n for n, _ in self.model.named_parameters() if n.startswith(heads))

    @override
    def setup(self, stage: str) -> None:
        self._element_sums.take_sources(self.datamodule)
        super().setup(stage)

    @override
    def new_metric(self) -> NamedMeans:
        names = self._element_sums.names if "element" in self.heads else []
        for part in self.heads:
            if part != "element":
                names += [f"{part}_loss", f"{part}_mae", f"{part}_mae_unrepaired"]
        return NamedMeans(names)

    @override
    def epoch_metrics(self, measured: dict[str, Measured]) -> dict[str, Measured]:
        for name in ("length_loss", "volume_loss"):
            if name in measured:  # a share of squares, which counts no labels
                measured[name] = Measured(measured[name].value)
        losses = {p: measured[f"{p}_loss"].value for p in _PARTS if f"{p}_loss" in measured}
        return measured | {"loss": Measured(self._loss(losses))}

    @override
    def forward(self, batch: CrystalBatch) -> Tensor:
        """One vector for each atom; shape ``[num_atoms, width]``."""
        return self._encoder.encode_atoms(batch)

    @override
    def training_step(self, batch: CrystalBatch, batch_idx: int) -> Tensor:
        with without_statistics(batch.is_filler):
            sums = self._sums(batch)
        self.train_metric.update(sums)
        return self._loss(
            {part: global_mean(*sums[f"{part}_loss"]) for part in _PARTS if part in self.heads}
        )

    @override
    def validation_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        self.val_metric.update(self._sums(batch))

    @override
    def test_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        self.test_metric.update(self._sums(batch))

    @override
    def take_scales(self, name: str, scales: Mapping[str, TargetScale]) -> None:
        raise ArtifactError(
            f"{name}: an artifact has no heads that repair",
            "give the checkpoint of a run with --ckpt_path",
        )

    def _sums(self, batch: CrystalBatch) -> Sums:
        atoms = self(batch)
        sums: dict[str, tuple[Tensor, Tensor]] = {}
        if "element" in self.heads:
            hidden, _ = hidden_elements(batch)
            sums |= self._element_sums(self.heads["element"](atoms[hidden]), batch)
        if "length" in self.heads:
            near = near_edges(batch)
            guess, truth = self.heads["length"](atoms, near), true_log_lengths(near)
            sums |= _repair_sums("length", guess, truth, near.edges("LengthHead").edge_length)
        if "volume" in self.heads:
            guess, truth = self.heads["volume"](atoms, batch), true_log_volumes(batch)
            sums |= _repair_sums("volume", guess, truth, torch.ones_like(truth))
        # The crystals of a filler are another process's.
        share = 0.0 if batch.is_filler else 1.0
        return {name: (share * total, share * count) for name, (total, count) in sums.items()}

    def _loss(self, parts: Mapping[str, Tensor]) -> Tensor:
        weighted = [
            loss if part == "element" else self._repair_weight * loss
            for part, loss in parts.items()
        ]
        return torch.stack(weighted).sum()


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
