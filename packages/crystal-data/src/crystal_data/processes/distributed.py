"""Sums over all processes, and batch statistics that do not depend on how many there are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

_COUNTS: ContextVar[bool] = ContextVar("counts", default=True)


def world_size() -> int:
    """Number of processes that train together, 1 outside of data parallel."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum over processes, as a constant: no gradient flows through it."""
    values = values.detach().clone()
    if world_size() > 1:
        dist.all_reduce(values)
    return values


def average_over_processes(values: Sequence[Tensor]) -> None:
    """Replaces each by its mean over processes; every process has the same shapes, in one order."""
    if world_size() == 1 or not values:
        return
    flat = torch.cat([one.reshape(-1) for one in values])
    dist.all_reduce(flat)
    flat /= world_size()
    for one, mean in zip(values, flat.split([one.numel() for one in values]), strict=True):
        one.copy_(mean.view_as(one))


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
    """Batch normalization with the statistics of the batch of all processes.

    The same as ``nn.BatchNorm1d`` in one process, and equal to it in several, where torch's own
    ``SyncBatchNorm`` works only on GPUs. Rows may differ in number between processes; one may even
    have none, or a filler (:func:`without_statistics`). A single row has no variance: it is
    normalized by the running statistics, where torch raises. Input of shape
    ``[num_rows, num_features]``. Where many rows are alike, one of each is enough, with
    ``counts`` ``[num_rows]`` of how many it stands for.
    """

    @override
    def forward(self, input: Tensor, counts: Tensor | None = None) -> Tensor:
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        if world_size() == 1 and counts is None:
            return super().forward(input) if len(input) > 1 else self._by_past(input)
        if counts is None:
            counts = torch.ones(len(input), device=input.device)
        counts = counts.to(torch.promote_types(input.dtype, torch.float32)) * float(_COUNTS.get())
        count = all_reduce_sum(counts.sum())
        affine_and_past = (self.weight, self.bias, self.running_mean, self.running_var)
        output, mean, variance = _Normalize.apply(input, counts, count, self.eps, *affine_and_past)
        if self.track_running_stats:
            unbiased = variance * torch.where(count < 2, 1.0, count / (count - 1))
            self._update_running_statistics(mean, unbiased)
        return output

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


class _Normalize(torch.autograd.Function):
    """Rows less their mean, by their standard deviation, both over all processes.

    By past statistics where there are fewer than two rows. No branch depends on a value, so that
    a GPU need not be waited for. Written out with its gradient, in which each value is read few
    times: memory takes the time.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        counts: Tensor,
        count: Tensor,
        eps: float,
        weight: Tensor | None,
        bias: Tensor | None,
        past_mean: Tensor | None,
        past_variance: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows_dtype, rows = rows.dtype, rows.to(counts.dtype)
        is_few, share = count < 2, counts / count.clamp(min=1)
        mean = all_reduce_sum(share @ rows)
        if past_mean is not None:
            mean = torch.where(is_few, past_mean, mean)
        normal = rows - mean
        variance = all_reduce_sum(share @ normal.square())
        if past_variance is not None:
            variance = torch.where(is_few, past_variance, variance)
        scale = torch.rsqrt(variance + eps)
        normal.mul_(scale)
        output = normal if weight is None or bias is None else torch.addcmul(bias, normal, weight)
        ctx.save_for_backward(normal, share.masked_fill(is_few, 0.0), scale, weight)
        ctx.rows_dtype = rows_dtype
        ctx.mark_non_differentiable(mean, variance)
        return output, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        normal, share, scale, weight = ctx.saved_tensors
        gradient = gradients[0]
        of_bias, of_weight = gradient.sum(0), torch.linalg.vecdot(gradient, normal, dim=0)
        # Through the mean and through the variance: every process has the gradient of all losses.
        through = torch.addcmul(all_reduce_sum(of_bias), normal, all_reduce_sum(of_weight))
        of_rows = torch.addcmul(gradient, through, share[:, None], value=-1.0)
        of_rows.mul_(scale if weight is None else scale * weight)
        of_affine = (None, None) if weight is None else (of_weight, of_bias)
        return of_rows.to(ctx.rows_dtype), None, None, None, *of_affine, None, None
