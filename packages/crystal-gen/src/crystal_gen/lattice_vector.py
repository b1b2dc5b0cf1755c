"""A cell as six numbers that do not depend on its orientation.

With rows L = S Q, Q orthogonal, S = (L Lᵀ)^½ is all but the orientation, and log S has six
coordinates in a basis of symmetric matrices. S depends on the metric L Lᵀ alone, so lengths and
angles are enough: log S = ½ log(L Lᵀ).
"""

from dataclasses import dataclass
from functools import lru_cache
from math import log

import torch
from torch import Tensor

from crystal_data.errors import InvalidArgumentError
from crystal_data.symmetry import crystal_system

# Coordinates that a crystal family fixes, at 0 but for the first of the hexagonal family.
_FIXED = {
    "triclinic": (),
    "monoclinic": (0, 2),
    "orthorhombic": (0, 1, 2),
    "tetragonal": (0, 1, 2, 3),
    "trigonal": (0, 1, 2, 3),
    "hexagonal": (0, 1, 2, 3),
    "cubic": (0, 1, 2, 3, 4),
}
# γ of 120 degrees, whatever a and c are.
_HEXAGONAL = -log(3.0) / 4.0 * 2.0**0.5
_RIGHT_ANGLE, _HEXAGONAL_ANGLE = 90.0, 120.0
_FIRST_HEXAGONAL, _LAST_HEXAGONAL = 143, 194


@lru_cache(maxsize=1)
def lattice_basis() -> Tensor:
    """Orthonormal symmetric matrices: a–b, a–c, b–c, (1, −1, 0), (1, 1, −2), identity.

    Returns:
        Float64 ``[6, 3, 3]``, each of Frobenius norm 1.

    Source:
        Jiao et al., "Space group constrained crystal generation", ICLR 2024 (DiffCSP++), section
        4.1; the norm is that of its public code.
    """
    basis = torch.zeros(6, 3, 3, dtype=torch.float64)
    for place, (row, column) in enumerate([(0, 1), (0, 2), (1, 2)]):
        basis[place, row, column] = basis[place, column, row] = 1.0
    for place, diagonal in enumerate([(1, -1, 0), (1, 1, -2), (1, 1, 1)], start=3):
        basis[place] = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    return basis / basis.flatten(1).norm(dim=1)[:, None, None]


def metric_of(lattice_parameters: Tensor) -> Tensor:
    """Inner products of the lattice vectors.

    Args:
        lattice_parameters: a, b, c (Å), α, β, γ (degrees); ``[num_crystals, 6]``.

    Returns:
        L Lᵀ; float64 ``[num_crystals, 3, 3]``, Å².
    """
    values = lattice_parameters.double()
    lengths, cosines = values[:, :3], torch.cos(torch.deg2rad(values[:, 3:]))
    unit = torch.eye(3, dtype=torch.float64, device=values.device).repeat(len(values), 1, 1)
    for angle, (row, column) in enumerate([(1, 2), (0, 2), (0, 1)]):
        unit[:, row, column] = unit[:, column, row] = cosines[:, angle]
    return unit * lengths[:, :, None] * lengths[:, None, :]


def vector_of_metric(metric: Tensor) -> Tensor:
    """The six coordinates of ½ log of a metric.

    Args:
        metric: L Lᵀ; ``[num_crystals, 3, 3]``, Å².

    Returns:
        Float64 ``[num_crystals, 6]``.

    Raises:
        InvalidArgumentError: If a cell has no volume, as with angles that no cell has.
    """
    values, axes = torch.linalg.eigh(metric.double())
    flat = torch.nonzero(values[:, 0] <= 1e-12 * values[:, 2].clamp(min=1e-12))
    if len(flat):
        row = int(flat[0, 0])
        raise InvalidArgumentError(
            f"crystal {row} of the batch: lattice vectors with inner products "
            f"{metric[row].tolist()} span no volume",
            "check its lengths and angles",
        )
    logarithm = axes @ (0.5 * values.log())[:, :, None].mul(axes.mT)
    return torch.einsum("nij,kij->nk", logarithm, lattice_basis().to(metric.device))


def metric_of_vector(vector: Tensor) -> Tensor:
    """The metric with these coordinates, the inverse of :func:`vector_of_metric`.

    Args:
        vector: Shape ``[num_crystals, 6]``.

    Returns:
        L Lᵀ; float64 ``[num_crystals, 3, 3]``, Å².
    """
    doubled = 2.0 * torch.einsum("nk,kij->nij", vector.double(), lattice_basis().to(vector.device))
    return torch.linalg.matrix_exp(doubled)


