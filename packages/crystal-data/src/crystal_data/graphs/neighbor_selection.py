"""Orders edges by length and keeps the nearest, whole shells or a fixed number."""

from typing import NamedTuple

import torch
from torch import Tensor

from crystal_data.graphs.half_edges import HalfEdges
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


def by_length(half: HalfEdges) -> Candidates:
    """Edges in both directions, in order; ties by neighbor and image.

    They come as follows: first those to earlier atoms, from the last half edge on, then those to
    later atoms. So those of each center come by neighbor and image.
    """
    # One whole number holds center and length, so that one sort of numbers does.
    steps = (half.length * (1 / _LENGTH_STEP)).round_().long()
    step_bits = int(steps.max()).bit_length() if len(steps) else 0
    exchanged = torch.add(steps, half.neighbor, alpha=1 << step_bits).flip(0)
    keys = torch.cat((exchanged, steps.add_(half.center, alpha=1 << step_bits)))
    keys, place = _sorted(keys)
    row, _ = half_edge_of(place, half)
    return Candidates(keys >> step_bits, place, half.length.index_select(0, row))


def half_edge_of(place: Tensor, half: HalfEdges) -> tuple[Tensor, Tensor]:
    """Half edges of edges in both directions, and the signs of their shifts."""
    place = place - len(half.center)
    exchanged = place >> 63  # -1, else 0: several times faster than a condition
    return place ^ exchanged, exchanged | 1


def _sorted(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Keys in order, and the place of each; equal ones stay as they are."""
    place_bits = len(keys).bit_length()
    if keys.device.type != "cpu" or len(keys) == 0 or int(keys.max()) >> (63 - place_bits):
        return keys.sort(stable=True)
    # With the place in the number too, no two are equal, and NumPy's vectorized sort can be used.
    numbers = torch.arange(len(keys)).add_(keys, alpha=1 << place_bits)
    numbers.numpy().sort()
    return numbers >> place_bits, numbers & ((1 << place_bits) - 1)


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
