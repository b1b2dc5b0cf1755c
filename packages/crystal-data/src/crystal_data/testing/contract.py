"""What every model of an intensive scalar must keep; each package's models inherit these tests."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crystal_data.crystal import Crystal
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.testing.builders import (
    elongated,
    face_centred,
    isolated_atom,
    perovskite,
    random_crystals,
    rock_salt,
)
from crystal_data.testing.moves import MOVES

Move = Callable[[Crystal, np.random.Generator], Crystal]

_MOVE_NAMES = tuple(move.__name__ for move in MOVES)


class InvariantModelContract:
    """Subclass as ``TestMyModel`` and give ``predict``; the tests come with it.

    ``tolerances`` names the moves that the model keeps only approximately, with the largest
    deviation that was measured (in the unit of its predictions); it also takes ``"batch"`` and
    ``"float64"``. A tolerance is itself tested: it must hold, be no more than ``_SLACK`` times what
    is measured, and stay below the spread of the predictions, past which it would say nothing.

    ``targets`` and ``loss`` are for the tests of missing labels, ``module`` for these and for the
    comparison with float64; without them those tests are skipped.
    """

    tolerances: ClassVar[dict[str, float]] = {}
    targets: ClassVar[tuple[str, ...]] = ("target",)

    _DEFAULTS: ClassVar[dict[str, float]] = {"float64": 1e-4}
    _SLACK: ClassVar[float] = 20.0

    def predict(self, crystals: Sequence[Crystal]) -> Tensor:
        """One number for each crystal of one batch, shape ``[num_crystals]``, evaluation mode."""
        raise NotImplementedError("a subclass of InvariantModelContract gives predict(crystals)")

    def module(self) -> nn.Module | None:
        """The model that ``predict`` and ``loss`` use, if it is one; always the same object."""
        return None

    def loss(self, batch: CrystalBatch) -> Tensor | None:  # noqa: ARG002
        """Training loss of a batch whose ``targets`` may hold NaN.

        Evaluation mode: the statistics of a batch norm would join crystals with and without label.
        """
        return None

    def crystals(self) -> list[Crystal]:
        """The crystals that the tests use: 1 to 8 atoms, tied shells, thin and skewed cells."""
        prototypes = [rock_salt(), perovskite(), face_centred(), elongated()]
        return [*random_crystals(8, seed=11, max_atoms=8), *prototypes]

    @pytest.mark.parametrize("move", MOVES, ids=_MOVE_NAMES)
    def test_unchanged_by(self, move: Move) -> None:
        """The same crystal described in another way has the same prediction."""
        crystals = self.crystals()
        moved = _moved(move, crystals)
        self._compare(move.__name__, self._predict(moved), self._predict(crystals), crystals)

    def test_alone_equals_batched(self) -> None:
        """A crystal's prediction is the same alone and in any batch, in any order."""
        crystals = self.crystals()
        alone = torch.cat([self._predict([crystal]) for crystal in crystals])
        self._compare("batch", self._predict(crystals), alone, crystals)
        order = np.random.default_rng(0).permutation(len(crystals))
        shuffled = self._predict([crystals[row] for row in order])
        self._compare("batch", shuffled, alone[order], [crystals[row] for row in order])
        large = random_crystals(40, seed=5, max_atoms=40)[-1]
        beside = self._predict([*crystals, large])[:-1]
        self._compare("batch", beside, alone, crystals)

    def test_tells_crystals_apart(self) -> None:
        """The prediction is no constant, which would pass all else."""
        predictions = self._predict(self.crystals())
        if predictions.std() <= 10 * self._tolerance("batch"):
            pytest.fail(f"predictions hardly differ between crystals: {predictions.tolist()}")

    def test_one_atom_per_cell(self) -> None:
        """Cells of one atom work, alone and together."""
        crystals = [face_centred(29, 3.61), face_centred(13, 4.05), face_centred(79, 4.08)]
        alone = torch.cat([self._predict([crystal]) for crystal in crystals])
        self._compare("batch", self._predict(crystals), alone, crystals)

    def test_isolated_atoms(self) -> None:
        """Atoms without any neighbor in reach work: alone, together, and beside others."""
        lone, crystal = isolated_atom(), rock_salt()
        expected = self._predict([crystal])
        self._predict([lone])
        self._predict([lone, isolated_atom(10)])
        for batch, row in (([lone, crystal], 1), ([crystal, lone], 0)):
            got = self._predict(batch)[row : row + 1]
            self._compare("batch", got, expected, [crystal])

    def test_declared_tolerances(self) -> None:
        """Each declared tolerance names a test, and is as small as it says something."""
        known = (*_MOVE_NAMES, "batch", "float64")
        crystals = self.crystals()
        predictions = self._predict(crystals)
        for name, tolerance in self.tolerances.items():
            if name not in known:
                pytest.fail(f"tolerances names {name!r}; the tests are {', '.join(known)}")
            spread = float(predictions.std())
            if tolerance >= spread:
                pytest.fail(f"{name}: {tolerance} says nothing, predictions spread over {spread}")
            if name in _MOVE_NAMES:
                moved = self._predict(_moved(MOVES[_MOVE_NAMES.index(name)], crystals))
                measured = float((moved - predictions).abs().max())
                if tolerance > self._SLACK * measured:
                    pytest.fail(f"{name}: declared {tolerance}, but only {measured:.2g} is needed")

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

    def test_float64_agrees(self) -> None:
        """Single precision is enough: double precision predicts the same."""
        module = self.module()
        if module is None:
            pytest.skip("module() gives no model")
        crystals = self.crystals()
        single = self._predict(crystals)
        default = torch.get_default_dtype()
        try:
            torch.set_default_dtype(torch.float64)
            module.double()
            double = self._predict(crystals)
        finally:
            torch.set_default_dtype(default)
            module.to(default)
        self._compare("float64", single.double(), double.double(), crystals)

    def _predict(self, crystals: Sequence[Crystal]) -> Tensor:
        predictions = self.predict(crystals).detach()
        if predictions.shape != (len(crystals),):
            pytest.fail(f"{len(crystals)} crystals, predictions of shape {predictions.shape}")
        if not torch.isfinite(predictions).all():
            pytest.fail(f"a prediction is not finite: {predictions.tolist()}")
        return predictions

    def _tolerance(self, name: str) -> float:
        return self.tolerances.get(name, self._DEFAULTS.get(name, 1e-5))

    def _compare(
        self, name: str, got: Tensor, expected: Tensor, crystals: Sequence[Crystal]
    ) -> None:
        deviation = (got - expected).abs()
        tolerance = self._tolerance(name)
        if (deviation > tolerance).any():
            worst = int(deviation.argmax())
            pytest.fail(
                f"{name}: {crystals[worst]} is predicted {float(got[worst]):.7g} in place of "
                f"{float(expected[worst]):.7g}, {float(deviation[worst]):.2g} apart; "
                f"{tolerance:.2g} is allowed"
            )

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


def _moved(move: Move, crystals: Sequence[Crystal]) -> list[Crystal]:
    rng = np.random.default_rng(3)
    return [move(crystal, rng) for crystal in crystals]
