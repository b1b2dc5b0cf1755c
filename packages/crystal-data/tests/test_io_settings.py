"""Asymmetric units in every tabulated setting, by name alone: the right crystal, or none."""

from math import gcd

import gemmi
import numpy as np
import pytest

from crystal_data.errors import InvalidCrystalError
from crystal_data.io.cif import parse_cif
from crystal_data.io.options import ReadOptions

SETTINGS = list(gemmi.spacegroup_table())
NEAR = ReadOptions(min_distance=0.05)
TRICLINIC = (1, 2)


def cell_of(group, rng):
    a, b, c = rng.uniform(5.0, 9.0, 3).round(3)
    system = group.crystal_system_str()
    if system == "triclinic":
        return (a, b, c, *rng.uniform(75.0, 105.0, 3).round(2))
    if system == "monoclinic":
        angles = [90.0, 90.0, 90.0]
        angles["abc".index(group.monoclinic_unique_axis())] = 97.3
        return (a, b, c, *angles)
    if group.ext == "R":
        return (a, a, a, 68.0, 68.0, 68.0)
    return {
        "orthorhombic": (a, b, c, 90, 90, 90),
        "tetragonal": (a, a, c, 90, 90, 90),
        "trigonal": (a, a, c, 90, 90, 120),
        "hexagonal": (a, a, c, 90, 90, 120),
        "cubic": (a, a, a, 90, 90, 90),
    }[system]


def expanded(group, sites):
    """Images of sites, one by one, by gemmi's operations."""
    atoms = []
    for z, xyz in sites:
        images = []
        for op in group.operations():
            image = np.array(op.apply_to_xyz(list(xyz))) % 1.0
            difference = [(image - other) - np.rint(image - other) for other in images]
            if all(np.abs(one).max() > 1e-6 for one in difference):
                images.append(image)
        atoms += [(z, image) for image in images]
    return atoms


def text_of(cell, sites, *lines):
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    symbols = {12: "Mg", 8: "O"}
    rows = [f"{symbols[z]} {x:.4f} {y:.4f} {w:.4f}" for z, (x, y, w) in sites]
    tags = ("type_symbol", "fract_x", "fract_y", "fract_z")
    return "\n".join(["data_x", *filter(None, lines),
        *(f"_cell_{name} {value}" for name, value in zip(names, cell, strict=True)),
        "loop_", *(f"_atom_site_{tag}" for tag in tags), *rows, ""])  # fmt: skip


def is_same(crystal, atoms):
    if crystal.num_atoms != len(atoms):
        return False
    numbers, coords = zip(*atoms, strict=True)
    delta = crystal.frac_coords[:, None] - np.array(coords)
    delta -= np.rint(delta)
    close = (np.abs(delta) < 1e-6).all(axis=2)
    return bool((close & (crystal.atomic_numbers[:, None] == numbers)).any(axis=1).all())


def check(group):
    """Reads files of one crystal that state ever less; which of them are not refused."""
    rng = np.random.default_rng(group.number)
    cell = cell_of(group, rng)
    sites = [(12, (0.07, 0.19, 0.41)), (8, (0.31, 0.135, 0.43)), (8, (0.0, 0.0, 0.0))]
    atoms = expanded(group, sites)
    magnesium = sum(z == 12 for z, _ in atoms)
    oxygen = len(atoms) - magnesium
    units = gcd(magnesium, oxygen)
    whole = f"_chemical_formula_sum 'Mg{magnesium} O{oxygen}'"
    reduced = (
        f"_chemical_formula_sum 'Mg{magnesium // units} O{oxygen // units}'\n"
        f"_cell_formula_units_Z {units}"
    )
    hall, name = f"_space_group_name_Hall '{group.hall}'", "_symmetry_space_group_name_H-M '{}'"
    exact, symbol = name.format(group.xhm()), name.format(group.hm)
    number = f"_space_group_IT_number {group.number}"
    read = []
    for formula in (whole, reduced, ""):
        for stated in (hall, exact, symbol, exact + "\n_symmetry_equiv_pos_as_xyz 'x,y,z'", number):
            if stated is number and group.number in TRICLINIC:
                continue  # of which a number means P 1 and P -1
            try:
                crystal = parse_cif(text_of(cell, sites, stated, formula), options=NEAR)
            except InvalidCrystalError:
                continue
            assert is_same(crystal, atoms), f"{group.xhm()}: {stated} {formula}"
            read.append((stated, formula))
    for formula in (whole, reduced):
        assert (hall, formula) in read
        assert (exact, formula) in read


@pytest.mark.parametrize("group", SETTINGS[::12], ids=lambda group: group.xhm())
def test_named_settings_are_right_or_refused(group):
    check(group)


@pytest.mark.slow
def test_every_named_setting_is_right_or_refused():
    for group in SETTINGS:
        check(group)
