"""Softplus and the gate of graph convolutions, in few passes over memory."""

from typing import Any

import torch
from torch import Tensor


def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))`` for any size of ``x``, with an absolute error of some 1e-7.

    torch's own evaluates ``log1p``, which is not vectorised on CPUs and takes ten times as long;
    it is the largest share of a CGCNN training step (``benchmarks/cgcnn.py``).
    """
    return _Softplus.apply(x)


def gate(features: Tensor) -> Tensor:
    """``sigmoid(filter) * softplus(core)`` of the two halves of the last dimension.

    Args:
        features: Filter, then core; shape ``[..., 2 * width]``.

    Returns:
        Shape ``[..., width]``.
    """
    return _Gate.apply(features)


def _softplus(x: Tensor) -> Tensor:
    # softplus(x) = max(x, 0) - log(sigmoid(|x|)), whose logarithm lies in [log ½, 0].
    return torch.sigmoid(x.abs()).log_().neg_().add_(x.clamp(min=0))


class _Softplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _softplus(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * torch.sigmoid(x)


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        opening, core = features.chunk(2, dim=-1)
        return torch.sigmoid(opening).mul_(_softplus(core))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (features,) = ctx.saved_tensors
        opening, core = features.chunk(2, dim=-1)
        opened = torch.sigmoid(opening)
        passed = gradients[0] * opened
        to_opening = passed * (1.0 - opened) * softplus(core)
        return torch.cat([to_opening, passed * torch.sigmoid(core)], dim=-1)
