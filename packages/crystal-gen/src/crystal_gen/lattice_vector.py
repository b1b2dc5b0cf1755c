"""A cell as a vector: the logarithm of its stretch, which no rotation changes.

With the rows of L as lattice vectors, S = (L Lᵀ)^½ is symmetric and positive; log S = Σ kᵢ Bᵢ over
six orthonormal matrices Bᵢ. Any k is a cell, k₆ is its volume, and the constraint of a crystal
family is that some kᵢ are fixed.

Source:
    DiffCSP++, arXiv 2402.03992, section 4.2; bases of unit Frobenius norm, as its code has them.
"""

from functools import lru_cache
from math import log, sqrt

import torch
from torch import Tensor

from crystal_data.errors import InvalidArgumentError
from crystal_data.symmetry import crystal_system

_FREE = {
    "triclinic": (0, 1, 2, 3, 4, 5),
    "monoclinic": (1, 3, 4, 5),
    "orthorhombic": (3, 4, 5),
    "tetragonal": (4, 5),
    "trigonal": (4, 5),
    "hexagonal": (4, 5),
    "cubic": (5,),
}
# γ = 120° of hexagonal axes.
_HEXAGONAL_K1 = -log(3.0) / 4.0 * sqrt(2.0)
NUM_GROUPS = 230


@lru_cache(maxsize=1)
def bases() -> Tensor:
    """B₁ to B₆; float64 ``[6, 3, 3]``."""
    found = torch.zeros(6, 3, 3, dtype=torch.float64)
    for place, (row, column) in enumerate(((0, 1), (0, 2), (1, 2))):
        found[place, row, column] = found[place, column, row] = 1.0
    found[3] = torch.diag(torch.tensor([1.0, -1.0, 0.0]))
    found[4] = torch.diag(torch.tensor([1.0, 1.0, -2.0]))
    found[5] = torch.eye(3)
    return found / torch.linalg.matrix_norm(found)[:, None, None]


@lru_cache(maxsize=1)
def family_constraints() -> tuple[Tensor, Tensor]:
    """Which components each space group leaves free, and the values of the others.

    Returns:
        Bool ``[231, 6]`` and float64 ``[231, 6]``; row 0 is free.
    """
    free = torch.zeros(NUM_GROUPS + 1, 6, dtype=torch.bool)
    fixed = torch.zeros(NUM_GROUPS + 1, 6, dtype=torch.float64)
    free[0] = True
    for number in range(1, NUM_GROUPS + 1):
        system = crystal_system(number)
        free[number, list(_FREE[system])] = True
        if system in ("trigonal", "hexagonal"):
            fixed[number, 0] = _HEXAGONAL_K1
    return free, fixed


def lattice_of_vector(vector: Tensor) -> Tensor:
    """The cell S of a vector: symmetric, of the right metric in an orientation of its own.

    Args:
        vector: k; ``[..., 6]``.

    Returns:
        Rows a, b, c; ``[..., 3, 3]``, Å.
    """
    return torch.linalg.matrix_exp(torch.einsum("...k,kij->...ij", vector, bases().to(vector)))


def vector_of_lattice(lattice: Tensor) -> Tensor:
    """The vector k of a cell.

    Args:
        lattice: Rows a, b, c; ``[..., 3, 3]``, Å.

    Returns:
        ``[..., 6]``.

    Raises:
        InvalidArgumentError: If a cell has no volume.
    """
    values, axes = torch.linalg.eigh(lattice @ lattice.mT)
    if bool((values <= 0).any()):
        raise InvalidArgumentError("a cell whose axes lie in one plane has no logarithm")
    logarithm = (axes * (0.5 * values.log())[..., None, :]) @ axes.mT
    return torch.einsum("...ij,kij->...k", logarithm, bases().to(logarithm))


def lattice_of_parameters(parameters: Tensor) -> Tensor:
    """Rows a, b, c with a along x and b in the xy plane.

    Args:
        parameters: a, b, c (Å), α, β, γ (degrees); ``[..., 6]``.

    Returns:
        ``[..., 3, 3]``, Å.
    """
    a, b, c = parameters[..., :3].unbind(-1)
    cos_a, cos_b, cos_c = torch.deg2rad(parameters[..., 3:]).cos().unbind(-1)
    sin_c = (1.0 - cos_c**2).sqrt()
    y = (cos_a - cos_b * cos_c) / sin_c
    z = (1.0 - cos_b**2 - y**2).clamp(min=0.0).sqrt()
    zero = torch.zeros_like(a)
    rows = (a, zero, zero, b * cos_c, b * sin_c, zero, c * cos_b, c * y, c * z)
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def parameters_of_lattice(lattice: Tensor) -> Tensor:
    """a, b, c (Å), α, β, γ (degrees) of rows a, b, c; ``[..., 6]``."""
    lengths = torch.linalg.vector_norm(lattice, dim=-1)
    unit = lattice / lengths[..., None]
    cosines = torch.stack(
        [(unit[..., i, :] * unit[..., j, :]).sum(-1) for i, j in ((1, 2), (0, 2), (0, 1))], -1
    )
    return torch.cat([lengths, torch.rad2deg(cosines.clamp(-1.0, 1.0).acos())], -1)
