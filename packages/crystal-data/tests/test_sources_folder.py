"""Folders of the user's own: CGCNN's, ALIGNN's, and files alone."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from crystal_data.errors import Reason, Rejection
from crystal_data.io import Record
from crystal_data.io.parse import parse_record
from crystal_data.io.pymatgen import to_json
from crystal_data.sources import FolderSource
from crystal_data.store import open_store

CIF = """data_{name}
_cell_length_a   4.1
_cell_length_b   4.1
_cell_length_c   4.1
_cell_angle_alpha   90
_cell_angle_beta   90
_cell_angle_gamma   90
loop_
 _atom_site_type_symbol
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
  Cs  0.0  0.0  0.0
  Cl  0.5  0.5  0.5
"""
POSCAR = """CsCl
1.0
4.1 0 0
0 4.1 0
0 0 4.1
Cs Cl
1 1
direct
0 0 0
0.5 0.5 0.5
"""
FRAME = """2
Lattice="4.1 0 0 0 4.1 0 0 0 4.1" Properties=species:S:1:pos:R:3:forces:R:3 {info} pbc="T T T"
Cs 0 0 0 0.1 0 0
Cl 2.05 2.05 2.05 -0.1 0 0
"""


@pytest.fixture(autouse=True)
def _homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("a", "b", "ü"):
        (folder / f"{name}.cif").write_text(CIF.format(name=name))
    return folder


def table(folder: Path, *rows: str) -> None:
    (folder / "id_prop.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def split_up(source: FolderSource) -> tuple[list[Record], list[Rejection]]:
    items = list(source.records())
    records = [item for item in items if isinstance(item, Record)]
    return records, [item for item in items if isinstance(item, Rejection)]


def test_cgcnn_folder(folder: Path) -> None:
    table(folder, "b,2.5", "a,-1", "ü,")
    records, rejected = split_up(FolderSource(folder))
    assert not rejected
    assert [r.identifier for r in records] == ["b", "a", "ü"]
    assert [r.properties["target"] for r in records][:2] == [2.5, -1.0]
    assert np.isnan(records[2].properties["target"])  # type: ignore[arg-type]
    assert all(parse_record(r).formula == "CsCl" for r in records)
    assert records[0].file == str(folder / "b.cif")


def test_alignn_folder_with_several_targets_and_formats(folder: Path) -> None:
    (folder / "POSCAR-JVASP-1.vasp").write_text(POSCAR)
    (folder / "POSCAR-2").write_text(POSCAR)
    (folder / "c.xyz").write_text(FRAME.format(info=""))
    table(folder, "POSCAR-JVASP-1.vasp,0.0,1", "POSCAR-2,1.0,2", "a.cif,2.0,3", "c.xyz,3.0,4")
    records, rejected = split_up(FolderSource(folder))
    assert not rejected
    assert [r.identifier for r in records] == ["POSCAR-JVASP-1", "POSCAR-2", "a", "c"]
    assert [r.properties["target_1"] for r in records] == [1.0, 2.0, 3.0, 4.0]
    assert all(parse_record(r).formula == "CsCl" for r in records)
    named, _ = split_up(FolderSource(folder, targets=["gap", "energy"]))
    assert named[0].properties == {"gap": 0.0, "energy": 1.0}


def test_header_is_taken_where_its_cells_are_no_numbers(folder: Path) -> None:
    table(folder, "id,gap,phase", "a,1.0,cubic", "b,2.0,cubic")
    records, _ = split_up(FolderSource(folder))
    assert [r.properties for r in records] == [
        {"gap": 1.0, "phase": "cubic"},
        {"gap": 2.0, "phase": "cubic"},
    ]


def test_what_cannot_be_used_is_rejected_with_a_reason(folder: Path) -> None:
    table(folder, "a,1.0", "absent,2.0", "b,much", "a,3.0", "ü,4.0")
    records, rejected = split_up(FolderSource(folder))
    assert [r.identifier for r in records] == ["a", "ü"]
    assert [(r.identifier, r.reason) for r in rejected] == [
        ("absent", Reason.MISSING_FILE),
        ("b", Reason.BAD_VALUE),
        ("a", Reason.DUPLICATE_IDENTIFIER),
    ]
    assert rejected[0].detail.startswith("the folder has no file absent, also not with .cif,")
    assert rejected[0].file.endswith("id_prop.csv:2")
    assert "'much'" in rejected[1].detail


def test_files_alone_have_no_targets(folder: Path) -> None:
    (folder / "notes.txt").write_text("not a structure")
    (folder / "broken.cif").write_bytes(b"\x00\x01\x02 binary")
    (folder / "two.cif").write_text(CIF.format(name="x") + CIF.format(name="y"))
    records, rejected = split_up(FolderSource(folder))
    assert [r.identifier for r in records] == ["a", "b", "two#x", "two#y", "ü"]
    assert all(not r.properties for r in records)
    assert [(r.identifier, r.reason) for r in rejected] == [("broken", Reason.UNREADABLE)]


def test_extxyz_frames_with_properties_and_ids(tmp_path: Path) -> None:
    path = tmp_path / "run.extxyz"
    path.write_text(
        FRAME.format(info="energy=-3.5 id=x-1 gap=1.0 phase=cubic")
        + FRAME.format(info="energy=-3.0 id=x-2 gap=2.0 phase=cubic")
    )
    records, rejected = split_up(FolderSource(path))
    assert not rejected
    assert [r.identifier for r in records] == ["x-1", "x-2"]
    assert records[0].properties["energy"] == -3.5
    assert records[1].properties["gap"] == 2.0
    assert records[1].properties["phase"] == "cubic"
    np.testing.assert_allclose(records[0].properties["forces"], [[0.1, 0, 0], [-0.1, 0, 0]])
    np.testing.assert_allclose(parse_record(records[0]).frac_coords[1], [0.5] * 3, atol=1e-12)


def test_extxyz_without_cell_is_rejected_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.xyz"
    path.write_text(FRAME.format(info="") + "1\nno cell\nH 0 0 0\n")
    records, rejected = split_up(FolderSource(path))
    assert [r.identifier for r in records] == ["run#0"]
    assert [(r.identifier, r.reason) for r in rejected] == [("run#1", Reason.NO_CELL)]


def test_packed_misnamed_and_several_in_one_file(folder: Path) -> None:
    with gzip.open(folder / "p.cif.gz", "wt") as file:
        file.write(CIF.format(name="p"))
    (folder / "q.vasp").write_text(CIF.format(name="q"))
    crystal = parse_record(Record("x", CIF.format(name="x")))
    (folder / "r.jsonl").write_text(f"{to_json(crystal)}\n{to_json(crystal)}\n")
    records, rejected = split_up(FolderSource(folder))
    assert [r.identifier for r in records] == ["a", "b", "p", "q", "x", "ü"]
    assert [(r.identifier, r.reason) for r in rejected] == [("x", Reason.DUPLICATE_IDENTIFIER)]
    table(folder, "p,1.0", "q.vasp,2.0", "r,3.0")
    records, rejected = split_up(FolderSource(folder))
    assert not rejected
    assert [r.identifier for r in records] == ["p", "q", "r#0", "r#1"]
    assert [r.properties["target"] for r in records] == [1.0, 2.0, 3.0, 3.0]


def test_values_of_atoms_and_of_frames_have_one_form_whatever_the_number_of_atoms(
    tmp_path: Path,
) -> None:
    cell = 'Lattice="6 0 0 0 6 0 0 0 6" Properties=species:S:1:pos:R:3:layer:R:1'
    stress = 'stress="1 2 3 2 4 5 3 5 6"'
    frames = [
        f"{n}\n{cell} {stress}\n" + "".join(f"H {2 * i} 0 0 {i}\n" for i in range(n))
        for n in (1, 2, 3)
    ]
    path = tmp_path / "run.extxyz"
    path.write_text("".join(frames))
    records, rejected = split_up(FolderSource(path))
    assert not rejected
    shapes = [(np.shape(r.properties["layer"]), np.shape(r.properties["stress"])) for r in records]
    assert [layer for layer, _ in shapes] == [(1, 1), (2, 1), (3, 1)]
    assert len({stress for _, stress in shapes}) == 1
    store = open_store(FolderSource(path), cache=tmp_path, num_workers=0)
    assert store.kind("layer") == "per_atom"
    assert store.kind("stress") == "vector"


def test_a_folder_for_each_split(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "held_out"
    other.mkdir()
    (other / "z.cif").write_text(CIF.format(name="z"))
    records, _ = split_up(FolderSource(train=folder, test=other))
    assert [(r.identifier, r.split) for r in records] == [
        ("a", "train"),
        ("b", "train"),
        ("ü", "train"),
        ("z", "test"),
    ]


def test_fingerprint_follows_every_file(folder: Path) -> None:
    table(folder, "a,1.0", "b,2.0")
    before = FolderSource(folder).fingerprint()
    assert FolderSource(folder).fingerprint() == before
    (folder / "b.cif").write_text(CIF.format(name="other"))
    changed = FolderSource(folder).fingerprint()
    assert changed != before
    table(folder, "a,1.0", "b,2.5")
    assert FolderSource(folder).fingerprint() not in (before, changed)
    assert FolderSource(folder, targets=["gap"]).fingerprint() != changed


def test_messages_name_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"neither id_prop\.csv nor files"):
        list(FolderSource(tmp_path / "empty").records())
    table(folder, "a,1.0,2.0", "b,1.0")
    with pytest.raises(ValueError, match="line 2: 2 cells, but 3 in the first row"):
        list(FolderSource(folder).records())
    table(folder, "a,1.0")
    with pytest.raises(ValueError, match=r"1 columns of properties, but targets= names 2"):
        list(FolderSource(folder, targets=["x", "y"]).records())
    with pytest.raises(ValueError, match=r"columns= names gap, but the columns are target"):
        list(FolderSource(folder, columns={"gap": "text"}).records())


@pytest.mark.parametrize("file", ["c.CIF", "c.Cif", "c.cif.gz", "c.CIF.GZ", "c.cif.GZ"])
@pytest.mark.parametrize("listed", ["c", "c.cif", "c.CIF"])
def test_endings_are_found_whatever_their_case(folder: Path, file: str, listed: str) -> None:
    text = CIF.format(name="c").encode()
    (folder / file).write_bytes(gzip.compress(text) if file.lower().endswith(".gz") else text)
    table(folder, f"{listed},1.0")
    records, rejected = split_up(FolderSource(folder))
    assert not rejected
    assert [(r.identifier, r.file) for r in records] == [("c", str(folder / file))]
    assert parse_record(records[0]).formula == "CsCl"


def test_the_name_in_the_table_comes_before_one_in_capitals(folder: Path) -> None:
    (folder / "a.CIF").write_text(CIF.format(name="a").replace("Cs", "K"))
    for listed, formula in (("a", "CsCl"), ("a.cif", "CsCl"), ("a.CIF", "KCl")):
        table(folder, f"{listed},1.0")
        ((record,), _) = split_up(FolderSource(folder))
        assert parse_record(record).formula == formula


def test_identifiers_that_a_spreadsheet_turned_into_numbers_with_a_point(folder: Path) -> None:
    for name in ("1", "20", "3", "4.0"):
        (folder / f"{name}.cif").write_text(CIF.format(name=name))
    (folder / "3.vasp").write_text(POSCAR)
    table(folder, "1.0,0.5", "20.000,1.5", "3.0,2.5", "4.0,3.5", "5.0,4.5")
    records, rejected = split_up(FolderSource(folder))
    assert [(r.identifier, r.properties["target"]) for r in records] == [
        ("1", 0.5),
        ("20", 1.5),
        ("4.0", 3.5),
    ]
    # Of 3.0 nobody knows which file is meant.
    assert [(r.identifier, r.reason) for r in rejected] == [
        ("3.0", Reason.MISSING_FILE),
        ("5.0", Reason.MISSING_FILE),
    ]


def test_one_file_is_not_two_structures(folder: Path) -> None:
    (folder / "1.cif").write_text(CIF.format(name="1"))
    table(folder, "1,0.5", "1.0,0.6")
    records, rejected = split_up(FolderSource(folder))
    assert [r.identifier for r in records] == ["1"]
    assert [r.reason for r in rejected] == [Reason.DUPLICATE_IDENTIFIER]