def lattice_of_vector(vector: Tensor) -> Tensor:
    """The cell S with these coordinates: symmetric, in an orientation of its own.

    Args:
        vector: Shape ``[num_crystals, 6]``.

    Returns:
        Rows a, b, c, of the same dtype; ``[num_crystals, 3, 3]``, Å.
    """
    logarithm = torch.einsum("nk,kij->nij", vector, lattice_basis().to(vector))
    return torch.linalg.matrix_exp(logarithm)


def vector_of_lattice(lattice: Tensor) -> Tensor:
    """The six coordinates of a cell; any rotation of it has the same.

    Args:
        lattice: Rows a, b, c; ``[num_crystals, 3, 3]``, Å.

    Returns:
        Float64 ``[num_crystals, 6]``.

    Raises:
        InvalidArgumentError: If a cell is flat or left-handed: its mirror image has the same
            coordinates, and fractional coordinates would mean another crystal.
    """
    determinants = torch.linalg.det(lattice.double())
    wrong = torch.nonzero(determinants <= 0)
    if len(wrong):
        row = int(wrong[0, 0])
        raise InvalidArgumentError(
            f"crystal {row} of the batch: its lattice has the volume {determinants[row]:.3g} Å³",
            "give lattice vectors that span a volume, in right-handed order",
        )
    return vector_of_metric(lattice.double() @ lattice.double().mT)


def lattice_vector(lattice_parameters: Tensor) -> Tensor:
    """The six coordinates of cells given by lengths and angles.

    Args:
        lattice_parameters: a, b, c (Å), α, β, γ (degrees); ``[num_crystals, 6]``.

    Returns:
        The same dtype; ``[num_crystals, 6]``.

    Raises:
        InvalidArgumentError: If no cell has these lengths and angles.
    """
    return vector_of_metric(metric_of(lattice_parameters)).to(lattice_parameters.dtype)


def lattice_parameters(vector: Tensor, space_group_number: Tensor, free_lattice: Tensor) -> Tensor:
    """Lengths and angles of cells given by their six coordinates, as their groups want them.

    Args:
        vector: Obeys the constraints of the groups; ``[num_crystals, 6]``.
        space_group_number: int64 ``[num_crystals]``.
        free_lattice: True where the group leaves a length or an angle free; ``[num_crystals, 6]``.

    Returns:
        a, b, c (Å), α, β, γ (degrees); equal lengths and fixed angles are so to the last digit; the
        same dtype, ``[num_crystals, 6]``.
    """
    metric = metric_of_vector(vector)
    lengths = metric.diagonal(dim1=1, dim2=2).sqrt()
    cosines = metric / (lengths[:, :, None] * lengths[:, None, :])
    pairs = torch.stack([cosines[:, 1, 2], cosines[:, 0, 2], cosines[:, 0, 1]], dim=1)
    angles = torch.rad2deg(torch.acos(pairs.clamp(-1.0, 1.0)))
    fixed = torch.full_like(angles, _RIGHT_ANGLE)
    has_hexagonal_axes = (space_group_number >= _FIRST_HEXAGONAL) & (
        space_group_number <= _LAST_HEXAGONAL
    )
    fixed[has_hexagonal_axes, 2] = _HEXAGONAL_ANGLE
    lengths = torch.where(free_lattice[:, :3], lengths, lengths[:, :1])
    angles = torch.where(free_lattice[:, 3:], angles, fixed)
    return torch.cat([lengths, angles], dim=1).to(vector.dtype)


@dataclass(frozen=True, eq=False)
class FamilyConstraint:
    """What the crystal family of each of some crystals leaves free of its lattice vector."""

    is_free: Tensor  # bool [num_crystals, 6]
    bias: Tensor  # [num_crystals, 6], the value where it is fixed

    def apply(self, vector: Tensor) -> Tensor:
        """The lattice vector with what is fixed put in its place; ``[num_crystals, 6]``."""
        return torch.where(self.is_free, vector, self.bias)


@lru_cache(maxsize=1)
def family_constraints() -> tuple[Tensor, Tensor]:
    """What the crystal family of each space group leaves free of the lattice vector.

    Returns:
        By space group number, row 0 unused: ``is_free``, bool ``[231, 6]``, and ``bias``, float64
        ``[231, 6]``, as in :class:`FamilyConstraint`.

    Source:
        DiffCSP++, table 1.
    """
    is_free = torch.ones(231, 6, dtype=torch.bool)
    bias = torch.zeros(231, 6, dtype=torch.float64)
    for number in range(1, 231):
        system = crystal_system(number)
        is_free[number, list(_FIXED[system])] = False
        if system in ("trigonal", "hexagonal"):
            bias[number, 0] = _HEXAGONAL
    return is_free, bias
