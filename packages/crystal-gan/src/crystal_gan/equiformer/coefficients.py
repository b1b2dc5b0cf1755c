"""Where the coefficients of spherical harmonics stand in a tensor, and their irreps."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crystal_data.errors import InvalidArgumentError

if TYPE_CHECKING:
    from e3nn.o3 import Irreps

_MAX_DEGREE = 8


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of all degrees l up to a greatest one.

    At atoms they stand by degree, and within it by order m from -l to l, as e3nn has them: y is the
    polar axis, degree 1 is (x, y, z), and a reflection through the origin gives (-1)^l. Along edges
    only orders up to ``max_order`` are kept. These stand by order 0, 1, -1, 2, -2 ..., and within
    it by degree, so that those that a rotation about the edge mixes are together.

    Args:
        max_degree: Greatest l.
        max_order: Greatest |m| along edges.

    Raises:
        InvalidArgumentError: If the order exceeds the degree, or the degree what is supported.
    """

    max_degree: int
    max_order: int

    def __post_init__(self) -> None:
        if not 1 <= self.max_degree <= _MAX_DEGREE:
            raise InvalidArgumentError(
                f"max_degree must be between 1 and {_MAX_DEGREE}, not {self.max_degree}"
            )
        if not 1 <= self.max_order <= self.max_degree:
            raise InvalidArgumentError(
                f"max_order must be between 1 and max_degree {self.max_degree}, not "
                f"{self.max_order}"
            )

    @property
    def num_degrees(self) -> int:
        """Degrees, 0 among them."""
        return self.max_degree + 1

    @property
    def num_at_atoms(self) -> int:
        """Coefficients of each channel at an atom."""
        return self.num_degrees**2

    @property
    def num_along_edges(self) -> int:
        """Coefficients of each channel along an edge."""
        return len(self.along_edges)

    @cached_property
    def along_edges(self) -> tuple[tuple[int, int], ...]:
        """Degree and order of each coefficient along an edge."""
        orders = [0, *(sign * m for m in range(1, self.max_order + 1) for sign in (1, -1))]
        return tuple((degree, m) for m in orders for degree in range(abs(m), self.num_degrees))

    def degrees_from(self, order: int) -> int:
        """How many degrees have coefficients of an order."""
        return self.num_degrees - order

    def degree_at_atoms(self) -> Tensor:
        """Degree of each coefficient at an atom; int64 ``[num_at_atoms]``."""
        counts = 2 * torch.arange(self.num_degrees) + 1
        return torch.arange(self.num_degrees).repeat_interleave(counts)

    def places_at_atoms(self) -> Tensor:
        """Place at an atom of each coefficient along an edge; int64 ``[num_along_edges]``."""
        return torch.tensor([degree**2 + degree + m for degree, m in self.along_edges])

    def irreps(self, num_channels: int) -> "Irreps":
        """The representation of O(3) that the coefficients of an atom are, in e3nn's words."""
        from e3nn.o3 import Irreps

        degrees = range(self.num_degrees)
        return Irreps([(num_channels, (degree, (-1) ** degree)) for degree in degrees])
