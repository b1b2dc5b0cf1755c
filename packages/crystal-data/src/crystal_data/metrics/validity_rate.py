"""Validity as a torchmetrics metric, for generative models that watch it while they train.

It adds up over ranks. Matching has no such form; `crystal_data.metrics.matching` says why.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from crystal_data.crystal import Crystal
from crystal_data.metrics.validity import (
    OxidationStates,
    is_composition_valid,
    is_structure_valid,
)


class ValidityRate(Metric):
    """Share of crystals that are valid in structure and, if a table is named, in composition.

    Args:
        oxidation_states: Table for the composition check; None checks the structure alone.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    num_valid: Tensor
    num_crystals: Tensor

    def __init__(self, oxidation_states: OxidationStates | None = None) -> None:
        super().__init__()
        self.oxidation_states = oxidation_states
        for name in ("num_valid", "num_crystals"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, crystals: Sequence[Crystal | None]) -> None:
        """Count some crystals; None stands for one that could not be built, and is not valid."""
        self.num_valid += sum(self._is_valid(c) for c in crystals if c is not None)
        self.num_crystals += len(crystals)

    def compute(self) -> Tensor:
        """The share over all ranks; NaN before the first crystal."""
        return self.num_valid / self.num_crystals

    def _is_valid(self, crystal: Crystal) -> bool:
        if not is_structure_valid(crystal):
            return False
        states = self.oxidation_states
        return states is None or is_composition_valid(crystal.composition, states)
