"""Linear maps of channels that keep equivariance."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_gan.equiformer.coefficients import Coefficients


class DegreeLinear(nn.Module):
    """Mixes the channels of each degree by a matrix of its own; a bias for degree 0.

    Args:
        coefficients: Which there are at atoms.
        in_channels: Channels given.
        out_channels: Channels wanted.
    """

    def __init__(self, coefficients: Coefficients, in_channels: int, out_channels: int) -> None:
        super().__init__()
        bound = in_channels**-0.5
        shape = (coefficients.num_degrees, in_channels, out_channels)
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self._ends = [degree**2 for degree in range(coefficients.num_degrees + 1)]

    @override
    def forward(self, atoms: Tensor) -> Tensor:
        """Shape ``[num_atoms, num_at_atoms, in_channels]`` to ``[..., out_channels]``."""
        parts = [
            atoms[:, start:end] @ weight
            for weight, (start, end) in zip(self.weight, pairwise(self._ends), strict=True)
        ]
        parts[0] = parts[0] + self.bias
        return torch.cat(parts, dim=1)


class OrderLinear(nn.Module):
    """Mixes degrees and channels of each order, in frames along edges: a convolution under SO(2).

    Rotations about the edge mix the orders m and -m. A map that treats both alike commutes with
    these, and with mirrors that hold the edge, since coefficients turn as true tensors. One that
    also mixes them (``handed``) commutes with rotations alone.

    Args:
        coefficients: Which there are along edges.
        in_channels: Channels given.
        out_channels: Channels wanted.
        num_scalars: Numbers wanted besides, which do not depend on the frame.
        handed: As published for EquiformerV2.

    Source:
        eSCN, arXiv 2302.03655, equation 6.
    """

    def __init__(
        self,
        coefficients: Coefficients,
        in_channels: int,
        out_channels: int,
        *,
        num_scalars: int = 0,
        handed: bool = False,
    ) -> None:
        super().__init__()
        self._coefficients = coefficients
        self._handed = handed
        self._num_scalars = num_scalars
        self._out_channels = out_channels
        counts = [coefficients.degrees_from(m) for m in range(coefficients.max_order + 1)]
        wanted = counts[0] * out_channels + num_scalars
        self.level = nn.Linear(counts[0] * in_channels, wanted)
        self.turning = nn.ModuleList(
            _turning(count * in_channels, count * out_channels, handed) for count in counts[1:]
        )

    @override
    def forward(self, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients and numbers of each edge.

        Args:
            edges: Shape ``[num_edges, num_along_edges, in_channels]``.

        Returns:
            Shapes ``[num_edges, num_along_edges, out_channels]`` and ``[num_edges, num_scalars]``.
        """
        num_edges, width = len(edges), self._out_channels
        start = self._coefficients.num_degrees
        level = self.level(edges[:, :start].flatten(1))
        level, scalars = level.split([level.shape[1] - self._num_scalars, self._num_scalars], dim=1)
        parts = [level.reshape(num_edges, start, width)]
        for order, layer in enumerate(self.turning, start=1):
            count = self._coefficients.degrees_from(order)
            pair = edges[:, start : start + 2 * count]
            pair = pair.reshape(num_edges, 2, count * edges.shape[2])
            mixed = layer(pair)
            if self._handed:
                straight, crossed = mixed.chunk(2, dim=2)
                sign = mixed.new_tensor([-1.0, 1.0])[:, None]
                mixed = straight + sign * crossed.flip(1)
            parts.append(mixed.reshape(num_edges, 2 * count, width))
            start += 2 * count
        return torch.cat(parts, dim=1), scalars


def _turning(in_features: int, out_features: int, handed: bool) -> nn.Linear:
    if not handed:
        return nn.Linear(in_features, out_features, bias=False)
    layer = nn.Linear(in_features, 2 * out_features, bias=False)
    bound = (2 * in_features) ** -0.5  # two terms are added
    nn.init.uniform_(layer.weight, -bound, bound)
    return layer
