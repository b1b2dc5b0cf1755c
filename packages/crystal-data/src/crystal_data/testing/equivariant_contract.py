"""What every model of vectors and tensors must keep; each package's models inherit these tests."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from crystal_data.crystal import Crystal
from crystal_data.testing.model_contract import MOVE_NAMES, ModelContract, Move
from crystal_data.testing.moves import MOVES


class EquivariantModelContract(ModelContract):
    """Subclass as ``TestMyModel`` and give ``predict``; the tests come with it.

    Predictions are vectors or tensors of atoms, ``[num_atoms, 3]`` or ``[num_atoms, 3, 3]``, such
    as forces, displacements or Born charges; with ``per = "crystal"`` those of crystals,
    ``[num_crystals, 3]`` or ``[num_crystals, 3, 3]``, that do not grow with the cell, such as a
    stress. Every axis of three is one of x, y, z, and turns and is mirrored with the crystal;
    everything else that describes the same crystal leaves them as they are.

    ``tolerances`` and ``module`` are as those of ``InvariantModelContract``.
    """

    per: ClassVar[Literal["atom", "crystal"]] = "atom"

    def predict(self, crystals: Sequence[Crystal]) -> Tensor:
        """One vector or tensor for each atom (or crystal) of one batch, evaluation mode."""
        return super().predict(crystals)

    @pytest.mark.parametrize("move", MOVES, ids=MOVE_NAMES)
    def test_turns_with(self, move: Move) -> None:
        """Predictions turn with the crystal, and are those of the same atoms in another cell."""
        self._check_move(move)

    def _split(self, predictions: Tensor, crystals: Sequence[Crystal]) -> list[Tensor]:
        counts = [crystal.num_atoms if self.per == "atom" else 1 for crystal in crystals]
        shape = tuple(predictions.shape)
        if shape not in ((sum(counts), 3), (sum(counts), 3, 3)):
            pytest.fail(
                f"{sum(counts)} {self.per}s, predictions of shape {shape}; expected "
                f"({sum(counts)}, 3) or ({sum(counts)}, 3, 3)"
            )
        return list(predictions.split(counts))

    def _turned(self, prediction: Tensor, crystal: Crystal, moved: Crystal) -> Tensor:
        if self.per == "atom":
            prediction = prediction[_atoms_before(crystal, moved)]
        turn = torch.as_tensor(_turn(crystal, moved), dtype=prediction.dtype)
        for axis in range(1, prediction.ndim):
            turned = torch.tensordot(prediction, turn, dims=([axis], [0]))
            prediction = torch.movedim(turned, -1, axis)
        return prediction


def _turn(crystal: Crystal, moved: Crystal) -> np.ndarray:
    """The rotation or mirror, for rows, that a move made; the identity for another cell."""
    turn: np.ndarray = np.linalg.solve(crystal.lattice, moved.lattice)
    is_orthogonal = np.allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    # Another cell of the same lattice, or a larger one, is no turn even where it is orthogonal.
    same_coords = crystal.num_atoms == moved.num_atoms and np.array_equal(
        crystal.frac_coords, moved.frac_coords
    )
    return turn if is_orthogonal and same_coords else np.eye(3)


def _atoms_before(crystal: Crystal, moved: Crystal) -> list[int]:
    """The atom of the crystal that each atom of the moved one is."""
    count = crystal.num_atoms
    if moved.num_atoms > count:
        return [atom % count for atom in range(moved.num_atoms)]
    rows = [tuple(row) for row in crystal.frac_coords]
    order = [tuple(row) for row in moved.frac_coords]
    is_permuted = sorted(rows) == sorted(order)
    return [rows.index(row) for row in order] if is_permuted else list(range(count))
