"""Orders candidate edges by length and keeps the nearest, whole shells or a fixed number."""

from typing import NamedTuple

import torch
from torch import Tensor

from crystal_data.graphs.spec import GraphSpec

# Lengths are compared in steps of this, Å, so that equal ones keep their order.
_LENGTH_STEP = 1e-6


class Candidates(NamedTuple):
    """All images within the radius of their centres."""

    per_centre: Tensor  # int64 [num_crystals * num_centres]
    centre: Tensor  # int64 [num_candidates], ascending, row of the centre in ``per_centre``
    column: Tensor  # int64 [num_candidates], names neighbor and image
    length: Tensor  # [num_candidates], Å


class Selection(NamedTuple):
    """Which candidates become edges."""

    chosen: Tensor  # int64 [num_chosen], numbers of candidates, by centre and length
    is_short: Tensor  # bool [num_crystals], True: lacks neighbors, nothing of it is chosen


def select_neighbors(
    candidates: Candidates, limit: Tensor, is_real: Tensor, spec: GraphSpec
) -> Selection:
    """Chooses among all candidates within a radius.

    Args:
        candidates: In the order of their centres, and of neighbor and image below that.
        limit: Radius within which the candidates are complete; ``[num_crystals]``, Å.
        is_real: False where a centre only pads; bool ``[num_crystals, num_centres]``.
        spec: How many to keep.
    """
    count, centre, _, length = candidates
    start = count.cumsum(0) - count
    order = _by_length(count, start, centre, length)
    if spec.max_neighbors is None:
        return Selection(order, torch.zeros_like(limit, dtype=torch.bool))
    tolerance = max(spec.tie_tolerance, _LENGTH_STEP)
    last = torch.full_like(count, torch.inf, dtype=length.dtype)
    is_full = count >= spec.max_neighbors
    last[is_full] = length[order[start[is_full] + (spec.max_neighbors - 1)]]

    is_complete = (last + tolerance).view(is_real.shape) <= limit[:, None]
    may_grow = limit < (torch.inf if spec.cutoff is None else spec.cutoff)
    is_short = (~is_complete & is_real).any(dim=1) & may_grow
    last = last.masked_fill(is_short.repeat_interleave(is_real.shape[1]), -torch.inf)
    is_kept = length <= (last + tolerance).index_select(0, centre)
    if spec.ties == "cut":  # of the last shell the first ones by neighbor and image
        is_closer = length < (last - tolerance).index_select(0, centre)
        is_tied = is_kept & ~is_closer
        room = spec.max_neighbors - _count_per_row(is_closer, start, count)
        is_kept = is_closer | (is_tied & (_rank(is_tied, start, centre) < room[centre]))
    return Selection(order[is_kept.index_select(0, order)], is_short)


def _by_length(count: Tensor, start: Tensor, centre: Tensor, length: Tensor) -> Tensor:
    """Candidates by centre, then length, then as they came."""
    # One whole number holds all three, so one sort of values does. Rows times their longest are
    # no more than the candidates tested at once, which leaves the lengths more bits than they need.
    first = start.index_select(0, centre)
    place_bits = int(count.max()).bit_length() if len(count) else 0
    steps = (length * (1 / _LENGTH_STEP)).round_().long()
    step_bits = int(steps.max()).bit_length() if len(steps) else 0
    keys = (centre << (step_bits + place_bits)) | (steps << place_bits)
    keys |= torch.arange(len(centre), device=centre.device) - first
    if keys.device.type == "cpu":
        keys.numpy().sort()  # several times faster than torch's
    else:
        keys = keys.sort().values
    return (keys & ((1 << place_bits) - 1)) + first


def _counts_before(mask: Tensor) -> Tensor:
    """How many are True before each place, and in all at the end."""
    return torch.cat((mask.new_zeros(1, dtype=torch.int64), mask.cumsum(0)))


def _count_per_row(mask: Tensor, start: Tensor, count: Tensor) -> Tensor:
    before = _counts_before(mask)
    return before[start + count] - before[start]


def _rank(mask: Tensor, start: Tensor, row: Tensor) -> Tensor:
    """How many of the same row are True before each place."""
    before = _counts_before(mask)
    return before[:-1] - before[start][row]
