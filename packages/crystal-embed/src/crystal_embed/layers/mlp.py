"""Dense layers one after the other."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from typing_extensions import override

from crystal_embed.layers.activation import softplus2


class MLP(nn.Module):
    """Linear layers, each with ``softplus2`` behind it.

    Args:
        widths: Of the input and of each layer's output.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[..., widths[0]]`` to ``[..., widths[-1]]``."""
        for layer in self.layers:
            x = softplus2(layer(x))
        return x
