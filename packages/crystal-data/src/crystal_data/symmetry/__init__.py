"""Space groups, Wyckoff positions, other cells, and crystals as what symmetry leaves free."""

from crystal_data.symmetry.cells import conventional_cell, niggli_cell, primitive_cell
from crystal_data.symmetry.lattice import (
    all_lattice_parameters,
    free_lattice_parameters,
    lattice_from_free_parameters,
)
from crystal_data.symmetry.orbits import (
    OrbitError,
    OrbitFailure,
    find_orbits,
    orbits_of_atoms,
    without_symmetry,
)
from crystal_data.symmetry.space_group import SymmetryError, SymmetryInfo, find_symmetry
from crystal_data.symmetry.symmetric import SymmetricCrystal, symmetrized_lattice
from crystal_data.symmetry.wyckoff import (
    CRYSTAL_SYSTEMS,
    WyckoffPosition,
    crystal_system,
    space_group_operations,
    space_group_symbol,
    wyckoff_position,
    wyckoff_positions,
)

__all__ = [
    "CRYSTAL_SYSTEMS",
    "OrbitError",
    "OrbitFailure",
    "SymmetricCrystal",
    "SymmetryError",
    "SymmetryInfo",
    "WyckoffPosition",
    "all_lattice_parameters",
    "conventional_cell",
    "crystal_system",
    "find_orbits",
    "find_symmetry",
    "free_lattice_parameters",
    "lattice_from_free_parameters",
    "niggli_cell",
    "orbits_of_atoms",
    "primitive_cell",
    "space_group_operations",
    "space_group_symbol",
    "symmetrized_lattice",
    "without_symmetry",
    "wyckoff_position",
    "wyckoff_positions",
]
