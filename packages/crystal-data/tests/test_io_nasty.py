"""Files as they come: each is read, or turned down for the right reason; nothing else happens."""

import gzip
import json
import zipfile
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pytest

from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.cif import parse_cif
from crystal_data.io.read import read_crystals
from crystal_data.io.rejected import read_rejected, write_rejected


def cif_text(
    cell="5.64 5.64 5.64 90 90 90",
    atoms=("Na 0 0 0 1", "Cl 0.5 0.5 0.5 1"),
    *,
    name="x",
    extra="",
    tags=("type_symbol", "fract_x", "fract_y", "fract_z", "occupancy"),
    operations=("x,y,z",),
):
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [f"data_{name}", *(f"_cell_{n} {v}" for n, v in zip(names, cell.split(), strict=True))]
    lines += [extra] if extra else []
    if operations:
        lines += ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{op}'" for op in operations)]
    lines += ["loop_", *(f"_atom_site_{tag}" for tag in tags), *atoms]
    return "\n".join(lines) + "\n"


GOOD = cif_text()
NO_CELL = "\n".join(line for line in GOOD.splitlines() if "_cell" not in line) + "\n"
SPLIT_AT_SITES = cif_text(atoms=("Na 0 0 0 0.6", "K 0 0 0 0.4", "Cl 0.5 0.5 0.5 1"))
POSCAR = "NaCl\n1.0\n5.64 0 0\n0 5.64 0\n0 0 5.64\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
FCC = ["x,y,z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "x+1/2,y+1/2,z"]
LONG = cif_text(extra="_chemical_formula_sum 'Na4 Cl4'", atoms=[
    *(f"Na {x} 1" for x in ("0 0 0", "0 0.5 0.5", "0.5 0 0.5", "0.5 0.5 0")),
    *(f"Cl {x} 1" for x in ("0.5 0 0", "0.5 0.5 0.5", "0 0 0.5", "0 0.5 0")),
])  # fmt: skip


def zipped():
    data = BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a.cif", GOOD)
    return data.getvalue()


@dataclass(frozen=True)
class Nasty:
    """A file and what must become of it: formulas of its structures, or a reason."""

    file: str
    content: str | bytes
    outcome: tuple[str, ...] | Reason


NASTY = [
    # Odd, and to be read.
    Nasty("windows.cif", GOOD.replace("\n", "\r\n"), ("NaCl",)),
    Nasty("old-mac.cif", GOOD.replace("\n", "\r"), ("NaCl",)),
    Nasty("utf16.cif", GOOD.encode("utf-16"), ("NaCl",)),
    Nasty("utf16-big-endian-no-mark.cif", GOOD.encode("utf-16-be"), ("NaCl",)),
    Nasty("utf8-mark.cif", b"\xef\xbb\xbf" + GOOD.encode(), ("NaCl",)),
    Nasty("latin1.cif", cif_text(extra="_publ_author_name 'Ångström'").encode("latin-1"),
          ("NaCl",)),
    Nasty("origin-by-formula.cif", cif_text(operations=(), atoms=("Si 0.125 0.125 0.125 1",),
          extra="_symmetry_space_group_name_H-M 'F d -3 m'\n_chemical_formula_sum Si\n"
                "_cell_formula_units_Z 8"), ("Si",)),
    Nasty("uncertainties.cif", cif_text(
        "5.640(1) 5.640(1) 5.640(1) 90.0 90.0 90.0",
        ("Na 0.0000 0.000 0.000 1", "Cl 0.5000(12) 0.5000(3) 0.5 1.00(1)")), ("NaCl",)),
    Nasty("charges.cif", cif_text(atoms=("Na1+ 0 0 0 1", "Cl- 0.5 0.5 0.5 1")), ("NaCl",)),
    Nasty("iron-oxide.cif", cif_text(atoms=("Fe3+ 0 0 0 1", "'O2-' 0.5 0.5 0.5 1")), ("FeO",)),
    Nasty("capitals.cif", cif_text(atoms=("NA 0 0 0 1", "CL 0.5 0.5 0.5 1")), ("NaCl",)),
    Nasty("deuterium.cif", cif_text(atoms=("Li 0 0 0 1", "D 0.5 0.5 0.5 1")), ("LiH",)),
    Nasty("labels-only.cif", cif_text(
        tags=("label", "fract_x", "fract_y", "fract_z", "occupancy"),
        atoms=("Na1 0 0 0 1", "Cl1A 0.5 0.5 0.5 1")), ("NaCl",)),
    Nasty("two-blocks.cif", GOOD + cif_text(name="y", atoms=("Si 0 0 0 1",)), ("NaCl", "Si")),
    Nasty("header-block.cif", "data_global\n_publ_section_title 'a'\n" + GOOD, ("NaCl",)),
    Nasty("same-block-names.cif", GOOD + GOOD, ("NaCl", "NaCl")),
    Nasty("thin.cif", cif_text("2.5 30 60 90 90 90", ("C 0 0 0 1", "C 0.4 0.02 0 1")), ("C",)),
    Nasty("skewed.cif", cif_text("4 9 12 30 29 25", ("Si 0 0 0 1",)), ("Si",)),
    Nasty("isolated.cif", cif_text("40 40 40 90 90 90", ("He 0.5 0.5 0.5 1",)), ("He",)),
    Nasty("núñez – ионы.cif", GOOD, ("NaCl",)),
    Nasty("far-images.cif", cif_text(atoms=("Na -7 3 0 1", "Cl 0.5 12.5 0.5 1")), ("NaCl",)),
    Nasty("centred.cif", cif_text(operations=FCC), ("NaCl",)),
    Nasty("third.cif", cif_text("3 3 5 90 90 120", ("C 0.3333 0.6667 0.25 1",), operations=(
        "x,y,z", "-y,x-y,z", "-x+y,-x,z")), ("C",)),
    Nasty("group-name.cif", cif_text(
        operations=(), extra="_symmetry_space_group_name_H-M 'F m -3 m'"), ("NaCl",)),
    Nasty("group-number-of-5000-digits.cif", cif_text(
        extra=f"_space_group_IT_number {'9' * 5000}"), ("NaCl",)),
    Nasty("group-number.cif", cif_text(operations=(), extra="_space_group_IT_number 225"),
          ("NaCl",)),
    Nasty("empty-site.cif", cif_text(atoms=("Na 0 0 0 1", "Cl .5 .5 .5 1", "K .2 .2 .2 0")),
          ("NaCl",)),
    Nasty("unknown-occupancy.cif", cif_text(atoms=("Na 0 0 0 ?", "Cl 0.5 0.5 0.5 .")), ("NaCl",)),
    Nasty("really-poscar.cif", POSCAR, ("NaCl",)),
    Nasty("really-cif.vasp", GOOD, ("NaCl",)),
    Nasty("POSCAR_scaled", POSCAR.replace("1.0\n", "-179.4\n", 1), ("NaCl",)),
    Nasty("packed.cif.gz", gzip.compress(GOOD.encode()), ("NaCl",)),
    Nasty("magnetic.mcif", cif_text(operations=()).replace(
        "loop_", "loop_\n_space_group_symop_magn_operation_xyz\nx,y,z,+1\nloop_"), ("NaCl",)),
    # Not to be used.
    Nasty("no-cell.cif", NO_CELL, Reason.NO_CELL),
    Nasty("no-atoms.cif", GOOD[: GOOD.index("loop_\n_atom")], Reason.NO_ATOMS),
    Nasty("no-rows.cif", cif_text(atoms=()), Reason.NO_ATOMS),
    Nasty("all-empty.cif", cif_text(atoms=("Na 0 0 0 0",)), Reason.NO_ATOMS),
    Nasty("flat.cif", cif_text("5 5 5 120 120 120"), Reason.BAD_CELL),
    Nasty("impossible-angles.cif", cif_text("5 5 5 30 30 100"), Reason.BAD_CELL),
    Nasty("straight-angle.cif", cif_text("5 5 5 90 90 180"), Reason.BAD_CELL),
    Nasty("zero-length.cif", cif_text("5 0 5 90 90 90"), Reason.BAD_CELL),
    Nasty("negative-length.cif", cif_text("5 -5 5 90 90 90"), Reason.BAD_CELL),
    Nasty("unknown-length.cif", cif_text("5 ? 5 90 90 90"), Reason.NO_CELL),
    Nasty("huge-length.cif", cif_text("5 1e200 5 90 90 90"), Reason.BAD_CELL),
    Nasty("wrong-symmetry.cif", cif_text("5 6 7 90 90 90", operations=(
        "x,y,z", "z,x,y", "y,z,x")), Reason.BAD_CELL),
    Nasty("nan.cif", cif_text(atoms=("Na 0 0 nan 1",)), Reason.BAD_COORDINATES),
    Nasty("unknown-coordinate.cif", cif_text(atoms=("Na 0 ? 0 1",)), Reason.BAD_COORDINATES),
    Nasty("dot-coordinate.cif", cif_text(atoms=("Na 0 0 . 1",)), Reason.BAD_COORDINATES),
    Nasty("infinite.cif", cif_text(atoms=("Na inf 0 0 1",)), Reason.BAD_COORDINATES),
    Nasty("no-z.cif", cif_text(tags=("type_symbol", "fract_x", "fract_y"), atoms=("Na 0 0",)),
          Reason.BAD_COORDINATES),
    Nasty("overlap.cif", cif_text(atoms=("Na 0 0 0 1", "Cl 0.02 0 0 1")),
          Reason.OVERLAPPING_ATOMS),
    Nasty("overlap-through-image.cif", cif_text(atoms=("Na 0.01 0 0 1", "Cl 0.99 0 0 1")),
          Reason.OVERLAPPING_ATOMS),
    Nasty("too-short.cif", cif_text("0.4 8 8 90 90 90", ("Na 0 0 0 1",)),
          Reason.OVERLAPPING_ATOMS),
    Nasty("short-diagonal.cif", cif_text("5 5.1 40 90 90 3", ("Na 0 0 0 1",)),
          Reason.OVERLAPPING_ATOMS),
    Nasty("dummy.cif", cif_text(atoms=("Na 0 0 0 1", "X 0.5 0.5 0.5 1")), Reason.UNKNOWN_ELEMENT),
    Nasty("hydroxide.cif", cif_text(atoms=("Na 0 0 0 1", "OH 0.5 0.5 0.5 1")),
          Reason.UNKNOWN_ELEMENT),
    Nasty("ambiguous-label.cif", cif_text(
        tags=("label", "fract_x", "fract_y", "fract_z"), atoms=("CA1 0 0 0",)),
        Reason.UNKNOWN_ELEMENT),
    Nasty("disordered.cif", SPLIT_AT_SITES, Reason.DISORDERED),
    Nasty("overfull.cif", SPLIT_AT_SITES.replace("0.6", "0.9"), Reason.BAD_VALUE),
    Nasty("negative-occupancy.cif", cif_text(atoms=("Na 0 0 0 -1",)), Reason.BAD_VALUE),
    Nasty("cut-in-row.cif", GOOD[:-8], Reason.UNREADABLE),
    Nasty("cut-after-row.cif", LONG[: LONG.rindex("Cl") - 1], Reason.UNREADABLE),
    Nasty("cut-in-quote.cif", GOOD[: GOOD.index("x,y,z") + 2], Reason.UNREADABLE),
    Nasty("half-a-group.cif", cif_text(operations=FCC[:3]), Reason.UNREADABLE),
    Nasty("no-such-group.cif", cif_text(
        operations=(), extra="_symmetry_space_group_name_H-M 'F m -9 m'"), Reason.UNREADABLE),
    Nasty("two-origins.cif", cif_text(
        operations=(), extra="_symmetry_space_group_name_H-M 'F d -3 m'"), Reason.UNREADABLE),
    Nasty("tiny-length.cif", cif_text("1e-308 5 5 90 90 90", operations=(),
          extra="_space_group_IT_number 225"), Reason.BAD_CELL),
    Nasty("overflowing-length.cif", cif_text("1e308 5 5 90 90 90", ("Na 0 0 0 0.5",)),
          Reason.BAD_CELL),
    Nasty("overflowing-coordinate.cif", cif_text(atoms=("Na 1e308 0 0 1", "Cl 1e308 0 0 1")),
          Reason.BAD_COORDINATES),
    Nasty("one-x-for-all.cif", cif_text(extra="_atom_site_fract_x 0",
          tags=("type_symbol", "fract_y", "fract_z", "occupancy"),
          atoms=("Na 0 0 1", "Cl 0.5 0.5 1")), Reason.BAD_COORDINATES),
    Nasty("tiny-cell.vasp", POSCAR.replace("1.0", "-179").replace("0 0 5.64", "0 0 1e-308"),
          Reason.BAD_CELL),
    Nasty("twice-the-same-tag.cif", GOOD.replace("_cell_length_a 5.64", "_cell_length_b 5.65"),
          Reason.UNREADABLE),
    Nasty("empty.cif", b"", Reason.EMPTY),
    Nasty("blank.cif", " \r\n\n\t", Reason.EMPTY),
    Nasty("remark.cif", "# nothing yet\n", Reason.EMPTY),
    Nasty("binary.cif", bytes(range(256)) * 8, Reason.UNREADABLE),
    Nasty("page.cif", "<!DOCTYPE html><html><body>404</body></html>", Reason.UNREADABLE),
    Nasty("archive.cif", zipped(), Reason.UNREADABLE),
    Nasty("prose.cif", "Dear colleague,\nthe structure is attached.\n", Reason.UNREADABLE),
    Nasty("cut.json", '{"lattice": {"matrix": [[1, 0', Reason.UNREADABLE),
    Nasty("number.json", "[3]", Reason.UNREADABLE),
    Nasty("table.json", json.dumps({"H": [0, 1]}), Reason.NO_CELL),
    Nasty("cut.vasp", POSCAR[:-14], Reason.UNREADABLE),
    Nasty("vasp4.vasp", POSCAR.replace("Na Cl\n", ""), Reason.UNKNOWN_ELEMENT),
    Nasty("molecule.xyz", "1\nwater\nO 0 0 0\n", Reason.NO_CELL),
    Nasty("cut.extxyz", '5\nLattice="5 0 0 0 5 0 0 0 5"\nO 0 0 0\n', Reason.UNREADABLE),
    Nasty("broken.cif.gz", gzip.compress(GOOD.encode())[:-12], Reason.UNREADABLE),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for nasty in NASTY:
        content = nasty.content
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / nasty.file).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize("nasty", NASTY, ids=lambda nasty: nasty.file)
def test_outcome(nasty, tmp_path):
    path = tmp_path / nasty.file
    content = nasty.content
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = read_crystals(path)
    if isinstance(nasty.outcome, Reason):
        assert [rejection.reason for rejection in result.rejected] == [nasty.outcome]
        assert not result.crystals
        assert result.rejected[0].file == str(path)
        assert result.rejected[0].identifier == nasty.file.split(".")[0]
        with pytest.raises(InvalidCrystalError, match=r"pass on_invalid='skip'"):
            read_crystals(path, on_invalid="error")
    else:
        assert not result.rejected
        assert tuple(crystal.formula for crystal in result.crystals) == nasty.outcome


def test_nothing_is_lost(folder, tmp_path_factory):
    result = read_crystals(folder)
    assert not result.ignored
    assert len(result.rejected) == sum(isinstance(nasty.outcome, Reason) for nasty in NASTY)
    assert len(result.crystals) == sum(
        len(nasty.outcome) for nasty in NASTY if not isinstance(nasty.outcome, Reason)
    )
    path = tmp_path_factory.mktemp("table") / "rejected.csv"
    assert write_rejected(path, result.rejected) == len(result.rejected)
    assert read_rejected(path) == result.rejected


def test_details():
    assert len(NASTY) >= 25
    blocks = read_names(GOOD + cif_text(name="y", atoms=("Si 0 0 0 1",)))
    assert blocks == ["a#x", "a#y"]
    assert read_names(GOOD + GOOD) == ["a#x", "a#x-2"]
    heavy = parse_cif(cif_text(atoms=("Li 0 0 0 1", "D+ 0.5 0.5 0.5 1")))
    assert heavy.notes == ("deuterium or tritium counts as hydrogen, in 1 listed sites",)
    assert parse_cif(cif_text(operations=FCC)).num_atoms == 8
    third = next(nasty for nasty in NASTY if nasty.file == "third.cif")
    np.testing.assert_allclose(
        parse_cif(third.content).frac_coords, [[1 / 3, 2 / 3, 0.25]], atol=1e-12
    )


def read_names(text):
    from crystal_data.io.cif import split_cif

    return [name for name, _ in split_cif(text, "a")]
