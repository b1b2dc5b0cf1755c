"""Places of elements in figures."""

import numpy as np
from numpy.typing import NDArray

from crystal_data import ATOMIC_NUMBERS


def table_position(symbol: str) -> tuple[int, int]:
    """Row (1 to 7; 9 and 10 for the f block) and column (1 to 18) in the periodic table."""
    z = ATOMIC_NUMBERS[symbol]
    for first, last, row in ((57, 70, 9), (89, 102, 10)):
        if first <= z <= last:
            return row, z - first + 3
    # Atomic number of each period's first element; the noble gas before the next closes the row.
    starts = (1, 3, 11, 19, 37, 55, 87, 119)
    row = next(period for period in range(1, 8) if starts[period] > z)
    from_left, from_right = z - starts[row - 1], starts[row] - 1 - z
    s_block = 1 if row == 1 else 2
    in_d_block = row >= 4 and from_right > 5 and from_left >= s_block
    if from_left < s_block and z != 2:
        return row, from_left + 1
    if in_d_block:
        f_block = 14 if row >= 6 else 0
        return row, from_left + 1 - f_block
    return row, 18 - from_right


def pushed_apart(places: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Moves boxes of one size as little as makes most of them stand free.

    Args:
        places: Centres; shape ``[num_boxes, 2]``, in the unit of the figure.
        size: Width and height of every box, in the same unit.

    Returns:
        The new centres, shaped as before.
    """
    places = places.copy()
    for _ in range(60):
        delta = places[:, None] - places[None]
        overlap = size - np.abs(delta)
        hit = (overlap > 0).all(axis=-1) & ~np.eye(len(places), dtype=bool)
        if not hit.any():
            break
        # The way out is along the axis, in units of the box, where they overlap less.
        sideways = overlap[..., 0] / size[0] < overlap[..., 1] / size[1]
        along = np.stack([sideways, ~sideways], axis=-1)
        order = np.arange(len(places))
        tie = np.sign(order[:, None] - order)[..., None]
        sign = np.where(delta == 0, tie, np.sign(delta))
        places += 0.25 * (hit[..., None] * along * sign * overlap).sum(axis=1)
    return places
