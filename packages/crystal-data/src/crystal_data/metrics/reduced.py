"""The reduced primitive cell that pymatgen's StructureMatcher compares, made once for a crystal."""

from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.elements import SYMBOLS

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

_TOLERANCE = 0.25  # Å; of the search for a smaller cell, pymatgen's default


@dataclass(frozen=True, eq=False, slots=True)
class ReducedCell:
    """Niggli cell of a primitive cell.

    Args:
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.
        frac_coords: Shape ``[num_atoms, 3]``, dimensionless.
        atomic_numbers: Shape ``[num_atoms]``.
    """

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]


def reduced_cell(crystal: Crystal) -> ReducedCell:
    """What ``StructureMatcher`` makes of a crystal before it compares it, to the last bit.

    The last few thousand are kept, since an evaluation compares each crystal several times.

    Raises:
        ValueError: If pymatgen finds no Niggli cell.
    """
    arrays = (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)
    return _reduced_cell(*(array.tobytes() for array in arrays))


@lru_cache(maxsize=4096)
def _reduced_cell(lattice: bytes, frac_coords: bytes, atomic_numbers: bytes) -> ReducedCell:
    cell = _niggli_cell(
        np.frombuffer(lattice).reshape(3, 3),
        np.frombuffer(frac_coords).reshape(-1, 3),
        np.frombuffer(atomic_numbers, dtype=np.int64),
    )
    if _is_surely_primitive(cell):
        return cell
    primitive = to_structure(cell).get_primitive_structure()
    return ReducedCell(
        np.array(primitive.lattice.matrix),
        np.array(primitive.frac_coords),
        np.array(primitive.atomic_numbers, dtype=np.int64),
    )


def to_structure(cell: ReducedCell) -> "Structure":
    """The cell as pymatgen's ``Structure``."""
    from pymatgen.core.structure import Structure

    symbols = [SYMBOLS[number] for number in cell.atomic_numbers]
    return Structure(cell.lattice, symbols, cell.frac_coords)


def _niggli_cell(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    atomic_numbers: NDArray[np.int64],
) -> ReducedCell:
    from pymatgen.core.lattice import Lattice

    given = Lattice(lattice)
    niggli = given.get_niggli_reduced_lattice()
    if niggli == given:
        return ReducedCell(lattice, frac_coords, atomic_numbers)
    # Atom by atom, as pymatgen does it: on some processors a product of all atoms at once differs
    # from those of each in the last bit.
    coords = np.array(
        [niggli.get_fractional_coords(given.get_cartesian_coords(frac)) for frac in frac_coords]
    )
    return ReducedCell(np.array(niggli.matrix), np.mod(coords, 1), atomic_numbers)


def _is_surely_primitive(cell: ReducedCell) -> bool:
    """Whether pymatgen finds no smaller cell; False if that is not clear without a search."""
    numbers, counts = np.unique(cell.atomic_numbers, return_counts=True)
    most = gcd(*counts.tolist())
    if most == 1:
        return True
    tolerance = _TOLERANCE / np.sqrt((cell.lattice**2).sum(axis=1))
    if not (2 * tolerance < 1 / most).all():
        return False  # in so short a cell zero is near to a lattice vector of a smaller one
    # A lattice vector of a smaller cell leads from one atom of the rarest kind to another.
    symbols = [SYMBOLS[number] for number in numbers]
    rarest = min(zip(counts.tolist(), symbols, numbers.tolist(), strict=True))[2]
    coords = cell.frac_coords[cell.atomic_numbers == rarest]
    vectors = coords[1:] - coords[0]
    vectors = vectors[(np.abs(vectors - np.round(vectors)) > tolerance).any(axis=1)]
    # It also moves every atom near to one of its kind, within twice pymatgen's tolerance; a little
    # more is allowed here, so that rounding cannot matter.
    for number in numbers:
        if not len(vectors):
            break
        coords = cell.frac_coords[cell.atomic_numbers == number]
        moved = coords[None, :, None] + vectors[:, None, None] - coords[None, None]
        near = (np.abs(moved - np.round(moved)) <= 2.01 * tolerance).all(axis=-1)
        vectors = vectors[near.any(axis=-1).all(axis=-1)]
    return not len(vectors)
