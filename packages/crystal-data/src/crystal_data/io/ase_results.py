"""What ASE's calculators give beside a structure, which means the same in every file."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.field import Field

#: Results of which a value for each atom may be one number.
ATOM_RESULTS = ("forces", "magmoms", "charges", "energies", "stresses")

_FIELDS = {
    "forces": Field("forces", "eV/Å", "atom", (3,), "vector"),
    "stress": Field("stress", "eV/Å³", "crystal", (3, 3), "symmetric_tensor"),
    "stresses": Field("stresses", "eV/Å³", "atom", (3, 3), "symmetric_tensor"),
    "dipole": Field("dipole", "e·Å", "crystal", (3,), "vector"),
}
_ROW_MAJOR = [0, 5, 4, 5, 1, 3, 4, 3, 2]  # places of xx, xy, xz, … in xx, yy, zz, yz, xz, xy


def row_major(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Stresses of six numbers, in Voigt's order, as nine; anything else as it is."""
    if name in ("stress", "stresses") and values.ndim and values.shape[-1] == 6:
        return values[..., _ROW_MAJOR]
    return values


def fields_of_results(properties: Mapping[str, Any]) -> dict[str, Field]:
    """The fields of those properties that are named and shaped as results of ASE are.

    Args:
        properties: Numbers, rows of numbers, or ``[num_atoms, k]`` for values of atoms.
    """
    return {
        name: field
        for name, field in _FIELDS.items()
        if name in properties and _fits(field, np.asarray(properties[name]))
    }


def _fits(field: Field, values: NDArray[Any]) -> bool:
    return values.ndim == (2 if field.per == "atom" else 1) and values.shape[-1] == field.width
