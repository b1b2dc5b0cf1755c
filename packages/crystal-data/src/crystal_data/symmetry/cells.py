"""Other cells of the same crystal: primitive, conventional and reduced."""

from typing import Any

import numpy as np

from crystal_data.crystal import Crystal
from crystal_data.symmetry.space_group import search
from crystal_data.symmetry.wyckoff import wrap


def primitive_cell(
    crystal: Crystal, symprec: float = 0.01, angle_tolerance: float | None = None
) -> Crystal:
    """The standardised primitive cell, its atoms moved onto the symmetry that was found.

    Numbers and strings of ``properties`` are kept. Arrays are not: they belong to the atoms or to
    the orientation of the given cell, and both change.

    Raises:
        SymmetryError: If no symmetry can be found.
    """
    return standard_primitive(crystal, search(crystal, symprec, angle_tolerance))


def standard_primitive(crystal: Crystal, dataset: Any) -> Crystal:
    """The cell of :func:`primitive_cell`, of a crystal whose symmetry has been searched for.

    Args:
        crystal: Any cell of it.
        dataset: What ``search`` gave for it.
    """
    return _crystal(dataset.prim_std_cell, crystal)


def conventional_cell(
    crystal: Crystal, symprec: float = 0.01, angle_tolerance: float | None = None
) -> Crystal:
    """The conventional cell in the standard setting, idealised as in `primitive_cell`.

    Raises:
        SymmetryError: If no symmetry can be found.
    """
    return _crystal(search(crystal, symprec, angle_tolerance).std_cell, crystal)


def niggli_cell(crystal: Crystal) -> Crystal:
    """The Niggli-reduced cell of the given lattice: the same atoms and axes in space, no others.

    It does not look for a smaller lattice; reduce `primitive_cell` for that. Atoms keep their
    order, so properties are kept as they are. The cell is right-handed.
    """
    import moyopy

    lattice, transformation = moyopy.niggli_reduce(crystal.lattice.tolist())
    back = np.linalg.inv(np.array(transformation, dtype=np.float64).T)
    # The transformation is unimodular, so its inverse has whole numbers.
    frac_coords = wrap(crystal.frac_coords @ np.rint(back))
    return crystal.replace(lattice=np.array(lattice), frac_coords=frac_coords)


def _crystal(cell: Any, original: Crystal) -> Crystal:
    return Crystal(
        lattice=np.array(cell.basis),
        frac_coords=wrap(np.array(cell.positions)),
        atomic_numbers=np.array(cell.numbers),
        identifier=original.identifier,
        properties=without_arrays(original),
    )


def without_arrays(crystal: Crystal) -> dict[str, Any]:
    """The properties that hold for any cell of the crystal: numbers and strings."""
    return {name: value for name, value in crystal.properties.items() if np.ndim(value) == 0}
