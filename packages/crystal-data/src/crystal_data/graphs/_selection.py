"""Orders candidate edges by length and keeps the nearest, whole shells or a fixed number."""

from typing import NamedTuple

import torch
from torch import Tensor

from crystal_data.graphs.spec import GraphSpec

# Lengths are compared in steps of this, Å, so that equal ones keep their order.
_LENGTH_STEP = 1e-6
_EMPTY = torch.iinfo(torch.int64).max


class Selection(NamedTuple):
    """Which candidates become edges."""

    chosen: Tensor  # int64 [num_chosen], numbers of candidates, by centre and length
    is_short: Tensor  # bool [num_crystals], True: lacks neighbours, nothing of it is chosen


def select_neighbors(
    centre: Tensor, length: Tensor, is_real: Tensor, limit: Tensor, spec: GraphSpec
) -> Selection:
    """Chooses among all candidates within a radius.

    Args:
        centre: Row of each candidate's centre, ascending; int64 ``[num_candidates]``.
        length: Å; ``[num_candidates]``.
        is_real: False where a centre only pads; bool ``[num_crystals, num_centres]``; the rows
            that ``centre`` names are these, crystal by crystal.
        limit: Radius within which the candidates are complete; ``[num_crystals]``, Å.
        spec: How many to keep.
    """
    count = torch.bincount(centre, minlength=is_real.numel())
    start = count.cumsum(0) - count
    ranked = _RankedRows.of(centre, length, count, start)
    order = ranked.order(start)
    if spec.max_neighbors is None:
        return Selection(order, torch.zeros_like(limit, dtype=torch.bool))
    tolerance = max(spec.tie_tolerance, _LENGTH_STEP)
    last = ranked.value_at(spec.max_neighbors - 1, length, start)
    per_crystal = (last + tolerance).view(is_real.shape)
    may_grow = limit < (torch.inf if spec.cutoff is None else spec.cutoff)
    is_short = ((per_crystal > limit[:, None]) & is_real).any(dim=1) & may_grow
    last = last.masked_fill(is_short.repeat_interleave(is_real.shape[1]), -torch.inf)
    if spec.ties == "shell":
        is_kept = length <= (last + tolerance).index_select(0, centre)
    else:  # of the last shell the first ones by neighbour and image
        is_closer = length < (last - tolerance).index_select(0, centre)
        is_tied = (length <= (last + tolerance).index_select(0, centre)) & ~is_closer
        room = spec.max_neighbors - _count_per_row(is_closer, start)
        is_kept = is_closer | (is_tied & (_rank(is_tied, start, centre) < room[centre]))
    return Selection(order[is_kept.index_select(0, order)], is_short)


def _counts_before(mask: Tensor) -> Tensor:
    """How many are True before each place, and in all at the end."""
    return torch.cat((mask.new_zeros(1, dtype=torch.int64), mask.cumsum(0)))


def _count_per_row(mask: Tensor, start: Tensor) -> Tensor:
    before = _counts_before(mask)
    end = torch.cat((start[1:], start.new_tensor([len(mask)])))
    return before[end] - before[start]


def _rank(mask: Tensor, start: Tensor, row: Tensor) -> Tensor:
    """How many of the same row are True before each place."""
    before = _counts_before(mask)
    return before[:-1] - before[start][row]


class _RankedRows(NamedTuple):
    """One sorted row for each centre: length in steps, then the candidate's place in its row."""

    keys: Tensor  # int64 [num_rows, most candidates of a row]
    place_bits: int

    @classmethod
    def of(cls, centre: Tensor, length: Tensor, count: Tensor, start: Tensor) -> "_RankedRows":
        width = int(count.max()) if len(count) else 0
        place_bits = max(width, 1).bit_length()
        flat = torch.arange(len(centre), device=centre.device)
        place = flat - start.index_select(0, centre)
        keys = centre.new_full((len(count), width), _EMPTY)
        steps = (length / _LENGTH_STEP).round_().long()
        keys.view(-1)[centre * width + place] = (steps << place_bits) | place
        if keys.device.type == "cpu":
            keys.numpy().sort(axis=1)  # an order of magnitude faster than torch's on short rows
        else:
            keys = keys.sort(dim=1).values
        return cls(keys, place_bits)

    def _candidate(self, keys: Tensor, start: Tensor) -> Tensor:
        return (keys & ((1 << self.place_bits) - 1)) + start

    def order(self, start: Tensor) -> Tensor:
        """All candidates, row by row, each row by length."""
        return self._candidate(self.keys, start[:, None])[self.keys != _EMPTY]

    def value_at(self, rank: int, length: Tensor, start: Tensor) -> Tensor:
        """Length of each row's candidate number ``rank``, infinite where the row has fewer."""
        result = length.new_full((len(start),), torch.inf)
        if rank < self.keys.shape[1]:
            keys = self.keys[:, rank]
            has = keys != _EMPTY
            result[has] = length[self._candidate(keys[has], start[has])]
        return result
