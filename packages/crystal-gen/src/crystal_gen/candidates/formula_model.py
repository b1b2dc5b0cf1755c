"""Properties of a formula, whatever its structure: what a wish says of formulas."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from crystal_data.elements import ATOMIC_NUMBERS, SYMBOLS
from crystal_gen.wishes import WishModel
from crystal_gen.wyckoff.network import ElementEmbedding

_LEAST_DEVIATION = 0.25  # of training values' deviation: who comes so near meets a wish
_DROPOUT = 0.1


class FormulaModel(WishModel):
    """Expects a value of each property for a formula, with a deviation.

    The crystals of a formula differ, and so does what is measured of them: the deviation covers
    both that and the model's own error.

    Args:
        properties: Columns of the data that may be wished for.
        width: Of an element.
    """

    def __init__(
        self, properties: Sequence[str] = ("formation_energy_per_atom",), *, width: int = 64
    ) -> None:
        super().__init__(properties)
        self.elements = ElementEmbedding(width, uses_properties=True)
        self.head = nn.Sequential(
            nn.Linear(2 * width, 2 * width),
            nn.SiLU(),
            nn.Dropout(_DROPOUT),
            nn.Linear(2 * width, width),
            nn.SiLU(),
            nn.Linear(width, 2 * len(self.properties)),
        )

    @override
    def forward(self, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Normalized values, and logarithms of their deviations.

        Args:
            shares: Of all atoms, by atomic number; ``[num_formulas, 119]``.

        Returns:
            Each ``[num_formulas, num_properties]``.
        """
        table = self.elements(torch.arange(len(SYMBOLS), device=shares.device))
        mean = shares @ table
        # How unlike the elements are decides more than what they are on average.
        spread = (shares @ table.square() - mean.square()).clamp(min=0.0)
        value, log_deviation = self.head(torch.cat([mean, spread], 1)).chunk(2, 1)
        return value, log_deviation.clamp(-4.0, 2.0)

    @torch.no_grad()
    def log_likelihoods(
        self, compositions: Sequence[Mapping[str, int]], wishes: Mapping[str, float]
    ) -> NDArray[np.float64]:
        """How well wishes fit formulas: logarithms of normal densities; ``[num_formulas]``.

        Args:
            compositions: Element to number of atoms.
            wishes: Values of some of the model's properties.
        """
        self.eval()
        wished = {name: torch.tensor([value]) for name, value in wishes.items()}
        value, log_deviation = self(shares_of(compositions).to(self.property_mean))
        deviation = log_deviation.exp().clamp(min=_LEAST_DEVIATION)
        misses = (self.normalized(wished, 1) - value) / deviation
        # What is not wished counts for nothing.
        logs = (-0.5 * misses.square() - deviation.log()).nan_to_num()
        found: NDArray[np.float64] = logs.sum(1).double().numpy()
        return found


def shares_of(compositions: Sequence[Mapping[str, int]]) -> Tensor:
    """Of all atoms, by atomic number; ``[num_formulas, 119]``."""
    shares = torch.zeros(len(compositions), len(SYMBOLS))
    for row, composition in enumerate(compositions):
        for symbol, count in composition.items():
            shares[row, ATOMIC_NUMBERS[symbol]] = count
    return shares / shares.sum(1, keepdim=True)


def fit_formula_model(
    model: FormulaModel,
    compositions: Sequence[Mapping[str, int]],
    targets: Mapping[str, Tensor],
    *,
    num_epochs: int = 150,
    seed: int = 0,
) -> None:
    """Trains a model.

    Args:
        model: To be trained, with its fresh weights.
        compositions: Of the training crystals.
        targets: Values by name, NaN where there is no label; each ``[num_crystals]``.
        num_epochs: Passes over all crystals.
        seed: Of dropout and order.
    """
    model.fit_properties(targets)
    shares = shares_of(compositions)
    truth = model.normalized(targets, len(shares))
    is_known = ~truth.isnan()
    truth = truth.nan_to_num()  # what is left out of a mean must not be NaN, for its gradient
    at_once = 128
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    steps = num_epochs * -(-len(shares) // at_once)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.train()
        for _ in range(num_epochs):
            for rows in torch.randperm(len(shares)).split(at_once):
                value, log_deviation = model(shares[rows])
                misses = (truth[rows] - value) / log_deviation.exp()
                losses = 0.5 * misses.square() + log_deviation
                loss = losses[is_known[rows]].mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    model.eval()
