"""Augmentation of training crystals: elements are exchanged for similar ones.

A crystal in which an element is exchanged for a similar one often exists too, with a cell of
another size. So a model that sees such crystals learns from far more compositions than the data
have, and overfits less.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from crystal_data.loading import OrbitBatch
from crystal_data.transforms import SampleRandom
from crystal_gen.templates.mendeleev import MENDELEEV_NUMBERS

_NUM_ELEMENTS = len(MENDELEEV_NUMBERS)
_MOST_STEPS = 3  # along the Mendeleev numbers of the elements that the data have
_SHARE_OF_ELEMENTS = 0.5  # exchanged, in a crystal that is changed at all


class ElementExchange(nn.Module):
    """Exchanges elements for their neighbors on the line of Mendeleev numbers.

    Coordinates stay, and so does the cell but for its size, which the caller scales. A changed
    crystal has no known properties.

    Args:
        share: Of crystals that may be changed.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.is_known: Tensor
        self.register_buffer("is_known", torch.zeros(_NUM_ELEMENTS, dtype=torch.bool))

    def fit(self, composition: Tensor) -> None:
        """Learns which elements there are.

        Args:
            composition: Atoms of each element; ``[num_crystals, 119]``.
        """
        self.is_known.copy_(composition.sum(0) > 0)

    def forward(self, batch: OrbitBatch, random: SampleRandom) -> OrbitBatch:
        """A batch of changed crystals.

        All orbits of an element are changed alike. A crystal of which two elements would become one
        stays as it is.
        """
        numbers = self.exchanged(batch.atomic_numbers, batch.mask, random)
        is_changed = (numbers != batch.atomic_numbers).any(1)
        targets = {
            name: values.masked_fill(is_changed, torch.nan)
            for name, values in batch.targets.items()
        }
        return replace(batch, atomic_numbers=numbers, targets=targets)

    def exchanged(self, atomic_numbers: Tensor, mask: Tensor, random: SampleRandom) -> Tensor:
        """Other elements for those of crystals; ``[num_crystals, n]``.

        Args:
            atomic_numbers: Of orbits, atoms or whatever has one; ``[num_crystals, n]``.
            mask: True where there is one; ``[num_crystals, n]``.
            random: For the crystals.
        """
        device = mask.device
        line = self._line()
        place = torch.zeros(_NUM_ELEMENTS, dtype=torch.int64, device=device)
        place[line] = torch.arange(len(line), device=device)
        steps = random.integers("exchange steps", 1, _MOST_STEPS + 1, _NUM_ELEMENTS)
        steps = steps * (2 * random.integers("exchange signs", 0, 2, _NUM_ELEMENTS) - 1)
        is_moved = random.uniform("exchanged", _NUM_ELEMENTS) < _SHARE_OF_ELEMENTS
        is_moved &= (random.uniform("exchange") < self.share)[:, None]
        steps = (steps * is_moved).to(device)
        after = line[(place + steps).clamp(0, len(line) - 1)]
        numbers = after.gather(1, atomic_numbers)
        keeps = _num_elements(numbers, mask) == _num_elements(atomic_numbers, mask)
        return torch.where(keeps[:, None] & mask, numbers, atomic_numbers)

    def _line(self) -> Tensor:
        """Known elements in the order of their Mendeleev numbers."""
        known = np.flatnonzero(self.is_known.cpu().numpy())
        order = known[np.argsort(MENDELEEV_NUMBERS[known], kind="stable")]
        return torch.from_numpy(order).to(self.is_known.device)


def _num_elements(numbers: Tensor, mask: Tensor) -> Tensor:
    found = torch.zeros(len(numbers), _NUM_ELEMENTS, device=numbers.device)
    return found.scatter(1, numbers * mask, 1.0)[:, 1:].sum(1)
