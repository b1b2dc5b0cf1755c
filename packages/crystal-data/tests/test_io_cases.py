"""Files that contradict themselves, or say too little: read right, read with a note, or refused.

Every kind is one that users of other programs have met. What is right is made by pymatgen from the
space group, not by our reader.
"""

from dataclasses import dataclass

import gemmi
import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice, Structure
from pymatgen.core.structure_matcher import StructureMatcher

from crystal_data.errors import InvalidCrystalError, Reason, Rejection
from crystal_data.io.cif import parse_cif
from crystal_data.io.cif.settings import number_of_schoenflies, settings_of_name
from crystal_data.io.formula import Fit, Formula, formula_text, parse_formula
from crystal_data.io.options import ReadOptions
from crystal_data.io.pymatgen import to_pymatgen
from crystal_data.io.symbols import atomic_number_of_label, elements_of_type

CUBE = (4.212, 4.212, 4.212, 90, 90, 90)
CUBIC = "_symmetry_space_group_name_H-M 'F m -3 m'"
SALT_SITES = ("Mg1 Mg 0 0 0 1", "O1 O 0.5 0.5 0.5 1")
SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(4.212), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
FULL_CELL = [
    f"{site.species_string}{i} {site.species_string} {' '.join(map(str, site.frac_coords))} 1"
    for i, site in enumerate(SALT)
]
ALL_TAGS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
LABEL_TAGS = ("label", "fract_x", "fract_y", "fract_z")
GROUP = [op.triplet() for op in gemmi.find_spacegroup_by_name("F m -3 m").operations()]
WITHOUT_CENTERING = [op.triplet() for op in gemmi.find_spacegroup_by_name("P m -3 m").operations()]

BADDELEYITE_CELL = (5.15, 5.21, 5.32, 90, 99.2, 90)
BADDELEYITE_SITES = (
    "Zr1 Zr 0.2754 0.0395 0.2083 1", "O1 O 0.07 0.3317 0.3447 1", "O2 O 0.4496 0.7569 0.4792 1"
)  # fmt: skip
BADDELEYITE = Structure(
    Lattice.from_parameters(*BADDELEYITE_CELL),
    ["Zr"] * 4 + ["O"] * 8,
    [
        image
        for x, y, z in [(0.2754, 0.0395, 0.2083), (0.07, 0.3317, 0.3447), (0.4496, 0.7569, 0.4792)]
        for image in (  # P 1 21/n 1
            (x, y, z),
            (0.5 - x, 0.5 + y, 0.5 - z),
            (-x, -y, -z),
            (0.5 + x, 0.5 - y, 0.5 + z),
        )
    ],
)
TUNGSTEN_CELL = (3.165, 3.165, 3.165, 90, 90, 90)
TUNGSTEN = Structure.from_spacegroup("Im-3m", Lattice.cubic(3.165), ["W"], [[0, 0, 0]])
CORUNDUM = Structure.from_spacegroup(
    "R-3c", Lattice.hexagonal(4.758, 12.99), ["Al", "O"], [[0, 0, 0.3522], [0.3063, 0, 0.25]]
)


