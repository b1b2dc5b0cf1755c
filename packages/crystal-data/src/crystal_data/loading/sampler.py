"""Which rows make which batch: the same plan on every rank, each takes its share of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from crystal_data.errors import InvalidArgumentError
from crystal_data.loading.groups import equal_shares
from crystal_data.loading.packing import Bound, cut_by_bounds, cut_by_count, spread

# Room for the orders of other epochs, which must fit into as many batches as the first one.
_SPARE_BATCHES = 0.01
_PACKING_ATTEMPTS = 20
# Rows of so many steps are sorted by size together, when batches of like sizes are asked for.
_STEPS_PER_POOL = 50


@dataclass(frozen=True, slots=True, eq=False)
class BatchRequest:
    """One rank's batch of one step, as it travels to a loader worker.

    Args:
        rows: Rows of the store; int64.
        epoch: For random draws of the transforms.
        is_filler: The rows are another rank's too and only keep this one in step; whoever cuts
            the batch removes their labels, so that no loss or metric counts them twice.
    """

    rows: NDArray[np.int64]
    epoch: int
    is_filler: bool = False


class CrystalSampler(Sampler[BatchRequest]):
    """Yields the batches of one rank: equally many on every rank and in every epoch.

    With ``batch_size``, step g of an epoch is the g-th run of ``batch_size`` rows of one global
    order, and rank r takes the r-th part of it, so that the steps are the same for any number of
    ranks. With bounds, the batch of every rank is filled in that order as far as they allow, and
    step g holds the batches g · world_size to (g + 1) · world_size − 1.

    In training the order is drawn from (seed, epoch), and each row comes once per epoch. With
    ``groups`` an epoch has as many rows, but equally many of each group: those of small groups come
    several times, those of large ones take turns over the epochs. In evaluation rows come in order,
    each exactly once over all ranks. Where the last step has fewer rows than there are ranks,
    training gives the other ranks fillers, so that steps stay as they are with one rank; evaluation
    joins it to the step before and needs fillers only if there is none, or if a bound forbids it.

    Args:
        rows: Rows of the store.
        batch_size: Rows of a step over all ranks; None if bounds alone decide.
        bounds: Limits on a rank's batch.
        is_training: Shuffle.
        seed: Of the orders.
        rank: This process.
        world_size: Number of processes.
        bucket_sizes: Size of each row; in training, rows of like sizes then share a batch, so that
            little padding is needed.
        groups: Group of each row, for equal shares in training; int64 ``[rows]``.

    Raises:
        InvalidArgumentError: If there are no rows, no limit, fewer rows in a step than ranks, or a
            row alone is beyond a bound.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        *,
        batch_size: int | None = None,
        bounds: tuple[Bound, ...] = (),
        is_training: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        bucket_sizes: NDArray[np.int64] | None = None,
        groups: NDArray[np.int64] | None = None,
    ) -> None:
        self._rows = np.asarray(rows, dtype=np.int64)
        self._batch_size = batch_size
        self._bounds = bounds
        self._is_training = is_training
        self._seed = seed
        self._rank = rank
        self._world_size = world_size
        self._bucket_sizes = bucket_sizes if is_training else None
        self._groups = groups if is_training else None
        self._epoch = 0
        self._check()
        self._first_order = self._order(epoch=0)
        self._first_cuts = self._cuts(self._first_order)
        self._num_steps = self._count_steps()

    def _check(self) -> None:
        if len(self._rows) == 0:
            raise InvalidArgumentError("there are no rows to make batches of")
        if self._batch_size is None and not self._bounds:
            raise InvalidArgumentError("give batch_size, max_atoms or max_edges")
        if self._batch_size is not None and self._batch_size < self._world_size:
            raise InvalidArgumentError(
                f"batch_size counts the rows of all ranks together: {self._batch_size} is less "
                f"than one for each of {self._world_size} ranks"
            )
        for bound in self._bounds:
            worst = int(np.argmax(bound.sizes))
            if bound.sizes[worst] > bound.limit:
                raise InvalidArgumentError(
                    f"row {self._rows[worst]} of the store alone counts {bound.sizes[worst]}, more "
                    f"than {bound.name}={bound.limit}",
                    f"raise {bound.name} to at least that",
                )

    def __len__(self) -> int:
        return self._num_steps

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the coming iteration; Lightning calls this.

        Evaluations are all alike, with the random draws of the first one.
        """
        self._epoch = epoch if self._is_training else 0

    def __iter__(self) -> Iterator[BatchRequest]:
        epoch = self._epoch
        order, cuts = self._plan(epoch)
        steps = np.arange(self._num_steps)
        if self._bucket_sizes is not None:
            # Sorted pools would otherwise lead from small crystals to large ones.
            self._rng(epoch, _PACKING_ATTEMPTS).shuffle(steps)
        for first in steps * self._world_size:
            start, end = cuts[first + self._rank : first + self._rank + 2]
            if start < end:
                yield BatchRequest(self._rows[order[start:end]], epoch)
            else:
                borrowed = order[cuts[first] : cuts[first] + 1]
                yield BatchRequest(self._rows[borrowed], epoch, is_filler=True)

    def _plan(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Order of the rows, and the cuts that give every rank its part of every step."""
        num_parts = self._num_steps * self._world_size
        if self._is_training:
            for attempt in range(_PACKING_ATTEMPTS):
                order = self._order(epoch, attempt)
                cuts = self._cuts(order)
                if len(cuts) <= num_parts + 1:
                    return order, spread(cuts, num_parts)
        # Evaluation has one order; and the first order of training always fits. With groups the
        # rows of an epoch differ in size, so that it may rarely have to stand in.
        return self._first_order, spread(self._first_cuts, num_parts)

    def _order(self, epoch: int, attempt: int = 0) -> NDArray[np.int64]:
        num_rows = len(self._rows)
        if not self._is_training:
            return np.arange(num_rows)
        order = self._rng(epoch, attempt).permutation(num_rows)
        if self._groups is not None:
            order = equal_shares(self._groups, num_rows, self._seed, epoch)[order]
        if self._bucket_sizes is None:
            return order
        pool = np.arange(num_rows) // (_STEPS_PER_POOL * self._rows_per_step())
        return order[np.lexsort((self._bucket_sizes[order], pool))]

    def _rng(self, epoch: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, epoch, stream])

    def _rows_per_step(self) -> int:
        limits = [int(bound.limit / max(bound.sizes.mean(), 1.0)) for bound in self._bounds]
        per_rank = max(min(limits), 1) if limits else 0
        return self._batch_size or per_rank * self._world_size

    def _cuts(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._bounds:
            rows = None if self._batch_size is None else self._batch_size // self._world_size
            return cut_by_bounds(order, self._bounds, rows)
        if self._batch_size is None:
            raise RuntimeError("without bounds there is a batch size")
        join_tail = not self._is_training
        return cut_by_count(len(order), self._batch_size, self._world_size, join_tail=join_tail)

    def _count_steps(self) -> int:
        num_batches, world_size = len(self._first_cuts) - 1, self._world_size
        needed = -(-num_batches // world_size)
        if not (self._bounds and self._is_training):
            return needed
        roomy = -(-int(np.ceil(num_batches * (1 + _SPARE_BATCHES))) // world_size)
        # More steps than this would leave some without any row.
        return max(needed, min(roomy, len(self._rows) // world_size))
