"""The space group of a crystal, found with moyo."""

import logging
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import CrystalError, InvalidArgumentError
from crystal_data.lattice import plane_spacings, reduced_lattice
from crystal_data.symmetry.wyckoff import crystal_system, space_group_symbol

ENGINE = "moyopy"
# Å. With shorter ones the engine may look for operations until all memory is used.
_SHORTEST_VECTOR = 1.0


class SymmetryError(CrystalError, ValueError):
    """The symmetry of a structure could not be found or used."""


@dataclass(frozen=True, eq=False)
class SymmetryInfo:
    """Symmetry of a crystal, as found in its own cell.

    Args:
        space_group_number: 1 to 230.
        wyckoff_letter_per_atom: Letter of each atom, in the group's standard setting.
        site_symmetry_per_atom: Oriented site-symmetry symbol of each atom.
        orbits: First atom of each atom's orbit under the whole space group; int64 ``[num_atoms]``.
        rotations: Operations in the crystal's own cell; int64 ``[num_operations, 3, 3]``. A
            supercell that its crystal's point group does not map onto itself lacks those that
            would need fractions.
        translations: Beside them, fractional; ``[num_operations, 3]``.
        symprec: Distance tolerance that was asked for, Å.
        used_symprec: Tolerance that the engine settled on, Å; smaller where the search failed.
        angle_tolerance: Angle tolerance in degrees, None where it followed from ``symprec``.
        engine: Library that found it.
        engine_version: Its version.
    """

    space_group_number: int
    wyckoff_letter_per_atom: tuple[str, ...]
    site_symmetry_per_atom: tuple[str, ...]
    # Arrays would bury the rest when it is printed.
    orbits: NDArray[np.int64] = field(repr=False)
    rotations: NDArray[np.int64] = field(repr=False)
    translations: NDArray[np.float64] = field(repr=False)
    symprec: float
    used_symprec: float
    angle_tolerance: float | None
    engine: str
    engine_version: str

    @property
    def space_group_symbol(self) -> str:
        """Short Hermann–Mauguin symbol, such as ``"Fm-3m"``."""
        return space_group_symbol(self.space_group_number)

    @property
    def crystal_system(self) -> str:
        """One of the seven, in lower case."""
        return crystal_system(self.space_group_number)

    @cached_property
    def wyckoff_letters(self) -> tuple[str, ...]:
        """Letter of each orbit, in the order of the orbits' first atoms."""
        return tuple(self.wyckoff_letter_per_atom[i] for i in np.unique(self.orbits))


def find_symmetry(
    crystal: Crystal, symprec: float = 0.01, angle_tolerance: float | None = None
) -> SymmetryInfo:
    """Find the space group, Wyckoff letters, orbits and operations of a crystal.

    Args:
        crystal: Any cell of it.
        symprec: How far an atom may be from where an operation sends it, Å.
        angle_tolerance: Degrees between axes; None lets it follow from ``symprec``.

    Raises:
        SymmetryError: If no symmetry can be found, as when atoms overlap within ``symprec``, or a
            lattice vector is shorter than 1 Å, which no crystal has.
    """
    dataset = search(crystal, symprec, angle_tolerance)
    return SymmetryInfo(
        space_group_number=dataset.number,
        wyckoff_letter_per_atom=tuple(dataset.wyckoffs),
        site_symmetry_per_atom=tuple(dataset.site_symmetry_symbols),
        orbits=np.array(dataset.orbits, dtype=np.int64),
        rotations=np.array(dataset.operations.rotations, dtype=np.int64),
        translations=np.array(dataset.operations.translations, dtype=np.float64),
        symprec=symprec,
        used_symprec=dataset.symprec,
        angle_tolerance=angle_tolerance,
        engine=ENGINE,
        engine_version=_version(),
    )


def search(crystal: Crystal, symprec: float, angle_tolerance: float | None) -> Any:
    """The engine's own data set of a crystal, in the standard setting of its group.

    Raises:
        SymmetryError: If the search fails.
    """
    import moyopy

    logging.getLogger("moyo").addFilter(_keep)
    if not symprec > 0:
        raise InvalidArgumentError(f"symprec is {symprec}; it is a distance above 0 Å")
    if _is_too_thin(crystal.lattice):
        raise SymmetryError(
            f"{crystal.identifier or crystal.formula}: a lattice vector is shorter than "
            f"{_SHORTEST_VECTOR:g} Å, which no crystal has",
            "look at its cell and at the unit of its lengths",
        )
    cell = moyopy.Cell(
        basis=crystal.lattice.tolist(),
        positions=crystal.frac_coords.tolist(),
        numbers=crystal.atomic_numbers.tolist(),
    )
    try:
        return moyopy.MoyoDataset(
            cell,
            symprec=symprec,
            angle_tolerance=None if angle_tolerance is None else np.radians(angle_tolerance),
            setting=moyopy.Setting.standard(),
        )
    except Exception as error:  # moyo's own error type is not exported under a stable name
        raise SymmetryError(
            f"{crystal.identifier or crystal.formula}: no symmetry found at symprec {symprec} Å "
            f"({error})",
            "atoms may overlap, or try a smaller symprec",
        ) from error


def _is_too_thin(lattice: NDArray[np.float64]) -> bool:
    # No lattice vector is shorter than the spacings of all planes, which cost less than reducing.
    if min(plane_spacings(lattice)) >= _SHORTEST_VECTOR:
        return False
    return bool(np.linalg.norm(reduced_lattice(lattice), axis=1).min() < _SHORTEST_VECTOR)


def _keep(record: logging.LogRecord) -> bool:
    # One line for each supercell would drown all else; `SymmetryInfo.rotations` says what it says.
    return not record.getMessage().startswith("Omitted ")


def _version() -> str:
    import moyopy

    return str(moyopy.__version__)
