"""Every format carries a crystal there and back; other libraries read what is written."""

import io
import warnings

import ase.io
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crystal_data.crystal import Crystal, lattice_from_parameters
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.ase import from_ase, to_ase, to_extxyz
from crystal_data.io.cif import parse_cif, symmetric_cif, to_cif
from crystal_data.io.extxyz import read_extxyz
from crystal_data.io.options import UNCHECKED
from crystal_data.io.poscar import parse_poscar, to_poscar
from crystal_data.io.pymatgen import (
    from_pymatgen,
    from_pymatgen_dict,
    parse_json,
    to_json,
    to_pymatgen,
    to_pymatgen_dict,
)

lengths = st.tuples(*[st.floats(2.0, 30.0)] * 3)
angles = st.tuples(*[st.floats(25.0, 150.0)] * 3)
coordinate = st.floats(-3.0, 3.0)
atoms = st.lists(
    st.tuples(st.integers(1, 118), st.tuples(coordinate, coordinate, coordinate)),
    min_size=1,
    max_size=12,
)
given_crystal = given(lengths, angles, atoms, st.integers(0, 2**32), st.booleans())


def build(lengths, angles, atoms, seed, mirrored):
    """Any cell in any orientation, also left-handed."""
    try:
        lattice = lattice_from_parameters(lengths, angles)
    except ValueError:
        assume(False)
    assume(abs(np.linalg.det(lattice)) > 1.0)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation)) * (-1 if mirrored else 1)
    numbers, coords = zip(*atoms, strict=True)
    return Crystal(lattice @ rotation, coords, numbers, "any-1", {"energy": -1.25})


def assert_same(got, expected, atol=1e-8):
    assert np.array_equal(got.atomic_numbers, expected.atomic_numbers)
    np.testing.assert_allclose(got.lattice, expected.lattice, atol=atol, rtol=0)
    np.testing.assert_allclose(got.cart_coords, expected.cart_coords, atol=atol, rtol=0)


@given_crystal
@settings(max_examples=60, deadline=None)
def test_exact_both_ways(lengths, angles, atoms, seed, mirrored):
    crystal = build(lengths, angles, atoms, seed, mirrored)
    assert_same(parse_poscar(to_poscar(crystal), options=UNCHECKED), crystal)
    assert_same(parse_json(to_json(crystal), options=UNCHECKED), crystal)
    assert_same(from_ase(to_ase(crystal), options=UNCHECKED), crystal)
    [frame] = read_extxyz(to_extxyz([crystal]))
    assert_same(from_ase(frame, options=UNCHECKED), crystal)
    there = from_pymatgen(to_pymatgen(crystal), options=UNCHECKED)
    assert_same(there, crystal)
    assert there.identifier == "any-1"
    assert there.properties["energy"] == -1.25
    assert from_ase(frame, options=UNCHECKED).properties["energy"] == -1.25


@given_crystal
@settings(max_examples=60, deadline=None)
def test_cif_keeps_all_but_the_orientation(lengths, angles, atoms, seed, mirrored):
    crystal = build(lengths, angles, atoms, seed, mirrored)
    got = parse_cif(to_cif(crystal), options=UNCHECKED)
    assert np.array_equal(got.atomic_numbers, crystal.atomic_numbers)
    # The rotation that takes one Cartesian frame to the other must be proper: no mirror image.
    sign = np.sign(np.linalg.det(crystal.lattice))
    rotation = np.linalg.solve(sign * crystal.lattice, got.lattice)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-7)
    assert np.linalg.det(rotation) == pytest.approx(1.0, abs=1e-6)
    metric = crystal.lattice @ crystal.lattice.T
    scale = np.sqrt(np.outer(metric.diagonal(), metric.diagonal()))
    assert (np.abs(got.lattice @ got.lattice.T - metric) / scale).max() < 1e-10
    np.testing.assert_allclose(got.frac_coords, sign * crystal.frac_coords, atol=1e-13)


@pytest.fixture
def crystal():
    rng = np.random.default_rng(5)
    lattice = lattice_from_parameters([6, 7, 8], [70, 80, 100])
    coords = rng.uniform(-1, 2, (5, 3))
    forces = rng.normal(size=(5, 3))
    properties = {"energy": -3.5, "forces": forces, "note": "two words", "spectrum": np.arange(4.0)}
    return Crystal(lattice, coords, [11, 17, 11, 8, 26], "mp-1", properties)


def test_pymatgen_reads_what_is_written(crystal):
    from pymatgen.core import Structure
    from pymatgen.io.vasp import Poscar

    for structure in (
        Structure.from_dict(to_pymatgen_dict(crystal)),
        Structure.from_str(to_json(crystal), fmt="json"),
        Poscar.from_str(to_poscar(crystal)).structure,
    ):
        np.testing.assert_allclose(structure.lattice.matrix, crystal.lattice, atol=1e-10)
        np.testing.assert_allclose(structure.frac_coords, crystal.frac_coords, atol=1e-10)
        assert [site.specie.Z for site in structure] == crystal.atomic_numbers.tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structure = Structure.from_str(to_cif(crystal), fmt="cif")  # it regroups the species
    delta = structure.frac_coords[:, None] - crystal.frac_coords
    close = np.abs(delta - np.rint(delta)).max(axis=-1) < 1e-8
    assert close.sum(axis=0).tolist() == close.sum(axis=1).tolist() == [1] * 5
    numbers = np.array([site.specie.Z for site in structure])
    assert numbers.tolist() == crystal.atomic_numbers[close.argmax(axis=1)].tolist()


