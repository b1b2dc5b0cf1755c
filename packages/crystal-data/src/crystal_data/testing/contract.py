"""What every model of an intensive scalar must keep; each package's models inherit these tests."""

from collections.abc import Sequence
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from crystal_data.crystal import Crystal
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.testing.model_contract import MOVE_NAMES, ModelContract, Move
from crystal_data.testing.moves import MOVES


class InvariantModelContract(ModelContract):
    """Subclass as ``TestMyModel`` and give ``predict``; the tests come with it.

    ``tolerances`` names the moves that the model keeps only approximately, with the largest
    deviation that was measured (in the unit of its predictions); it also takes ``"batch"`` and
    ``"float64"``. A tolerance is itself tested: it must hold, be no more than ``_SLACK`` times what
    is measured, and stay below the spread of the predictions, past which it would say nothing.

    ``targets`` and ``loss`` are for the tests of missing labels, ``module`` for these and for the
    comparison with float64; without them those tests are skipped.
    """

    targets: ClassVar[tuple[str, ...]] = ("target",)

    def predict(self, crystals: Sequence[Crystal]) -> Tensor:
        """One number for each crystal of one batch, shape ``[num_crystals]``, evaluation mode."""
        return super().predict(crystals)

    def module(self) -> nn.Module | None:
        """The model that ``predict`` and ``loss`` use, if it is one; always the same object."""
        return None

    def loss(self, batch: CrystalBatch) -> Tensor | None:  # noqa: ARG002
        """Training loss of a batch whose ``targets`` may hold NaN.

        Evaluation mode: the statistics of a batch norm would join crystals with and without label.
        """
        return None

    @pytest.mark.parametrize("move", MOVES, ids=MOVE_NAMES)
    def test_unchanged_by(self, move: Move) -> None:
        """The same crystal described in another way has the same prediction."""
        self._check_move(move)

    def test_missing_labels(self) -> None:
        """Rows without label give what the batch without these rows gives, gradients too."""
        crystals = self.crystals()
        labels = torch.linspace(-1.0, 1.0, len(crystals))
        has_label = torch.arange(len(crystals)) % 3 != 0
        given = labels.masked_fill(~has_label, torch.nan)
        full = self._loss_and_gradients(crystals, given)
        labelled = [crystal for row, crystal in enumerate(crystals) if has_label[row]]
        part = self._loss_and_gradients(labelled, labels[has_label])
        for got, expected in zip(full, part, strict=True):
            if not torch.isfinite(got).all():
                pytest.fail("NaN labels reach the loss or its gradients")
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-3)

    def test_no_labels_at_all(self) -> None:
        """A batch without any label gives a finite loss and finite gradients."""
        crystals = self.crystals()[:3]
        for value in self._loss_and_gradients(crystals, torch.full((3,), torch.nan)):
            if not torch.isfinite(value).all():
                pytest.fail("a batch without labels gives a loss or gradient that is not finite")

    def _split(self, predictions: Tensor, crystals: Sequence[Crystal]) -> list[Tensor]:
        if predictions.shape != (len(crystals),):
            pytest.fail(f"{len(crystals)} crystals, predictions of shape {predictions.shape}")
        return list(predictions)

    def _loss_and_gradients(self, crystals: Sequence[Crystal], labels: Tensor) -> list[Tensor]:
        module = self.module()
        batch = CrystalBatch.from_crystals(crystals)
        batch.targets = {name: labels.clone() for name in self.targets}
        loss = None if module is None else self.loss(batch)
        if module is None or loss is None:
            pytest.skip("module() and loss(batch) are not given")
        parameters = [p for p in module.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        return [loss.detach(), *gradients]
