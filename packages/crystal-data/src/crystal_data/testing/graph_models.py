"""The contract for models that take a batch with the edges they ask for."""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from crystal_data.crystal import Crystal
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.testing.builders import random_crystals
from crystal_data.testing.contract import InvariantModelContract
from crystal_data.training.masked import masked_loss

Model = TypeVar("Model", bound=nn.Module)


def batch_for(model: Any, crystals: Sequence[Crystal]) -> CrystalBatch:
    """A batch in single precision with the edges of the model's ``graph_spec``."""
    return CrystalBatch.from_crystals(crystals).with_edges(model.graph_spec).float32()


def briefly_trained(model: Model, steps: int = 5) -> Model:
    """The model after a few steps, in evaluation mode.

    Weights, scales and running statistics are no longer as they begin, when a layer may do nothing.

    Args:
        model: A model of one batch with a ``graph_spec``; it is trained in place.
        steps: How many.
    """
    torch.manual_seed(0)
    batch = batch_for(model, random_crystals(12, seed=1))
    label = batch.num_atoms[:, None].float().log()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(batch) - label).abs().mean().backward()
        optimizer.step()
    return model.eval()


class GraphModelContract(InvariantModelContract):
    """Subclass as ``TestMyModel`` and give ``model``, briefly trained; the tests come with it.

    The model takes a ``CrystalBatch`` with the edges of its ``graph_spec`` and returns
    ``[num_crystals, num_outputs]``; the first output is tested.
    """

    model: Any

    def predict(self, crystals: Sequence[Crystal]) -> Tensor:
        """First output."""
        with torch.no_grad():
            output: Tensor = self.model(batch_for(self.model, crystals))
        return output[:, 0]

    def module(self) -> nn.Module | None:
        """The model."""
        found: nn.Module = self.model
        return found

    def loss(self, batch: CrystalBatch) -> Tensor | None:
        """Mean absolute error of the first output."""
        batch = batch.with_edges(self.model.graph_spec).float32()
        return masked_loss(self.model(batch)[:, 0], batch.targets["target"], "mae")
