"""CIF text of a crystal."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.elements import SYMBOLS
from crystal_data.symmetry import SymmetricCrystal, space_group_operations

_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_AXES = ("fract_x", "fract_y", "fract_z")
_LARGEST_DENOMINATOR = 12  # of a translation, in any standard setting


def to_cif(crystal: Crystal, symprec: float | None = None) -> str:
    """CIF text of a crystal.

    A CIF has lengths and angles in place of a lattice, so the crystal comes back turned as a
    whole. A left-handed lattice is written as its negative, with the coordinates, so that it
    does not come back as its mirror image.

    Args:
        crystal: Its properties are not written.
        symprec: None writes P1 with distances kept to 1e-8 Å. A value in Å has symmetry found
            to that tolerance and the conventional cell's asymmetric unit written.

    Raises:
        SymmetryError: If symmetry is to be found and there is none.
    """
    if symprec is not None:
        return symmetric_cif(SymmetricCrystal.from_crystal(crystal, symprec))
    sign = np.sign(np.linalg.det(crystal.lattice))
    sites = [
        (symbol, f"{symbol}{index}", "1", *_coordinates(point))
        for index, (symbol, point) in enumerate(
            zip(crystal.species, crystal.frac_coords * sign, strict=True)
        )
    ]
    names = ("type_symbol", "label", "symmetry_multiplicity", *_AXES)
    return _text(crystal, "P 1", 1, ["x, y, z"], names, sites)


def symmetric_cif(crystal: SymmetricCrystal) -> str:
    """CIF text of a symmetric crystal: a line for each orbit, and all operations of the group.

    Args:
        crystal: In the standard conventional cell.
    """
    orbits = zip(crystal.atomic_numbers, crystal.positions, crystal.frac_coords, strict=True)
    sites = []
    for index, (number, position, point) in enumerate(orbits):
        symbol, size = SYMBOLS[number], str(position.multiplicity)
        sites.append(
            (symbol, f"{symbol}{index}", size, position.letter, *_coordinates(point % 1.0))
        )
    names = ("type_symbol", "label", "symmetry_multiplicity", "Wyckoff_symbol", *_AXES)
    number = crystal.space_group_number
    symbol, operations = crystal.space_group_symbol, _operations(number)
    return _text(crystal.to_crystal(), symbol, number, operations, names, sites)


def _text(
    crystal: Crystal,
    symbol: str,
    number: int,
    operations: Iterable[str],
    names: Sequence[str],
    sites: Sequence[tuple[str, ...]],
) -> str:
    """The block.

    Args:
        crystal: All atoms of the cell.
        symbol: Hermann–Mauguin symbol.
        number: Of the space group.
        operations: Coordinate triplets.
        names: Columns of the sites, without ``_atom_site_``; occupancy comes last.
        sites: What the columns hold.
    """
    cell = zip(_CELL, (*crystal.lengths, *crystal.angles), strict=True)
    lines = [
        f"data_{_block_name(crystal)}",
        f"_symmetry_space_group_name_H-M   '{symbol}'",
        f"_symmetry_Int_Tables_number   {number}",
        *(f"_cell_{name}   {value:.13f}" for name, value in cell),
        f"_cell_volume   {crystal.volume:.8f}",
        f"_chemical_formula_structural   {crystal.formula}",
        f"_chemical_formula_sum   '{_formula_sum(crystal.composition)}'",
        "loop_",
        " _symmetry_equiv_pos_site_id",
        " _symmetry_equiv_pos_as_xyz",
        *(f"  {place}  '{triplet}'" for place, triplet in enumerate(operations, start=1)),
        "loop_",
        *(f" _atom_site_{name}" for name in names),
        " _atom_site_occupancy",
        *("  " + "  ".join((*site, "1")) for site in sites),
    ]
    return "\n".join(lines) + "\n"


def _coordinates(point: NDArray[np.float64]) -> tuple[str, ...]:
    return tuple(f"{value + 0.0:.14f}" for value in point)  # + 0.0 so that no zero is negative


def _formula_sum(composition: Mapping[str, int]) -> str:
    return " ".join(f"{symbol}{count}" for symbol, count in composition.items())


@lru_cache(maxsize=230)
def _operations(number: int) -> tuple[str, ...]:
    """Coordinate triplets of a group's operations, such as ``-y, x-y, z+1/3``."""
    pairs = zip(*space_group_operations(number), strict=True)
    return tuple(
        ", ".join(_sum(row, float(shift)) for row, shift in zip(rotation, translation, strict=True))
        for rotation, translation in pairs
    )


def _sum(row: NDArray[np.int64], shift: float) -> str:
    terms = [
        ("+" if factor > 0 else "-") + axis
        for factor, axis in zip(row.tolist(), "xyz", strict=True)
        if factor
    ]
    fraction = Fraction(shift).limit_denominator(_LARGEST_DENOMINATOR)
    text = "".join(terms) + (f"+{fraction}" if fraction > 0 else f"{fraction}" if fraction else "")
    return text.removeprefix("+")


def _block_name(crystal: Crystal) -> str:
    name = crystal.identifier or crystal.formula
    return "".join(c if c.isascii() and c.isprintable() and c != " " else "_" for c in name)