def test_ase_reads_what_is_written(crystal):
    frame = ase.io.read(io.StringIO(to_extxyz([crystal])), format="extxyz")
    np.testing.assert_allclose(frame.positions, crystal.cart_coords, atol=1e-10)
    np.testing.assert_allclose(frame.get_forces(), crystal.properties["forces"], atol=1e-10)
    assert frame.get_potential_energy() == -3.5
    poscar = ase.io.read(io.StringIO(to_poscar(crystal)), format="vasp")
    np.testing.assert_allclose(poscar.positions, crystal.cart_coords, atol=1e-10)
    assert poscar.numbers.tolist() == crystal.atomic_numbers.tolist()


@pytest.mark.parametrize(
    "text", ["T", "007", "1e5", "nan", "a b", 'quo"te', "back\\slash", "é\n", ""]
)
def test_extxyz_keeps_strings(crystal, text):
    changed = crystal.replace(identifier=text or "x", properties={"note": text})
    [frame] = read_extxyz(to_extxyz([changed]))
    got = from_ase(frame)
    assert got.properties["note"] == text
    assert got.identifier == (text or "x")


def test_properties_survive_ase(crystal):
    got = from_ase(to_ase(crystal))
    assert got.properties["note"] == "two words"
    np.testing.assert_array_equal(got.properties["forces"], crystal.properties["forces"])


def test_reads_what_others_write(crystal):
    from pymatgen.io.cif import CifWriter
    from pymatgen.io.vasp import Poscar

    structure = to_pymatgen(crystal)
    assert_same(parse_poscar(str(Poscar(structure).get_str(significant_figures=16))), crystal)
    got = parse_cif(str(CifWriter(structure, significant_figures=14)))
    np.testing.assert_allclose(got.frac_coords % 1, crystal.frac_coords % 1, atol=1e-12)
    for verbosity in (0, 1):
        assert_same(from_pymatgen_dict(structure.as_dict(verbosity=verbosity)), crystal)
    cartesian = io.StringIO()
    ase.io.write(cartesian, to_ase(crystal), format="vasp", direct=False)
    assert_same(parse_poscar(cartesian.getvalue()), crystal)


def test_pymatgen_species_with_charges():
    from pymatgen.core import Lattice, Structure

    structure = Structure(Lattice.cubic(5), ["Na+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert from_pymatgen(structure).formula == "NaCl"
    assert from_pymatgen_dict(structure.as_dict()).formula == "NaCl"
    structure.replace(0, "X")
    with pytest.raises(InvalidCrystalError, match="no element"):
        from_pymatgen(structure)


POSCARS = {
    "selective": "a\n2.0\n2 0 0\n0 2 0\n0 0 2\nNa\n1\nSelective dynamics\nDirect\n.5 .5 .5 T F T\n",
    "cartesian": "a\n2.0\n2 0 0\n0 2 0\n0 0 2\nNa\n1\nCartesian\n1 1 1\n",
    "volume": "a\n-64.0\n2 0 0\n0 2 0\n0 0 2\nNa\n1\ndirect\n.5 .5 .5\n",
    "three scales": "a\n1 2 4\n4 0 0\n0 2 0\n0 0 1\nNa\n1\ncart\n2 1 .5\n",
    "vasp 4, behind": "a\n1\n4 0 0\n0 4 0\n0 0 4\n1\nDirect\n.5 .5 .5 Na\n",
    "vasp 4, title": "Na\n1\n4 0 0\n0 4 0\n0 0 4\n1\nDirect\n.5 .5 .5\n",
    "potential names": "a\n1\n4 0 0\n0 4 0\n0 0 4\nNa_pv/e1f\n1\nDirect\n.5 .5 .5\n\n0 0 0\n",
}


@pytest.mark.parametrize("name", POSCARS)
def test_poscar_dialects(name):
    got = parse_poscar(POSCARS[name])
    np.testing.assert_allclose(got.lattice, np.eye(3) * 4, atol=1e-12)
    np.testing.assert_allclose(got.frac_coords, [[0.5, 0.5, 0.5]])
    assert got.species == ["Na"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("2.0", "x"), Reason.NO_CELL),
        (("2.0", "0"), Reason.BAD_CELL),
        (("2 0 0", "0 2 0"), Reason.BAD_CELL),
        (("\nNa\n1\n", "\nNa\n0\n"), Reason.NO_ATOMS),
        (("\nNa\n1\n", "\nNa\n2\n"), Reason.UNREADABLE),
        (("\nNa\n", "\nNa Cl\n"), Reason.UNREADABLE),
        (("\nNa\n", "\nXy\n"), Reason.UNKNOWN_ELEMENT),
        (("1 1 1", "1 1"), Reason.BAD_COORDINATES),
        (("1 1 1", "1 1 nan"), Reason.BAD_COORDINATES),
    ],
)
def test_poscar_faults(change, reason):
    with pytest.raises(InvalidCrystalError) as caught:
        parse_poscar(POSCARS["cartesian"].replace(*change))
    assert caught.value.reason == reason


