"""The LightningModule that trains the graph model."""

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from typing_extensions import override

from crystal_data.graphs import CrystalBatch
from crystal_data.processes import global_mean
from crystal_relax.graph.geometry import Geometry
from crystal_relax.graph.model import GraphRelaxer
from crystal_relax.training.loss import TrueGeometry, position_errors, strain_errors
from crystal_relax.training.task import RelaxationTask


class RelaxationModule(RelaxationTask):
    """Trains a graph model on the first and last frames of relaxations.

    The loss is the mean over all layers of the distance of each atom from its true place, in Å,
    plus ``cell_weight`` times the norm of the error of the strain. What is logged is that of
    :class:`RelaxationTask`, of the last layer.

    Args:
        model: What is trained.
        cell_weight: Å that a strain of one counts; about the length of a cell's edge.
        optimizer: Called with the parameters.
        lr_scheduler: Called with the optimizer.

    Raises:
        InvalidArgumentError: If the weight is negative.
    """

    def __init__(
        self,
        model: GraphRelaxer,
        *,
        cell_weight: float = 5.0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            model, cell_weight=cell_weight, optimizer=optimizer, lr_scheduler=lr_scheduler
        )
        self.relaxer = model

    @override
    def predicted(self, batch: CrystalBatch) -> Geometry:
        last: Geometry = self.relaxer(batch)[-1]
        return last

    @override
    def training_step(self, batch: CrystalBatch, batch_idx: int) -> Tensor:
        geometries = self.relaxer(batch)
        true, share = self.true(batch)
        loss = self._of_layers(batch, geometries, true, share)
        self.train_metric.update(self.sums(batch, geometries[-1], true, share, loss))
        return loss

    @override
    def loss(self, batch: CrystalBatch, true: TrueGeometry, share: Tensor) -> Tensor:
        return self._of_layers(batch, self.relaxer(batch), true, share)

    def _of_layers(
        self, batch: CrystalBatch, geometries: list[Geometry], true: TrueGeometry, share: Tensor
    ) -> Tensor:
        of_atoms = share[batch.batch]
        layers = [
            global_mean((of_atoms * position_errors(batch, one, true)).sum(), of_atoms.sum())
            + self.cell_weight * global_mean((share * strain_errors(one, true)).sum(), share.sum())
            for one in geometries
        ]
        return torch.stack(layers).mean()
