"""CIF text of a crystal."""

import numpy as np

from crystal_data.crystal import Crystal

_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_AXES = ("fract_x", "fract_y", "fract_z")


def to_cif(crystal: Crystal, symprec: float | None = None) -> str:
    """CIF text of a crystal.

    A CIF has lengths and angles in place of a lattice, so the crystal comes back turned as a
    whole. A left-handed lattice is written as its negative, with the coordinates, so that it
    does not come back as its mirror image.

    Args:
        crystal: Its properties are not written.
        symprec: None writes P1 with distances kept to 1e-8 Å. A value in Å has symmetry found
            to that tolerance and the conventional cell's asymmetric unit written.
    """
    if symprec is not None:
        from crystal_data.io.pymatgen import symmetrized_cif

        return symmetrized_cif(crystal, symprec)
    sign = np.sign(np.linalg.det(crystal.lattice))
    coords = crystal.frac_coords * sign + 0.0  # + 0.0 so that no zero is negative
    formula = "".join(f"{symbol}{n} " for symbol, n in crystal.composition.items()).strip()
    cell = zip(_CELL, (*crystal.lengths, *crystal.angles), strict=True)
    lines = [
        f"data_{_block_name(crystal)}",
        "_symmetry_space_group_name_H-M   'P 1'",
        "_symmetry_Int_Tables_number   1",
        *(f"_cell_{name}   {value:.13f}" for name, value in cell),
        f"_cell_volume   {crystal.volume:.8f}",
        f"_chemical_formula_structural   {crystal.formula}",
        f"_chemical_formula_sum   '{formula}'",
        "loop_",
        " _symmetry_equiv_pos_site_id",
        " _symmetry_equiv_pos_as_xyz",
        "  1  'x, y, z'",
        "loop_",
        " _atom_site_type_symbol",
        " _atom_site_label",
        " _atom_site_symmetry_multiplicity",
        *(f" _atom_site_{axis}" for axis in _AXES),
        " _atom_site_occupancy",
    ]
    for index, (symbol, (x, y, z)) in enumerate(zip(crystal.species, coords, strict=True)):
        lines.append(f"  {symbol}  {symbol}{index}  1  {x:.14f}  {y:.14f}  {z:.14f}  1")
    return "\n".join(lines) + "\n"


def _block_name(crystal: Crystal) -> str:
    name = crystal.identifier or crystal.formula
    return "".join(c if c.isascii() and c.isprintable() and c != " " else "_" for c in name)
