"""What processes do together: sums, batch statistics, telling the user of a mistake."""

import atexit
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

_COUNTS: ContextVar[bool] = ContextVar("counts", default=True)


# Under this key of the processes' common store lies whether the user has been told of a mistake.
_TOLD = "crystal/told"
_PATIENCE = timedelta(seconds=3)
_LINGER = 1.5  # seconds
_LOST = ("closed by peer", "reset by peer", "Broken pipe", "remote worker", "failed to connect")


def world_size() -> int:
    """Number of processes that train together, 1 outside of data parallel."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum over processes, as a constant: no gradient flows through it."""
    values = values.detach().clone()
    if world_size() > 1:
        dist.all_reduce(values)
    return values


def all_reduce_sum_with_gradient(values: Tensor) -> Tensor:
    """The sum over processes; every process receives the gradient of all their losses."""
    return _AllReduceSum.apply(values) if world_size() > 1 else values


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004 - torch's signature
        return all_reduce_sum(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        return all_reduce_sum(gradients[0])


def has_lost_another(error: BaseException) -> bool:
    """Whether an error only says that another process is gone, not why."""
    if not (dist.is_available() and isinstance(error, RuntimeError)) or world_size() == 1:
        return False
    return isinstance(error, dist.DistError) or any(words in str(error) for words in _LOST)


def is_the_one_to_speak(*, knows_why: bool) -> bool:
    """Whether this process tells the user why the run ends, so that exactly one does.

    All of them may make the same mistake, or one makes it and the others lose the connection to
    it. The first process goes ahead; others wait a little for it. If it has only lost a connection
    it waits for the process that knows why.

    Args:
        knows_why: False for a process that has only lost the connection to another.
    """
    if world_size() == 1:
        # Not met yet: started side by side on the same input, by something that says so.
        side_by_side = "TORCHELASTIC_RUN_ID" in os.environ or "SLURM_NTASKS" in os.environ
        place = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))
        return place == "0" or not side_by_side
    first = dist.get_rank() == 0
    if not first and not knows_why:
        return False
    store = dist.distributed_c10d._get_default_store()
    if not (first and knows_why) and _somebody_told(store):
        return False
    if store.add(_TOLD, 1) > 1:
        return False
    if first:
        # The store ends with this process; another that makes the same mistake may still ask.
        atexit.register(time.sleep, _LINGER)
    return True


def _somebody_told(store: Any) -> bool:
    try:
        store.wait([_TOLD], _PATIENCE)
    except dist.DistStoreError:
        return False
    except dist.DistNetworkError:
        pass  # the first process has ended, and said why
    return True


def global_mean(total: Tensor, count: Tensor) -> Tensor:
    """Mean over the labels of all processes, so that data parallel equals one process.

    Data parallel averages gradients over processes. The local total is therefore divided by the
    global count and multiplied by the number of processes; the average of that is the mean.

    Args:
        total: Sum over this process's labels; any shape.
        count: Number (or weight) of this process's labels; the same shape.

    Returns:
        The term that this process contributes; zero where no process has a label.
    """
    return total * world_size() / all_reduce_sum(count).clamp(min=torch.finfo(total.dtype).tiny)


@contextmanager
def without_statistics(is_filler: bool) -> Iterator[None]:
    """Keeps the rows of a filler out of what is averaged over all processes.

    A filler repeats a row of another process, only to keep this one in step. Without labels it
    counts in no loss; in here it counts in no :class:`GlobalBatchNorm1d` either. This process
    still takes part in every sum, so that none waits for it.
    """
    token = _COUNTS.set(not is_filler)
    try:
        yield
    finally:
        _COUNTS.reset(token)


class GlobalBatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation with the statistics of the batch of all processes.

    The same as ``nn.BatchNorm1d`` in one process, and equal to it in several, where torch's own
    ``SyncBatchNorm`` works only on GPUs. Rows may differ in number between processes; one may even
    have none, or a filler (:func:`without_statistics`). A single row has no variance: it is
    normalised by the running statistics, where torch raises. Input of shape
    ``[num_rows, num_features]``.
    """

    @override
    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        if world_size() == 1:
            return super().forward(input) if len(input) > 1 else self._by_past(input)
        share = float(_COUNTS.get())
        count = all_reduce_sum(torch.tensor(share * len(input), device=input.device))
        if count < 2:
            return self._by_past(input)
        mean = all_reduce_sum_with_gradient(share * input.sum(0)) / count
        centred = input - mean
        variance = all_reduce_sum_with_gradient(share * centred.square().sum(0)) / count
        if self.track_running_stats:
            self._update_running_statistics(mean, variance * count / (count - 1))
        output = centred * torch.rsqrt(variance + self.eps)
        return output * self.weight + self.bias if self.affine else output

    def _by_past(self, rows: Tensor) -> Tensor:
        return F.batch_norm(
            rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        # A momentum of None asks for the plain average over all batches.
        step = self.momentum
        if step is None:
            step = 1.0 / float(self.num_batches_tracked or 1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), step)
        self.running_var.lerp_(variance.to(self.running_var.dtype), step)
