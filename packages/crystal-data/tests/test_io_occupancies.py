"""Occupancies of a CIF: which atom of the whole cell has which, and what ``?`` means."""

import numpy as np
import pytest

from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io import ReadOptions
from crystal_data.io.cif import parse_cif


def read(text, on_disorder):
    return parse_cif(text, "mix", ReadOptions(on_disorder=on_disorder))


def cif(*lines, a=6.0, atoms):
    """CIF text of a cube; an atom is 'symbol x y z occupancy'."""
    cell = [f"_cell_length_{axis} {a}" for axis in "abc"]
    angles = [f"_cell_angle_{angle} 90" for angle in ("alpha", "beta", "gamma")]
    columns = ("type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    loop = ["loop_", *(f"_atom_site_{name}" for name in columns), *atoms]
    return "\n".join(["data_mix", *cell, *angles, *lines, *loop]) + "\n"


INVERSION = ("loop_", "_symmetry_equiv_pos_as_xyz", "'x,y,z'", "'-x,-y,-z'")
# Chlorine fills its pair of places; lithium and sodium share another pair; argon fills the center.
SHARED_PAIR = cif(
    *INVERSION,
    atoms=(
        "Cl 0.1 0.2 0.3 1",
        "Li 0.3 0.3 0.1 0.25",
        "Na 0.3 0.3 0.1 0.75",
        "Ar 0.5 0.5 0.5 1",
    ),
)


def test_every_image_has_the_occupancy_of_its_atom():
    with pytest.raises(InvalidCrystalError) as caught:
        read(SHARED_PAIR, "error")
    assert caught.value.reason == Reason.DISORDERED
    # Seven atoms: three pairs and the center, which is its own image.
    assert "4 of 7 atoms have partial occupancies (lowest 0.25)" in caught.value.detail


def test_majority_of_a_site_made_by_symmetry():
    crystal = read(SHARED_PAIR, "majority")
    assert crystal.composition == {"Na": 2, "Cl": 2, "Ar": 1}
    sodium = crystal.frac_coords[crystal.atomic_numbers == 11]
    np.testing.assert_allclose(sodium, [[0.3, 0.3, 0.1], [0.7, 0.7, 0.9]], atol=1e-12)


def test_ordered_cell_of_a_site_made_by_symmetry():
    crystal = read(SHARED_PAIR, "order")
    assert crystal.composition == {"Li": 1, "Na": 3, "Cl": 4, "Ar": 2}
    assert crystal.volume == pytest.approx(2 * 6.0**3)


def test_a_pair_of_places_that_is_mostly_empty_is_left_out():
    text = cif(*INVERSION, atoms=("Li 0.3 0.3 0.1 0.4", "Cl 0.1 0.2 0.3 1"))
    assert read(text, "majority").composition == {"Cl": 2}


def test_atoms_without_occupancy_are_left_out_before_symmetry():
    text = cif(*INVERSION, atoms=("Ar 0.4 0.4 0.4 0", "Li 0.3 0.3 0.1 0.4", "Cl 0.1 0.2 0.3 0.6"))
    with pytest.raises(InvalidCrystalError, match=r"4 of 4 atoms .*lowest 0\.4"):
        read(text, "error")
    crystal = read(text, "majority")
    assert crystal.composition == {"Cl": 2}
    np.testing.assert_allclose(crystal.frac_coords, [[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]], atol=1e-12)


def test_images_of_a_partly_occupied_site_may_be_near_each_other():
    # Four images of sodium lie 0.28 Å apart, each a quarter full; the formula tells the origin.
    names = ("_symmetry_space_group_name_H-M 'F d -3 m'", "_cell_formula_units_Z 8")
    atoms = ("Na 0.01 0.01 0.01 0.25", "Cl 0.125 0.125 0.125 1")
    text = cif(*names, "_chemical_formula_sum 'Na Cl2'", a=10.0, atoms=atoms)
    with pytest.raises(InvalidCrystalError, match=r"32 of 48 atoms .*lowest 0\.25"):
        read(text, "error")
    assert read(text, "majority").composition == {"Cl": 16}


def test_the_formula_chooses_the_origin_by_occupancies():
    # Origin 1: 8 places half full of Na and 16 of Cl; origin 2: 16 half full and 8.
    names = ("_symmetry_space_group_name_H-M 'F d -3 m'", "_cell_formula_units_Z 4")
    atoms = ("Na 0 0 0 0.5", "Cl 0.125 0.125 0.125 1")
    first = cif(*names, "_chemical_formula_sum 'Na Cl4'", a=10.0, atoms=atoms)
    assert read(first, "majority").composition == {"Na": 8, "Cl": 16}
    second = cif(
        names[0], "_cell_formula_units_Z 8", "_chemical_formula_sum 'Na Cl'", a=10.0, atoms=atoms
    )
    assert read(second, "majority").composition == {"Na": 16, "Cl": 8}


@pytest.mark.parametrize("unknown", ["?", "."])
def test_an_unknown_occupancy_beside_a_partial_one_is_full(unknown):
    text = cif(
        atoms=("Na 0 0 0 0.6", "K 0 0 0 0.4", f"Cl 0.5 0.5 0.5 {unknown}", "Ar 0.5 0 0 1.000(2)")
    )
    with pytest.raises(InvalidCrystalError, match=r"2 of 4 atoms .*lowest 0\.4"):
        read(text, "error")
    assert read(text, "majority").composition == {"Na": 1, "Cl": 1, "Ar": 1}
    assert read(text, "order").composition == {"Na": 3, "K": 2, "Cl": 5, "Ar": 5}


@pytest.mark.parametrize("unknown", ["?", "."])
def test_unknown_occupancies_alone_are_full(unknown):
    text = cif(atoms=(f"Na 0 0 0 {unknown}", "Cl 0.5 0.5 0.5 1.0"))
    assert read(text, "error").composition == {"Na": 1, "Cl": 1}
