"""The cell of a space group by the lengths and angles that the group leaves free."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystal_data.crystal import lattice_from_parameters
from crystal_data.errors import InvalidArgumentError
from crystal_data.symmetry.wyckoff import crystal_system

_A, _B, _C, _ALPHA, _BETA, _GAMMA = range(6)
_FREE = {
    "triclinic": (_A, _B, _C, _ALPHA, _BETA, _GAMMA),
    "monoclinic": (_A, _B, _C, _BETA),
    "orthorhombic": (_A, _B, _C),
    "tetragonal": (_A, _C),
    "trigonal": (_A, _C),
    "hexagonal": (_A, _C),
    "cubic": (_A,),
}
_LIKE_A = {
    "tetragonal": (_B,),
    "trigonal": (_B,),
    "hexagonal": (_B,),
    "cubic": (_B, _C),
}


def free_lattice_parameters(space_group_number: int) -> tuple[int, ...]:
    """Which of a, b, c, α, β, γ (0 to 5) a group leaves free in its standard setting.

    The others are equal to a, or fixed at 90 or 120 degrees.

    Raises:
        InvalidArgumentError: If the number is not 1 to 230.
    """
    return _FREE[crystal_system(space_group_number)]


def all_lattice_parameters(space_group_number: int, free: ArrayLike) -> NDArray[np.float64]:
    """a, b, c (Å), α, β, γ (degrees) of the free ones.

    Args:
        space_group_number: 1 to 230.
        free: Values of ``free_lattice_parameters``, in that order.

    Returns:
        Shape ``[6]``.

    Raises:
        InvalidArgumentError: If there are too few or too many.
    """
    system = crystal_system(space_group_number)
    values = np.asarray(free, dtype=np.float64)
    if values.shape != (len(_FREE[system]),):
        raise InvalidArgumentError(
            f"space group {space_group_number} has {len(_FREE[system])} free lattice parameters; "
            f"the given array has shape {values.shape}"
        )
    parameters = np.full(6, 90.0)
    if system in ("trigonal", "hexagonal"):
        parameters[_GAMMA] = 120.0
    parameters[list(_FREE[system])] = values
    parameters[list(_LIKE_A.get(system, ()))] = parameters[_A]
    return parameters


def lattice_from_free_parameters(space_group_number: int, free: ArrayLike) -> NDArray[np.float64]:
    """The conventional cell with these free parameters.

    Args:
        space_group_number: 1 to 230.
        free: Values of ``free_lattice_parameters``, in that order; Å and degrees.

    Returns:
        Rows a, b, c, with a along x and b in the xy plane; ``[3, 3]``, Å.

    Raises:
        InvalidArgumentError: If there are too few or too many, or no cell has these angles.
    """
    parameters = all_lattice_parameters(space_group_number, free)
    return lattice_from_parameters(parameters[:3], parameters[3:])