def cif(
    *lines,
    formula="Mg4 O4",
    units="4",
    operations=(),
    operation_tag="_space_group_symop_operation_xyz",
    cell=CUBE,
    cell_line="_cell_{} {}",
    tags=ALL_TAGS,
    sites=SALT_SITES,
):
    """A CIF text of a header, a cell, operations and sites."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    text = ["data_case"]
    text += [f"_chemical_formula_sum '{formula}'"] if formula else []
    text += [f"_cell_formula_units_Z {units}"] if units else []
    text += lines
    text += ["loop_", operation_tag, *(f"'{one}'" for one in operations)] if operations else []
    text += [cell_line.format(name, value) for name, value in zip(names, cell, strict=True)]
    text += ["loop_", *(f"_atom_site_{tag}" for tag in tags), *sites]
    return "\n".join(text) + "\n"


@dataclass(frozen=True)
class Case:
    """A text, and the structure that it means or the reason that it is refused for."""

    name: str
    text: str
    outcome: Structure | Reason
    note: str = ""


def salt(name, text, note=""):
    return Case(name, text, SALT, note)


def zirconia(name, *lines, outcome=BADDELEYITE):
    return Case(name, cif(
        *lines, formula="Zr4 O8", cell=BADDELEYITE_CELL, sites=BADDELEYITE_SITES
    ), outcome)  # fmt: skip


def label(text, outcome=Reason.UNKNOWN_ELEMENT):
    return Case(f"label {text}", cif(
        CUBIC, tags=LABEL_TAGS, sites=("Mg1 0 0 0", f"{text} 0.5 0.5 0.5")
    ), outcome)  # fmt: skip


STALE = SALT.copy()
STALE.remove_sites([0])
PRIMITIVE = SALT.get_primitive_structure()
CASES = [
    # Operations that are missing, only the identity, or a part of the named group.
    salt("identity, group named", cif(CUBIC, operations=["x,y,z"], units="1")),
    salt("identity, group named, reduced formula", cif(
        CUBIC, operations=["x,y,z"], formula="Mg O")),
    salt("identity, whole cell", cif(
        CUBIC, operations=["x,y,z"], units="1", sites=FULL_CELL)),
    salt("no operations, whole cell", cif(CUBIC, units="", sites=FULL_CELL)),
    salt("no operations, no formula, whole cell", cif(CUBIC, formula="", sites=FULL_CELL)),
    salt("no operations, no formula", cif(CUBIC, formula="", units="")),
    salt("no operations, reduced formula without Z", cif(CUBIC, formula="Mg O", units="")),
    Case("identity, group named, no evidence", cif(
        CUBIC, operations=["x,y,z"], formula="", units=""), Reason.UNREADABLE),
    Case("identity, group named, formula fits both", cif(
        CUBIC, operations=["x,y,z"], formula="Mg O", units=""), Reason.UNREADABLE),
    Case("identity, group of another cell", cif(
        CUBIC, operations=["x,y,z"], formula="Mg O", units="1",
        cell=(2.978334, 2.978334, 2.978334, 60, 60, 60)), PRIMITIVE, "do not allow"),
    Case("displaced, group named", cif(
        CUBIC, units="1", sites=["Mg0 Mg 0 0 0.04 1", *FULL_CELL[1:]]),
        Structure(SALT.lattice, SALT.species, [[0, 0, 0.04], *SALT.frac_coords[1:]]),
        "do not have the symmetry"),
    Case("displaced, reduced formula", cif(
        CUBIC, operations=["x,y,z"], formula="Mg O", sites=["Mg0 Mg 0 0 0.04 1", *FULL_CELL[1:]]),
        Structure(SALT.lattice, SALT.species, [[0, 0, 0.04], *SALT.frac_coords[1:]]),
        "do not have the symmetry"),
    salt("operations without centering", cif(
        CUBIC, operations=WITHOUT_CENTERING), "'F m -3 m' are 192"),
    Case("operations without centering, no formula", cif(
        CUBIC, operations=WITHOUT_CENTERING, formula="", units=""), Reason.UNREADABLE),
    salt("operations cut short", cif(CUBIC, operations=GROUP[:100]), "100 operations"),
    Case("operations cut short, no group", cif(operations=GROUP[:100]), Reason.UNREADABLE),
    Case("operations that disagree with the formula", cif(
        operations=WITHOUT_CENTERING),
        Structure(SALT.lattice, ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]), "formula says Mg4 O4"),
    Case("operations of another group than named", cif(
        "_symmetry_space_group_name_H-M 'P 4/m m m'", operations=GROUP), SALT, "not those of"),
    Case("formula contradicts P 1", cif(
        "_symmetry_space_group_name_H-M 'P 1'", operations=["x,y,z"], units="1"),
        Reason.UNREADABLE),
    Case("formula contradicts, no symmetry at all", cif(), Reason.UNREADABLE),
    Case("another ratio, no symmetry at all", cif(formula="Mg4 O8"), Reason.UNREADABLE),
    Case("another ratio, group of another cell", cif(
        CUBIC, formula="Mg4 O8", cell=(4.2, 4.3, 4.4, 90, 90, 90)), Reason.BAD_CELL),
    Case("vacancy, stale formula", cif(
        "_symmetry_space_group_name_H-M 'P 1'", operations=["x,y,z"], units="1",
        sites=FULL_CELL[1:]), STALE, "the atoms are Mg3 O4, the formula says Mg4 O4"),
    Case("cut after a row", cif(
        "_symmetry_space_group_name_H-M 'P 1'", units="1", sites=FULL_CELL[:4]),
        Reason.UNREADABLE),
    Case("formula contradicts the group", cif(CUBIC, formula="Mg3 O4"), Reason.UNREADABLE),
    salt("operations, whole cell", cif(CUBIC, operations=GROUP, sites=FULL_CELL)),
    salt("operations in other words", cif(
        operations=[one.replace("+1/2", " + 0.5").upper() for one in GROUP])),
    Case("body centering left out", cif(
        "_symmetry_space_group_name_H-M 'I m -3 m'", formula="W2", units="1", cell=TUNGSTEN_CELL,
        operations=WITHOUT_CENTERING, sites=("W1 W 0 0 0 1",)), TUNGSTEN, "'I m -3 m' are 96"),
    # Names of groups.
    *[salt(tag, cif(f"{tag} '{name}'")) for tag, name in (
        ("_symmetry_space_group_name_H_M", "F m -3 m"),
        ("_space_group_name_H-M_full", "F m -3 m"),
        ("_space_group_name_H-M_full", "F 4/m -3 2/m"),
        ("_space_group.name_H-M_ref", "F m -3 m"),
        ("_space_group_name_Schoenflies", "Oh^5"),
        ("_space_group_IT_number", "225"),
        ("_space_group_name_Hall", "-F 4 2 3"),
        ("_space_group_name_H-M_alt_", "Fm3m"),
        ("_Symmetry.Space_Group_Name_H-M", "F M -3 M"),
    )],
    salt("placeholders", cif(
        "_space_group_name_H-M_alt ?", "_space_group_name_Hall ''", "_space_group_IT_number .",
        CUBIC)),
    salt("unknown name, number of one setting", cif(
        "_space_group_name_H-M_alt 'F everywhere'", "_space_group_IT_number 225")),
    Case("unknown name", cif("_space_group_name_H-M_alt 'F everywhere'"), Reason.UNREADABLE),
    Case("magnetic name", cif("_space_group_magn.name_BNS \"F m -3 m'\""), Reason.UNREADABLE),
    Case("magnetic name as Hermann-Mauguin", cif(
        "_space_group_name_H-M_alt \"F m' -3 m'\""), Reason.UNREADABLE),
    Case("superspace", cif(CUBIC, "_space_group_ssg_name 'Fm-3m(00g)'"), Reason.UNREADABLE),
    Case("modulated", cif(CUBIC, "_cell_modulation_dimension 1"), Reason.UNREADABLE),
    salt("trailing underscore", cif(
        operations=GROUP, operation_tag="_symmetry_equiv_pos_as_xyz_")),
    salt("dotted magnetic tag", cif(
        operations=[f"{one},+1" for one in GROUP],
        operation_tag="_space_group_symop.magn_operation_xyz")),
    salt("placeholder and operations", cif(
        CUBIC, "_symmetry_equiv_pos_as_xyz ?", operations=GROUP)),
    *[zirconia(name, f"_symmetry_space_group_name_H-M '{name}'", "_symmetry_Int_Tables_number 14")
      for name in ("P2(1)/n", "P 1 21/n", "P121/n1", "P 1 21/N 1", "P 21/n", "P 2_1/n",
                   "P 1 2(1)/n 1")],
    zirconia("number with several settings", "_symmetry_Int_Tables_number 14",
             outcome=Reason.UNREADABLE),
    zirconia("unknown spelling", "_symmetry_space_group_name_H-M 'P 2subONE over q'",
             "_symmetry_Int_Tables_number 14", outcome=Reason.UNREADABLE),
    *[Case(f"corundum {line}", cif(
        "_symmetry_space_group_name_H-M 'R -3 c'", formula="Al2 O3", units="6",
        cell=(4.758, 4.758, 12.99, 90, 90, 120), cell_line=line,
        sites=("Al1 Al 0 0 0.3522 1", "O1 O 0.3063 0 0.25 1")), CORUNDUM)
      for line in ("_cell_{} '{}'", "_cell.{} {}", "_cell_{} {}(2)")],
    # Labels and types.
    *map(label, ("WAT1", "WO1", "VAC1", "DUM1", "H2O1", "FeMg1", "X1", "M1", "Fe1")),
    label("Na,K1", Reason.DISORDERED),
    label("Si/Al1", Reason.DISORDERED),
    salt("a label that the formula decides", cif(
        CUBIC, tags=LABEL_TAGS, sites=("MG1 0 0 0", "O1A 0.5 0.5 0.5"))),
    Case("type of two elements", cif(
        CUBIC, sites=("M1 'Fe,Mg' 0 0 0 1", "O1 O .5 .5 .5 1")), Reason.DISORDERED),
    salt("dummies", cif(
        CUBIC, tags=("label", "type_symbol", "fract_x", "fract_y", "fract_z", "calc_flag"),
        sites=("Mg1 Mg 0 0 0 d", "O1 O 0.5 0.5 0.5 d", "H1 H -1 -1 -1 dum",
               "Cg1 . 0.25 0.25 0.25 dum")), "2 rows flagged dum"),
    salt("one element, two charges", cif(CUBIC, sites=(
        "Mg1 Mg2+ 0 0 0 0.5", "Mg2 Mg1+ 0 0 0 0.5", "O1 O2- 0.5 0.5 0.5 1")), "several charges"),
    Case("hydrogens without sites", cif(CUBIC, formula="Mg4 H4 O4"), SALT, "has hydrogen"),
    # Text.
    salt("a tag twice, once empty", cif(
        "_chemical_formula_sum ''", CUBIC, operations=GROUP)),
    salt("a tag twice with one value", cif("_cell_length_a 4.212", CUBIC)),
    salt("a tag twice in two notations", cif("_cell.length_a 4.2120", CUBIC)),
    salt("a column twice, alike", cif(
        "loop_\n_space_group_symop_operation_xyz", *(f"'{one}'" for one in GROUP),
        operations=GROUP)),
    salt("a column twice, once a placeholder", cif(
        "loop_\n_space_group_symop_operation_xyz\n?", operations=GROUP)),
    Case("a column twice with other values", cif(
        "loop_\n_space_group_symop_operation_xyz\n'x,y,z'", operations=GROUP), Reason.UNREADABLE),
    Case("a tag twice with two values", cif("_cell_length_a 4.3", CUBIC), Reason.UNREADABLE),
    salt("words without quotes", cif("_pd_phase_name MgO rock salt's supercell", CUBIC)),
    salt("a group without quotes", cif(CUBIC.replace("'", ""))),
]  # fmt: skip


def same(crystal, structure):
    matcher = StructureMatcher(
        ltol=1e-3, stol=1e-3, angle_tol=0.1, primitive_cell=False, scale=False
    )
    return len(structure) == crystal.num_atoms and matcher.fit(to_pymatgen(crystal), structure)


REFUSED = [case for case in CASES if isinstance(case.outcome, Reason)]
LONG = "C148 H124 N16 O41 S8 F12 P4 Cl8 Br4 Cu8 Zn4 Zr6"
LONG_SITES = [
    f"{word.rstrip('0123456789')}{i} {word.rstrip('0123456789')} 0 0 {i / 99} 1"
    for i, word in enumerate(LONG.split())
]
LONG_CASES = [
    Case("many elements, atoms missing", cif(
        formula=LONG, sites=LONG_SITES), Reason.UNREADABLE),
    Case("many elements, group contradicts", cif(
        "_symmetry_space_group_name_H-M 'P 4/n 21/m 2/m:2'", formula=LONG, sites=LONG_SITES,
        cell=(20, 20, 30, 90, 90, 90)), Reason.UNREADABLE),
    Case("many elements, label of none", cif(
        CUBIC, formula=LONG, tags=LABEL_TAGS, sites=("WAT1 0 0 0", "C1 .5 .5 .5")),
        Reason.UNKNOWN_ELEMENT),
    Case("long unknown group", cif(
        f"_space_group_name_H-M_alt '{'F everywhere ' * 20}'"), Reason.UNREADABLE),
    Case("many settings", cif(
        "_symmetry_Int_Tables_number 15", formula="", units="", cell=(5, 6, 7, 90, 104, 90),
        sites=("Mg1 Mg 0.11 0.21 0.32 1",)), Reason.UNREADABLE),
]  # fmt: skip


@pytest.mark.parametrize("case", [*REFUSED, *LONG_CASES], ids=lambda case: case.name)
def test_the_remedy_is_not_cut_off(case):
    """The detail of a refusal is one line of ``rejected.csv``, which is cut at 200 characters."""
    with pytest.raises(InvalidCrystalError) as caught:
        parse_cif(case.text, "case")
    detail = caught.value.detail
    assert len(detail) <= 200
    row = Rejection("case", "case.cif", "read", caught.value.reason, detail)
    assert row.detail == detail
    remedies = ("add", "complete", "correct", "remove", "convert", "list")
    assert detail.rpartition("; ")[2].split()[0] in remedies
    assert caught.value.reason == case.outcome


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case):
    if isinstance(case.outcome, Reason):
        with pytest.raises(InvalidCrystalError) as caught:
            parse_cif(case.text, "case")
        assert caught.value.reason == case.outcome
        return
    crystal = parse_cif(case.text, "case")
    assert same(crystal, case.outcome)
    assert case.note in "; ".join(crystal.notes)
    assert bool(case.note) == bool(crystal.notes)


def test_a_label_of_several_elements_is_read_by_the_formula():
    text = cif(
        "_symmetry_space_group_name_H-M 'P 1'", formula="Ca1 C1 O3", units="1",
        cell=(6, 6, 6, 90, 90, 90), tags=LABEL_TAGS,
        sites=("CA1 0 0 0", "C1 .5 .5 .5", "O1 .5 .5 .2", "O2 .5 .2 .5", "O3 .2 .5 .5"),
    )  # fmt: skip
    assert parse_cif(text).composition == {"Ca": 1, "C": 1, "O": 3}
    assert "labels were read" in parse_cif(text).notes[0]
    with pytest.raises(InvalidCrystalError, match="CA1"):
        parse_cif(text.replace("Ca1 C1 O3", "Ca C O3 N2"))


def test_overlap_names_the_atoms_of_the_file():
    near = cif(
        CUBIC, formula="", sites=("Mg1 Mg 0 0 0 1", "O1 O 0.5 0.5 0.5 1", "O2 O .5 .5 .45 1")
    )
    with pytest.raises(InvalidCrystalError, match=r"O1 \(row 2 of the atoms\) and O2 \(row 3"):
        parse_cif(near)
    beside_axis = cif(CUBIC, formula="", sites=("Mg1 Mg 0 0 0 1", "O1 O 0.5 0.5 0.46 1"))
    with pytest.raises(InvalidCrystalError, match=r"O1 \(row 2 .*\) and an image of O1 \(row 2"):
        parse_cif(beside_axis)


def test_on_formula_note_reads_what_the_formula_contradicts():
    text = cif("_symmetry_space_group_name_H-M 'P 1'", operations=["x,y,z"], units="1")
    crystal = parse_cif(text, options=ReadOptions(on_formula="note"))
    assert crystal.formula == "MgO"
    assert crystal.notes == ("the atoms are Mg1 O1, the formula says Mg4 O4 (Z = 1)",)
    contradicts_group = cif(CUBIC, formula="Mg3 O4")
    assert same(parse_cif(contradicts_group, options=ReadOptions(on_formula="note")), SALT)
    with pytest.raises(ValueError, match="on_formula is 'ignore'"):
        ReadOptions(on_formula="ignore")


def test_half_of_the_named_operations_gives_way_to_the_formula_units():
    text = cif(
        "_symmetry_space_group_name_H-M 'P 1 21/n 1'", operations=["x,y,z", "-x,-y,-z"],
        formula="Zr2 O4", units="2", cell=BADDELEYITE_CELL, sites=BADDELEYITE_SITES,
    )  # fmt: skip
    crystal = parse_cif(text)
    assert same(crystal, BADDELEYITE)
    assert "those of the named group 'P 1 21/n 1' are 4, and make the formula" in crystal.notes[0]
    # Without the number of formula units the operations are trusted, as any group.
    assert parse_cif(text.replace("_cell_formula_units_Z 2", "")).num_atoms == 6


def test_one_of_several_formula_units_is_no_cell_unless_p1_is_stated():
    sites = {"cell": BADDELEYITE_CELL, "sites": BADDELEYITE_SITES}
    with pytest.raises(
        InvalidCrystalError, match="atoms or symmetry are missing; add _space_group"
    ):
        parse_cif(cif(formula="Zr O2", units="4", **sites))
    assert parse_cif(cif(formula="Zr O2", units="", **sites)).num_atoms == 3
    stated = cif("_symmetry_space_group_name_H-M 'P 1'", formula="Zr O2", units="4", **sites)
    assert parse_cif(stated).num_atoms == 3
    # Z divides the amounts of a sum that is the cell's content.
    assert parse_cif(cif(formula="Mg4 O4", units="4", sites=FULL_CELL)).num_atoms == 8


@pytest.mark.parametrize("choice", [1, 2])
def test_two_origins_are_told_apart_by_the_formula(choice):
    group = gemmi.find_spacegroup_by_name(f"F d -3 m:{choice}")
    x = 0.0 if choice == 1 else 0.125
    text = cif(
        "_symmetry_space_group_name_H-M 'F d -3 m'", formula="C8", units="1",
        cell=(3.567, 3.567, 3.567, 90, 90, 90), sites=(f"C1 C {x} {x} {x} 1",),
    )  # fmt: skip
    diamond = Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.567), ["C"], [[0, 0, 0]])
    assert len(group.operations()) == 192
    assert same(parse_cif(text), diamond)
    assert group.xhm() in parse_cif(text).notes[0]


@pytest.mark.parametrize(("axis", "cell"), [
    ("b", (5, 6, 7, 90, 99, 90)), ("c", (5, 6, 7, 90, 90, 99)), ("a", (5, 6, 7, 99, 90, 90)),
    ("b", (5, 6, 7, 90, 90, 90)),
])  # fmt: skip
def test_short_monoclinic_symbols_take_the_axis_of_the_cell(axis, cell):
    text = cif(
        "_symmetry_space_group_name_H-M 'P 2'", formula="Li2", units="1", cell=cell,
        sites=("Li1 Li 0.1 0.2 0.3 1",),
    )  # fmt: skip
    first, second = parse_cif(text).frac_coords
    kept = np.isclose((first - second) % 1.0, 0.0)
    assert kept.tolist() == [axis == one for one in "abc"]


@pytest.mark.filterwarnings("ignore:.*OLD_ERROR_HANDLING:DeprecationWarning")
def test_every_setting_is_found_by_its_names():
    for group in gemmi.spacegroup_table():
        assert group.xhm() in {one.name for one in settings_of_name(group.xhm())}
        assert {one.number for one in settings_of_name(group.hm.lower())} == {group.number}
        joined = group.hm.replace(" ", "").upper()
        assert {one.number for one in settings_of_name(joined)} == {group.number}
    for hall_number in range(1, 531):
        about = spglib.get_spacegroup_type(hall_number)
        for name in (about.international_full, about.international_short):
            assert {one.number for one in settings_of_name(name)} == {about.number}, name
        assert number_of_schoenflies(about.schoenflies) == about.number


@pytest.mark.parametrize(("name", "settings"), [
    ("F d -3 m S", ["F d -3 m:1"]), ("F d -3 m Z", ["F d -3 m:2"]), ("Fd-3mZ", ["F d -3 m:2"]),
    ("F d -3 m :2", ["F d -3 m:2"]), ("F d -3 m (origin choice 1)", ["F d -3 m:1"]),
    ("F d 3 m", ["F d -3 m:1", "F d -3 m:2"]), ("F m -3 m Z", ["F m -3 m"]),
    ("R -3 m H", ["R -3 m:H"]), ("R-3mR", ["R -3 m:R"]), ("H -3 m", ["R -3 m:H"]),
    ("C m c e", ["C m c a"]), ("C m m e", ["C m m a"]), ("A e a 2", ["A b a 2"]),
    ("P_m_-3_m", ["P m -3 m"]), ("b_m_a_b", ["B m a b"]), ("P_1_21/c_1", ["P 1 21/c 1"]),
    ("F_d_-3_m_:1", ["F d -3 m:1"]), ("R_-3_m_H", ["R -3 m:H"]), ("P_4", ["P 4"]), ("C_c m", []),
    ("C_c_2/c", []), ("P_c2/m", []), ("P_I4/mmm", []),
    ("P 4/m m'm'", []), ("P 2subONE over q", []), ("", []),
])  # fmt: skip
def test_spellings(name, settings):
    assert [one.name for one in settings_of_name(name)] == settings


@pytest.mark.parametrize(("text", "amounts"), [
    ("Mg4 O4", {12: 4, 8: 4}), ("Mg4O4", {12: 4, 8: 4}), ("C2 H4 O2 1-", {6: 2, 1: 4, 8: 2}),
    ("Li D", {3: 1, 1: 1}), ("H1 D1 T1 O1", {1: 3, 8: 1}), ("Fe0.5 Mg1.5(2) O2",
     {26: 0.5, 12: 1.5, 8: 2}), ("Na0.8CoO2", {11: 0.8, 27: 1, 8: 2}), ("Fe3+ O2-", {26: 1, 8: 1}),
    ("Ca3 Co2 -x Mn x O6", {}), ("(Mg,Fe)2 O4", {}), ("FE2 O3", {}), ("CO1 O1", {}), ("Mg? O", {}),
    ("", {}), ("Q2 O", {}),
])  # fmt: skip
def test_formulas(text, amounts):
    assert parse_formula(text) == amounts


@pytest.mark.parametrize(("units", "found", "fit"), [
    (4, {12: 4, 8: 4}, Fit.EXACT), (4, {12: 1, 8: 1}, Fit.MULTIPLE), (4, {12: 2, 8: 2}, 0),
    (0, {12: 3, 8: 3}, Fit.MULTIPLE), (0, {12: 1.5, 8: 1.5}, 0), (4, {12: 4, 8: 3}, 0),
    (4, {12: 4, 8: 3.95}, Fit.EXACT), (4, {12: 4, 8: 4, 1: 1}, 0), (0, {12: 0.5, 8: 0.5}, 0),
])  # fmt: skip
def test_fit_of_a_formula(units, found, fit):
    assert Formula({12: 1.0, 8: 1.0}, units).fit(found) == fit
    assert Formula({}, units).fit(found) == Fit.NO_EVIDENCE


def test_formula_text():
    assert formula_text({8: 4.0, 12: 3.5}) == "Mg3.5 O4"


@pytest.mark.parametrize(("label_text", "number"), [
    ("Na1", 11), ("CaM1", 20), ("Cl1A", 17), ("OH2", 8), ("Ow1", 8), ("OXT", 0), ("CB1", 0),
    ("HA", 1), ("NZ", 7), ("C1B", 6), ("C12", 6), ("O1_2", 8), ("Fe(1)", 26), ("CA1", 0),
    ("NA1", 0), ("MG1", 12), ("T1", 0), ("D1", 1), ("H2O1", 0), ("H1N2", 0), ("NaK1", 0),
    ("Fe0.5Mg0.5", 0), ("Fe_Mg1", 0), ("wat", 0), ("", 0), ("1Na", 0),
])  # fmt: skip
def test_labels_alone(label_text, number):
    assert atomic_number_of_label(label_text) == number


@pytest.mark.parametrize(("symbol", "numbers"), [
    ("Fe3+", (26,)), ("Fe,Mg", (26, 12)), ("Fe2+,Fe3+", (26,)), ("Na+K", (11, 19)),
    ("Fe/Mg", (26, 12)), ("OH", ()), ("X", ()), ("Wat", ()), ("D", (1,)),
])  # fmt: skip
def test_types(symbol, numbers):
    assert elements_of_type(symbol) == numbers
