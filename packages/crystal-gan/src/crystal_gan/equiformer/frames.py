"""Frames in which an edge is the polar axis, and how coefficients turn into them."""

import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_gan.equiformer.coefficients import Coefficients


class EdgeFrames(nn.Module):
    """Wigner matrices of rotations that take the direction of each edge to the polar axis y.

    A matrix of degree l is a polynomial in the rotation matrix: the part of degree l in the product
    of those of degree l - 1 and 1, which Clebsch–Gordan coefficients pick out. So there are no
    angles, which have no values along the polar axis, and gradients are finite everywhere. The
    angle about the edge is arbitrary; what is computed in a frame must not depend on it.

    Args:
        coefficients: Which there are at atoms and along edges.
    """

    def __init__(self, coefficients: Coefficients) -> None:
        super().__init__()
        self._coefficients = coefficients
        for degree in range(2, coefficients.num_degrees):
            coupling = _coupling(degree).to(torch.get_default_dtype())
            self.register_buffer(f"coupling_{degree}", coupling, persistent=False)
        by_degree: list[list[int]] = [[] for _ in range(coefficients.num_degrees)]
        for place, (degree, _) in enumerate(coefficients.along_edges):
            by_degree[degree].append(place)
        self._places = by_degree

    @override
    def forward(self, direction: Tensor) -> Tensor:
        """Matrices from coefficients at atoms to those along edges; the transpose turns back.

        Args:
            direction: Unit vectors ``[num_edges, 3]``; zero vectors give finite nonsense.

        Returns:
            Shape ``[num_edges, num_along_edges, num_at_atoms]``.
        """
        kept = self._coefficients.along_edges
        shape = (len(direction), len(kept), self._coefficients.num_at_atoms)
        matrices = direction.new_zeros(shape)
        matrices[:, 0, 0] = 1.0
        block = turn = rotation_to_y(direction)
        for degree in range(1, self._coefficients.num_degrees):
            if degree > 1:
                block = self._next(degree, block, turn)
            orders = [degree + kept[place][1] for place in self._places[degree]]
            columns = slice(degree**2, (degree + 1) ** 2)
            matrices[:, self._places[degree], columns] = block[:, orders]
        return matrices

    def _next(self, degree: int, lower: Tensor, turn: Tensor) -> Tensor:
        coupling: Tensor = self.get_buffer(f"coupling_{degree}")
        left = torch.einsum("kij,eil->ekjl", coupling, lower)
        both = torch.einsum("ekjl,ejm->eklm", left, turn)
        return both.flatten(2) @ coupling.flatten(1).T


def rotation_to_y(direction: Tensor) -> Tensor:
    """A rotation that takes each direction to the axis y.

    The smallest one; where that is nearly a half turn, and so hardly determined, a half turn about
    x comes first.

    Args:
        direction: Unit vectors; shape ``[num_edges, 3]``.

    Returns:
        Matrices for column vectors; shape ``[num_edges, 3, 3]``.
    """
    x, y, z = direction.unbind(1)
    flip = torch.where(y < 0, -1.0, 1.0).to(direction)
    y, z = y * flip, z * flip
    weight = 1.0 / (1.0 + y)
    rows = [
        [1.0 - x * x * weight, -x * flip, -x * z * weight * flip],
        [x, y * flip, z * flip],
        [-x * z * weight, -z * flip, (1.0 - z * z * weight) * flip],
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _coupling(degree: int) -> Tensor:
    """Orthonormal map from the product of degrees l - 1 and 1 to l; ``[2l + 1, 2l - 1, 3]``."""
    from e3nn.o3 import wigner_3j

    symbols: Tensor = wigner_3j(degree - 1, 1, degree, dtype=torch.float64)
    return symbols.permute(2, 0, 1).contiguous() * (2 * degree + 1) ** 0.5
