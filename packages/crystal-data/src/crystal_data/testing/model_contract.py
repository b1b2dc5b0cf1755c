"""What every model must keep, whatever it predicts; other contracts build on it."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crystal_data.crystal import Crystal
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

MOVE_NAMES = tuple(move.__name__ for move in MOVES)


class ModelContract:
    """The part of a contract that does not depend on what is predicted.

    A subclass splits predictions by crystal (``_split``) and says how they turn (``_turned``).
    """

    tolerances: ClassVar[dict[str, float]] = {}

    _DEFAULTS: ClassVar[dict[str, float]] = {"float64": 1e-4}
    _SLACK: ClassVar[float] = 20.0

    def predict(self, crystals: Sequence[Crystal]) -> Tensor:
        """Predictions for the crystals of one batch, evaluation mode."""
        raise NotImplementedError(f"{type(self).__name__} gives no predict(crystals)")

    def module(self) -> nn.Module | None:
        """The model that ``predict`` uses, if it is one; always the same object."""
        return None

    def crystals(self) -> list[Crystal]:
        """The crystals that the tests use: 1 to 8 atoms, tied shells, thin and skewed cells."""
        prototypes = [rock_salt(), perovskite(), face_centred(), elongated()]
        return [*random_crystals(8, seed=11, max_atoms=8), *prototypes]

    def test_alone_equals_batched(self) -> None:
        """A crystal's prediction is the same alone and in any batch, in any order."""
        crystals = self.crystals()
        alone = self._predict_alone(crystals)
        self._compare("batch", self._predict(crystals), alone, crystals)
        order = np.random.default_rng(0).permutation(len(crystals))
        shuffled = self._predict([crystals[row] for row in order])
        self._compare(
            "batch", shuffled, [alone[row] for row in order], [crystals[row] for row in order]
        )
        large = random_crystals(40, seed=5, max_atoms=40)[-1]
        beside = self._predict([*crystals, large])[:-1]
        self._compare("batch", beside, alone, crystals)

    def test_tells_crystals_apart(self) -> None:
        """The prediction is no constant, which would pass all else."""
        predictions = self._predict(self.crystals())
        if _spread(predictions) <= 10 * self._tolerance("batch"):
            pytest.fail(f"predictions hardly differ between crystals: {predictions}")

    def test_one_atom_per_cell(self) -> None:
        """Cells of one atom work, alone and together."""
        crystals = [face_centred(29, 3.61), face_centred(13, 4.05), face_centred(79, 4.08)]
        alone = self._predict_alone(crystals)
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
        known = (*MOVE_NAMES, "batch", "float64")
        spread = _spread(self._predict(self.crystals()))
        for name, tolerance in self.tolerances.items():
            if name not in known:
                pytest.fail(f"tolerances names {name!r}; the tests are {', '.join(known)}")
            if tolerance >= spread:
                pytest.fail(f"{name}: {tolerance} says nothing, predictions spread over {spread}")
            if name in MOVE_NAMES:
                got, expected = self._moved_and_turned(MOVES[MOVE_NAMES.index(name)])
                pairs = zip(got, expected, strict=True)
                measured = max(float((one - other).abs().max()) for one, other in pairs)
                if tolerance > self._SLACK * measured:
                    pytest.fail(f"{name}: declared {tolerance}, but only {measured:.2g} is needed")

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
        self._compare("float64", [x.double() for x in single], double, crystals)

    def _split(self, predictions: Tensor, crystals: Sequence[Crystal]) -> list[Tensor]:
        """The predictions of each crystal; fails for a shape that does not fit."""
        raise NotImplementedError

    def _turned(self, prediction: Tensor, crystal: Crystal, moved: Crystal) -> Tensor:  # noqa: ARG002
        """What a move of the crystal makes of its prediction."""
        return prediction

    def _check_move(self, move: Move) -> None:
        got, expected = self._moved_and_turned(move)
        self._compare(move.__name__, got, expected, self.crystals())

    def _moved_and_turned(self, move: Move) -> tuple[list[Tensor], list[Tensor]]:
        crystals, rng = self.crystals(), np.random.default_rng(3)
        moved = [move(crystal, rng) for crystal in crystals]
        expected = map(self._turned, self._predict(crystals), crystals, moved)
        return self._predict(moved), list(expected)

    def _predict(self, crystals: Sequence[Crystal]) -> list[Tensor]:
        predictions = self.predict(crystals).detach()
        split = self._split(predictions, crystals)
        if not torch.isfinite(predictions).all():
            pytest.fail(f"a prediction is not finite: {predictions.tolist()}")
        return split

    def _predict_alone(self, crystals: Sequence[Crystal]) -> list[Tensor]:
        return [self._predict([crystal])[0] for crystal in crystals]

    def _tolerance(self, name: str) -> float:
        return self.tolerances.get(name, self._DEFAULTS.get(name, 1e-5))

    def _compare(
        self, name: str, got: list[Tensor], expected: list[Tensor], crystals: Sequence[Crystal]
    ) -> None:
        tolerance = self._tolerance(name)
        worst = max(range(len(got)), key=lambda row: float((got[row] - expected[row]).abs().max()))
        deviation = (got[worst] - expected[worst]).abs()
        if (deviation > tolerance).any():
            place = int(deviation.argmax())
            one, other = (float(x[worst].flatten()[place]) for x in (got, expected))
            pytest.fail(
                f"{name}: {crystals[worst]} is predicted {one:.7g} in place of {other:.7g}, "
                f"{float(deviation.max()):.2g} apart; {tolerance:.2g} is allowed"
            )


def _spread(predictions: list[Tensor]) -> float:
    return float(torch.cat([prediction.flatten() for prediction in predictions]).std())
