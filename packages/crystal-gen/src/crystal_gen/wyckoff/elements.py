"""What the periodic table says of elements, as numbers that a network reads."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from crystal_data.elements import ELECTRONEGATIVITY, SYMBOLS
from crystal_gen.templates.mendeleev import MENDELEEV_NUMBERS

_NOBLE_GASES = (0, 2, 10, 18, 36, 54, 86, 118)
_NUM_GROUPS = 18
_CENTERS = 12  # of bell curves that spread one number over several
_LARGEST_ELECTRONEGATIVITY = 4.0


def period_and_group(atomic_number: int) -> tuple[int, int]:
    """Row 1 to 7 and column 1 to 18 of the periodic table; column 0 for the f-block.

    Lanthanum and actinium, with which the f-block begins, count as part of it; lutetium and
    lawrencium stand in column 3.

    Args:
        atomic_number: 1 to 118.
    """
    period = next(row for row in range(1, 8) if atomic_number <= _NOBLE_GASES[row])
    step = atomic_number - _NOBLE_GASES[period - 1]
    from_end = _NOBLE_GASES[period] - atomic_number
    if step <= 2 and not (period == 1 and step == 2):
        return period, step
    column = _NUM_GROUPS - from_end
    return period, column if column >= 3 else 0


@lru_cache(maxsize=1)
def element_features() -> Tensor:
    """Period, group, electronegativity and Mendeleev number of all elements.

    Periods and groups are one number each that is 1; the other two are spread over bell curves.

    Returns:
        By atomic number, 0 for no element; ``[119, num_features]``.
    """
    rows = np.zeros((len(SYMBOLS), 8 + _NUM_GROUPS + 1 + 2 * _CENTERS))
    for number in range(1, len(SYMBOLS)):
        period, group = period_and_group(number)
        rows[number, period] = 1.0
        rows[number, 8 + group] = 1.0
        electronegativity = ELECTRONEGATIVITY[SYMBOLS[number]]
        scaled = (
            # An element without a value has no bell at all.
            electronegativity / _LARGEST_ELECTRONEGATIVITY,
            MENDELEEV_NUMBERS[number] / MENDELEEV_NUMBERS.max(),
        )
        rows[number, 8 + _NUM_GROUPS + 1 :] = np.concatenate([_bells(value) for value in scaled])
    return torch.from_numpy(rows).float()


def _bells(value: float) -> np.ndarray:
    centers = np.linspace(0.0, 1.0, _CENTERS)
    return np.exp(-(((value - centers) * _CENTERS) ** 2) / 2.0)
