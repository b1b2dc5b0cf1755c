"""Training with torch.compile."""

import sys
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from typing_extensions import override

from crystal_data.training.crystal_module import crystal_module


class Compile(Callback):
    """Trains with ``torch.compile``: the same model, fewer passes over memory.

    The module's ``model`` is compiled in place and for any batch shape, so that names in
    checkpoints stay as they are and each batch need not be compiled anew. It takes up to a minute
    when training starts, and less the next time, since torch keeps what it compiled.

    Validation runs as written, so that its numbers are those that ``test`` finds later; so does
    everything after the training. Where nothing can be compiled, mostly for want of a C++
    compiler, training says so and goes on without: results are the same but for rounding, and one
    config serves all machines.
    """

    def __init__(self) -> None:
        self._model: nn.Module | None = None
        self._compiled: Callable[..., Any] | None = None

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = crystal_module(pl_module).model
        reason = why_not(pl_module.device)
        if reason is None:
            model.compile(dynamic=True)
            self._model, self._compiled = model, model._compiled_call_impl
        elif trainer.is_global_zero:
            print(
                f"training runs without torch.compile, which does not work here: {reason}; install "
                "a C++ compiler such as g++ and Python's headers, or name a compiler in CXX",
                file=sys.stderr,
            )

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._call(None)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._call(self._compiled)

    @override
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._call(None)
        self._model = self._compiled = None

    def _call(self, function: Callable[..., Any] | None) -> None:
        if self._model is not None:
            self._model._compiled_call_impl = function


def why_not(device: torch.device) -> str | None:
    """Tries to compile something small; the first line of the error if that fails."""
    try:
        torch.compile(_next)(torch.zeros(2, device=device))
    # What is raised depends on what is missing: a compiler, headers, Triton, a new enough Python.
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


def _next(values: Tensor) -> Tensor:
    return values + 1
