"""The order of a run that consists of several calculations, one after the other.

LeMat-Traj numbers the calculations of a run by ``relaxation_number``. Those of the Materials
Project are stored newest first, so that number 0 is the last one, and its frame numbers run through
the second relaxation before the first; those of Alexandria and OQMD are in natural order. So that
neither rule has to be believed, the frames themselves are asked: where one calculation follows
another, it begins where that one ended.
"""

from collections.abc import Sequence
from itertools import pairwise

from crystal_data.errors import InvalidCrystalError
from crystal_data.io.site_lists import crystal_from_optimade
from crystal_data.trajectories.relaxation import change_size
from crystal_data.trajectories.schema import ID, NUMBER, STEP, Row

_NEWEST_FIRST = ("mp-", "mvc-")  # identifiers of the Materials Project
# The frames decide against the rule only where the jumps of its order are this much longer.
_CLEARLY_LONGER = 2.0
_SMALLEST_JUMP = 0.01  # Å; below, both orders fit


def in_order(rows: Sequence[Row]) -> tuple[list[Row], str]:
    """Rows of one run, first to last.

    Args:
        rows: In any order.

    Returns:
        The rows, and a remark where the frames contradict the rule of the data set; empty
        otherwise.
    """
    numbers = sorted({int(row.get(NUMBER) or 0) for row in rows})
    parts = [
        sorted((r for r in rows if int(r.get(NUMBER) or 0) == number), key=lambda r: r[STEP] or 0)
        for number in numbers
    ]
    if len(parts) == 1:
        return parts[0], ""
    by_rule = parts[::-1] if str(rows[0][ID]).startswith(_NEWEST_FIRST) else parts
    # By what the frames say the jumps between calculations are shorter in one of the two orders.
    jump, other = _jumps(by_rule), _jumps(by_rule[::-1])
    if jump > max(_CLEARLY_LONGER * other, _SMALLEST_JUMP):
        remark = (
            f"calculations follow each other in the order that is not the data set's: jumps of "
            f"{other:.3f} Å instead of {jump:.3f} Å"
        )
        return _joined(by_rule[::-1]), remark
    return _joined(by_rule), ""


def _joined(parts: Sequence[Sequence[Row]]) -> list[Row]:
    return [row for part in parts for row in part]


def _jumps(parts: Sequence[Sequence[Row]]) -> float:
    """How far the first frames of calculations are from the last of those before, Å in all."""
    total = 0.0
    for before, after in pairwise(parts):
        try:
            end = crystal_from_optimade("", before[-1])
            start = crystal_from_optimade("", after[0])
        except InvalidCrystalError:
            return 0.0  # it is said when the frames are read
        if end.num_atoms != start.num_atoms:
            return 0.0
        total += change_size(end, start)
    return total
