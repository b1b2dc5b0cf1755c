"""Stops the construction of a model that is far larger than the weights it is meant for."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from crystal_data.artifacts.registry import ArtifactError

# Room for what a model holds and does not save, such as the centres of a basis.
_SPARE_NUMBERS, _SPARE_MODULES, _SPARE_COUNT = 10_000_000, 1_000, 10_000


@contextmanager
def limited_by(weights: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> Iterator[None]:
    """Within the block, this thread builds no module that is far larger than the weights.

    A parameter is counted when its module takes it, before it is filled, so that a size of
    terabytes costs no memory.

    Args:
        weights: What will be loaded.
        arguments: What the model is built from; plain JSON.

    Raises:
        ArtifactError: If an argument, the numbers in all weights or the modules are too many.
    """
    longest = max((max(tensor.shape, default=1) for tensor in weights.values()), default=1)
    for name, number in _integers(arguments):
        if abs(number) > max(_SPARE_COUNT, 4 * longest):
            raise ArtifactError(
                f"argument '{name}' is {number!s:.20}, and no side of a weight is longer than "
                f"{longest}"
            )
    room = {
        "numbers": _SPARE_NUMBERS + 4 * sum(tensor.numel() for tensor in weights.values()),
        "modules": _SPARE_MODULES + 100 * len(weights),
    }
    thread = threading.get_ident()

    def take(what: str, amount: int) -> None:
        if threading.get_ident() != thread:
            return
        room[what] -= amount
        if room[what] < 0:
            raise ArtifactError(f"its arguments ask for many more {what} than the weights have")

    def count_tensor(_module: nn.Module, _name: str, tensor: Tensor | None) -> None:
        take("numbers", 0 if tensor is None else tensor.numel())

    def count_module(_module: nn.Module, _name: str, _part: nn.Module | None) -> None:
        take("modules", 1)

    hooks = [
        register_module_parameter_registration_hook(count_tensor),
        register_module_buffer_registration_hook(count_tensor),
        register_module_module_registration_hook(count_module),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _integers(arguments: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Each integer in plain JSON, with the name of the argument that it is in."""
    left: list[tuple[str, Any]] = list(arguments.items())
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            left += [(name, part) for part in value.values()]
        elif isinstance(value, list):
            left += [(name, part) for part in value]
        elif isinstance(value, int):
            yield name, value