def test_symmetrised_cif_is_the_same_crystal():
    from pymatgen.analysis.structure_matcher import StructureMatcher

    corners = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    coords = np.array(corners + [[x, y, z + 0.5] for x, y, z in corners])
    salt = Crystal(np.eye(3) * 5.64, coords, [11] * 4 + [17] * 4)
    text = to_cif(salt, symprec=0.01)
    assert "Fm-3m" in text.replace(" ", "")
    got = parse_cif(text)
    assert got.num_atoms == 8
    assert StructureMatcher().fit(to_pymatgen(got), to_pymatgen(salt))


@pytest.mark.parametrize("number", range(1, 231))
def test_symmetric_cif_of_every_group_reads_back_as_the_same(number):
    from crystal_data.metrics.validity import min_pair_distance
    from crystal_data.symmetry import SymmetricCrystal, wyckoff_positions

    rng = np.random.default_rng(number)
    lattice = lattice_from_parameters([6.1, 6.9, 7.7], [81.0, 95.0, 103.0])
    letters = tuple(p.letter for p in wyckoff_positions(number)[-3:])
    # Images of one atom that nearly coincide would be read as one atom on the special position.
    while True:
        symmetric = SymmetricCrystal(
            space_group_number=number,
            lattice=lattice,
            atomic_numbers=np.arange(3, 3 + len(letters)),
            wyckoff_letters=letters,
            frac_coords=rng.random((len(letters), 3)),
        )
        expected = symmetric.to_crystal()
        if min_pair_distance(expected) > 0.2:
            break
    got = parse_cif(symmetric_cif(symmetric), options=UNCHECKED)
    assert got.composition == expected.composition
    np.testing.assert_allclose(got.lattice, expected.lattice, atol=1e-6)
    for element in set(expected.atomic_numbers.tolist()):
        mine = got.frac_coords[got.atomic_numbers == element]
        theirs = expected.frac_coords[expected.atomic_numbers == element]
        delta = mine[:, None] - theirs[None]
        nearest = np.abs(delta - np.rint(delta)).max(2).min(1)
        assert nearest.max() < 1e-9


GROUPS = [2, 14, 62, 88, 122, 148, 160, 166, 176, 194, 198, 205, 216, 220, 225, 227, 230]


@pytest.mark.parametrize("number", GROUPS)
@pytest.mark.parametrize("special", [False, True])
def test_symmetry_expansion_equals_pymatgens(number, special):
    """Orbits of listed operations, against an independent expansion, general and special sites."""
    from pymatgen.core import Lattice, Structure
    from pymatgen.symmetry.groups import SpaceGroup

    group = SpaceGroup.from_int_number(number)
    a = 12.0
    lattice = {
        "triclinic": Lattice.from_parameters(9, 10, 11, 80, 95, 105),
        "monoclinic": Lattice.monoclinic(9, 10, 11, 105),
        "orthorhombic": Lattice.orthorhombic(9, 10, 11),
        "tetragonal": Lattice.tetragonal(10, 13),
        "trigonal": Lattice.hexagonal(a, 15),
        "hexagonal": Lattice.hexagonal(a, 15),
        "cubic": Lattice.cubic(16),
    }[group.crystal_system]
    sites = [[0, 0, 0]] if special else [[0.13, 0.4, 0.07]]
    expected = Structure.from_spacegroup(group.symbol, lattice, ["Fe"], sites)
    x, y, z = sites[0]
    lines = ["data_a"]
    for name, value in zip(("a", "b", "c"), lattice.lengths, strict=True):
        lines.append(f"_cell_length_{name} {value}")
    for name, value in zip(("alpha", "beta", "gamma"), lattice.angles, strict=True):
        lines.append(f"_cell_angle_{name} {value}")
    lines += ["loop_", "_space_group_symop_operation_xyz"]
    lines += [f"'{op.as_xyz_str()}'" for op in group.symmetry_ops]
    tags = ("label", "fract_x", "fract_y", "fract_z")
    lines += ["loop_", *(f"_atom_site_{tag}" for tag in tags), f"Fe1 {x} {y} {z}"]
    got = parse_cif("\n".join(lines) + "\n")
    assert got.num_atoms == len(expected)
    delta = got.frac_coords[:, None] - expected.frac_coords
    distances = np.abs(delta - np.rint(delta)).max(axis=-1)
    assert distances.min(axis=0).max() < 1e-6
    assert distances.min(axis=1).max() < 1e-6
