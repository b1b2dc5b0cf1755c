"""Crystals as occupied Wyckoff positions that are checked twice: by spglib, and by the way back."""

import os
import warnings
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.symmetry.cells import niggli_cell, standard_primitive, without_arrays
from crystal_data.symmetry.space_group import SymmetryError, search
from crystal_data.symmetry.symmetric import SymmetricCrystal

# The search may move an atom onto its position by its tolerance, and the cell onto its group's.
_LARGEST_SHIFT = 3.0  # times symprec


class OrbitFailure(StrEnum):
    """Why a crystal has no orbits."""

    NO_SYMMETRY = "no_symmetry"  # moyopy finds no group, as where atoms overlap
    LIBRARIES_DISAGREE = "libraries_disagree"  # spglib finds another group or other orbits
    INCOMPLETE_ORBITS = "incomplete_orbits"  # they do not add up to the atoms of the cell
    NO_WAY_BACK = "no_way_back"  # expanded, they are not the crystal


class OrbitError(SymmetryError):
    """A crystal that has no orbits to rely on.

    Args:
        reason: For counts.
        message: Whose fault it is, what was found and what was expected.
        remedy: What the user can do.
    """

    def __init__(self, reason: OrbitFailure, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} [{reason}]", remedy)
        self.reason = reason


def find_orbits(crystal: Crystal, symprec: float = 0.01) -> SymmetricCrystal:
    """The occupied Wyckoff positions of a crystal, found by moyopy and checked.

    spglib must find the same group and the same orbits at the same tolerance. Expanded, they must
    be the crystal: every atom at most three times ``symprec`` from one of the same element, in both
    directions, the cells alike by as much, the same handedness, equally many atoms.

    Args:
        crystal: Any cell of it.
        symprec: How far an atom may be from where an operation sends it, Å.

    Raises:
        OrbitError: With the reason.
    """
    name = crystal.identifier or crystal.formula
    dataset = _found(crystal, symprec)
    number, orbits = _spglib_orbits(crystal, symprec)
    if number != dataset.number or not np.array_equal(orbits, dataset.orbits):
        raise OrbitError(
            OrbitFailure.LIBRARIES_DISAGREE,
            f"{name}: at symprec {symprec} Å moyopy finds space group {dataset.number} with "
            f"{len(set(dataset.orbits))} orbits, spglib {number or 'none'} with "
            f"{len(set(orbits.tolist()))}",
        )
    try:
        symmetric = SymmetricCrystal.from_dataset(crystal, dataset)
    except SymmetryError as error:
        raise OrbitError(OrbitFailure.INCOMPLETE_ORBITS, error.message, error.remedy) from error
    shift = _largest_shift(
        crystal,
        symmetric.to_crystal(),
        np.array(dataset.std_linear),
        np.array(dataset.std_origin_shift),
    )
    if shift > _LARGEST_SHIFT * symprec:
        raise OrbitError(
            OrbitFailure.NO_WAY_BACK,
            f"{name}: its orbits in space group {dataset.number} make a crystal that differs by "
            f"{shift:.3g} Å",
            f"try another symprec than {symprec} Å",
        )
    return symmetric


def without_symmetry(crystal: Crystal, symprec: float = 0.01) -> SymmetricCrystal:
    """The Niggli-reduced primitive cell of a crystal as one of space group 1.

    Every atom of the cell is an orbit of its own, in the order of the cell. The atoms are moved
    onto the symmetry that is found, and the way back is checked as in :func:`find_orbits`.

    Args:
        crystal: Any cell of it.
        symprec: How far an atom may be from where an operation sends it, Å.

    Raises:
        OrbitError: With the reason.
    """
    dataset = _found(crystal, symprec)
    primitive = standard_primitive(crystal, dataset)
    shift = _largest_shift(
        crystal,
        primitive,
        np.array(dataset.prim_std_linear),
        np.array(dataset.prim_std_origin_shift),
    )
    if shift > _LARGEST_SHIFT * symprec:
        raise OrbitError(
            OrbitFailure.NO_WAY_BACK,
            f"{crystal.identifier or crystal.formula}: its primitive cell is that of a crystal "
            f"that differs by {shift:.3g} Å",
            f"try another symprec than {symprec} Å",
        )
    return orbits_of_atoms(niggli_cell(primitive))


