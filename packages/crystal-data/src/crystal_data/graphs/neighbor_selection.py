"""Orders edges by length and keeps the nearest, whole shells or a fixed number."""

from typing import NamedTuple

import torch
from torch import Tensor

from crystal_data.graphs.spec import GraphSpec

# Lengths are compared in steps of this, Å, so that equal ones keep their order.
_LENGTH_STEP = 1e-6


class Candidates(NamedTuple):
    """Edges by center, then length, then as they came."""

    center: Tensor  # int64 [num_candidates]
    place: Tensor  # int64 [num_candidates], which one in the order in which they came
    length: Tensor  # [num_candidates], Å


def tie_tolerance(spec: GraphSpec) -> float:
    """Lengths closer than this belong to one shell, Å."""
    return max(spec.tie_tolerance, _LENGTH_STEP)


def by_length(center: Tensor, length: Tensor) -> Candidates:
    """Puts edges in order.

    Args:
        center: Of each edge; those of one center by neighbor and image; int64 ``[num_edges]``.
        length: Shape ``[num_edges]``, Å.
    """
    # One whole number holds center and length, so that one sort of numbers does.
    keys = (length * (1 / _LENGTH_STEP)).round_().long()
    step_bits = int(keys.max()).bit_length() if len(keys) else 0
    keys |= center << step_bits
    keys, place = keys.sort(stable=True)
    return Candidates(keys >> step_bits, place, length.index_select(0, place))


def nearest(candidates: Candidates, max_neighbors: int, spec: GraphSpec) -> Candidates:
    """Keeps the nearest of each center.

    Args:
        candidates: All within a radius that holds ``max_neighbors`` of each center and all that
            are as far as the last of these; of centers that have fewer, all are kept.
        max_neighbors: How many.
        spec: What becomes of a shell that this number cuts.
    """
    center, place, length = candidates
    if len(center) == 0:
        return candidates
    tolerance = tie_tolerance(spec)
    row = center - center[0]
    count = torch.bincount(row)
    start = count.cumsum(0) - count
    last = torch.full_like(count, torch.inf, dtype=length.dtype)
    is_full = count >= max_neighbors
    last[is_full] = length[start[is_full] + (max_neighbors - 1)]
    is_kept = length <= (last + tolerance).index_select(0, row)
    if spec.ties == "cut":  # of the last shell the first ones by neighbor and image
        is_closer = length < (last - tolerance).index_select(0, row)
        tied = (is_kept & ~is_closer).nonzero()[:, 0]
        room = max_neighbors - torch.bincount(row[is_closer], minlength=len(count))
        is_kept[tied] = _rank_by_place(row[tied], place[tied], len(length)) < room[row[tied]]
    return Candidates(center[is_kept], place[is_kept], length[is_kept])


def _rank_by_place(row: Tensor, place: Tensor, num_places: int) -> Tensor:
    """How many of the same row have a lower place."""
    order = ((row << num_places.bit_length()) | place).argsort()
    count = torch.bincount(row)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    return rank - (count.cumsum(0) - count)[row]
