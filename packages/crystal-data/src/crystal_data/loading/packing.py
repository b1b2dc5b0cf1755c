"""Cuts an order of rows into batches, by their number or by what they hold together.

A plan is one array of cuts: rank r of w takes ``order[cuts[g * w + r] : cuts[g * w + r + 1]]`` in
step g, which is empty where a step has fewer rows than there are ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A limit on what one rank's batch may hold together.

    Args:
        name: ``"max_atoms"`` or ``"max_edges"``, for messages.
        limit: Largest sum in a batch of one rank.
        sizes: What each row counts; int64 ``[rows]``.
    """

    name: str
    limit: int
    sizes: NDArray[np.int64]


def cut_by_count(
    num_rows: int, batch_size: int, world_size: int, *, join_tail: bool
) -> NDArray[np.int64]:
    """Steps of ``batch_size`` rows, each divided evenly among the ranks.

    Args:
        num_rows: Rows of the order.
        batch_size: Rows of a step; the last one may have fewer.
        world_size: Number of ranks.
        join_tail: Join a last step with fewer rows than ranks to the one before.

    Returns:
        Cuts of the order; shape ``[num_steps * world_size + 1]``.
    """
    edges = np.append(np.arange(0, num_rows, batch_size), num_rows)
    if join_tail and len(edges) > 2 and edges[-1] - edges[-2] < world_size:
        edges = np.delete(edges, -2)
    each, extra = np.divmod(np.diff(edges)[:, None], world_size)
    rank = np.arange(world_size)
    cuts = edges[:-1, None] + rank * each + np.minimum(rank, extra)
    return np.append(cuts.ravel(), num_rows)


def cut_by_bounds(
    order: NDArray[np.int64], bounds: Sequence[Bound], max_rows: int | None = None
) -> NDArray[np.int64]:
    """Batches filled in order, each as far as the bounds allow.

    Args:
        order: Positions in the bounds' ``sizes``.
        bounds: No row alone may be beyond one.
        max_rows: A further limit on the rows of a batch.

    Returns:
        Cuts of the order; shape ``[num_batches + 1]``.
    """
    sums = [np.append(0, np.cumsum(bound.sizes[order])) for bound in bounds]
    cuts = [0]
    while cuts[-1] < len(order):
        start = cuts[-1]
        ends = [
            int(np.searchsorted(total, total[start] + bound.limit, side="right")) - 1
            for total, bound in zip(sums, bounds, strict=True)
        ]
        if max_rows is not None:
            ends.append(start + max_rows)
        cuts.append(min(*ends, len(order)))
    return np.array(cuts, dtype=np.int64)


def spread(cuts: NDArray[np.int64], num_batches: int) -> NDArray[np.int64]:
    """The same order in exactly so many batches: the longest are halved, then empty ones follow.

    Args:
        cuts: At most ``num_batches`` batches.
        num_batches: How many there must be.

    Returns:
        Cuts; shape ``[num_batches + 1]``.
    """
    while len(cuts) <= num_batches:
        lengths = np.diff(cuts)
        longest = int(lengths.argmax())
        if lengths[longest] < 2:
            break
        cuts = np.insert(cuts, longest + 1, cuts[longest] + lengths[longest] // 2)
    return np.append(cuts, np.full(num_batches + 1 - len(cuts), cuts[-1]))