def orbits_of_atoms(crystal: Crystal) -> SymmetricCrystal:
    """A crystal in its own cell as one of space group 1: each atom is an orbit."""
    return SymmetricCrystal(
        space_group_number=1,
        lattice=crystal.lattice,
        atomic_numbers=crystal.atomic_numbers,
        wyckoff_letters=("a",) * crystal.num_atoms,
        frac_coords=crystal.frac_coords,
        identifier=crystal.identifier,
        properties=without_arrays(crystal),
    )


def _found(crystal: Crystal, symprec: float) -> Any:
    """What moyopy finds."""
    try:
        return search(crystal, symprec, None)
    except SymmetryError as error:
        raise OrbitError(OrbitFailure.NO_SYMMETRY, error.message, error.remedy) from error


def _largest_shift(
    crystal: Crystal,
    expanded: Crystal,
    linear: NDArray[np.float64],
    origin: NDArray[np.float64],
) -> float:
    """How far two periodic crystals differ, Å; infinite if by more than a shift.

    Args:
        crystal: In its own cell.
        expanded: In the standard cell.
        linear: From one cell to the other, as moyopy gives it; ``[3, 3]``.
        origin: Shift of the origin, in the crystal's own cell; ``[3]``.
    """
    expected = crystal.num_atoms * abs(np.linalg.det(linear))
    if abs(expected - expanded.num_atoms) > 1e-6 * expanded.num_atoms:
        return np.inf
    # Each crystal is periodic in its own cell: there the atoms of the other are looked for.
    standard = (crystal.frac_coords - origin) @ np.linalg.inv(linear).T
    given = expanded.frac_coords @ linear.T + origin
    moved = max(
        _largest_distance(standard, crystal.atomic_numbers, expanded),
        _largest_distance(given, expanded.atomic_numbers, crystal),
    )
    # Stretch of the standard cell in its principal directions, whatever its orientation.
    deformation = np.linalg.inv(expanded.lattice) @ linear.T @ crystal.lattice
    if np.linalg.det(deformation) < 0:
        return np.inf  # the mirror image
    stretch = np.abs(np.linalg.svd(deformation, compute_uv=False) - 1.0).max()
    return float(max(moved, stretch * expanded.lengths.max()))


def _largest_distance(
    frac_coords: NDArray[np.float64], atomic_numbers: NDArray[np.int64], crystal: Crystal
) -> float:
    """Of points to the nearest atom of their element in a crystal, Å."""
    delta = crystal.frac_coords[None] - frac_coords[:, None]
    delta -= np.rint(delta)
    distance = np.linalg.norm(delta @ crystal.lattice, axis=2)
    differs = crystal.atomic_numbers[None] != atomic_numbers[:, None]
    return float(np.where(differs, np.inf, distance).min(axis=1).max())


def _spglib_orbits(crystal: Crystal, symprec: float) -> tuple[int, NDArray[np.int64]]:
    """Space group, 0 for none, and the first atom of each atom's orbit."""
    # It prints the tries that it takes back.
    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    import spglib

    # Its own types ask for lists; arrays are what it works with.
    cell: Any = (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)
    with warnings.catch_warnings():
        # spglib announces another way to report its errors.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            found = spglib.get_symmetry_dataset(cell, symprec=symprec)
        except spglib.SpglibError:
            found = None
    if found is None:
        return 0, np.arange(0)
    return int(found.number), np.array(found.crystallographic_orbits, dtype=np.int64)
