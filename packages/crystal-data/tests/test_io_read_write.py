"""What a user may hand in, and the folder that comes out."""

import csv
import gzip
import json
import pickle

import ase.io
import numpy as np
import pytest

from crystal_data import io as crystal_io
from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError, InvalidCrystalError, Reason, Rejection
from crystal_data.io.ase import to_ase, to_extxyz
from crystal_data.io.cif import to_cif
from crystal_data.io.files import atomic_path, write_text
from crystal_data.io.parse import parse_record, parse_records
from crystal_data.io.poscar import to_poscar
from crystal_data.io.pymatgen import to_json, to_pymatgen, to_pymatgen_dict
from crystal_data.io.read import read_crystals
from crystal_data.io.record import Record
from crystal_data.io.records import iter_records
from crystal_data.io.rejected import read_rejected, write_rejected
from crystal_data.io.write import safe_name, write_crystals


def salt(identifier="", length=5.6, **properties):
    return Crystal(
        np.eye(3) * length, [[0, 0, 0], [0.5, 0.5, 1.5]], [11, 17], identifier, properties
    )


def names(result):
    assert not result.rejected
    return [crystal.identifier for crystal in result.crystals]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b.cif").write_text(to_cif(salt()))
    (tmp_path / "a.vasp").write_text(to_poscar(salt()))
    (tmp_path / "POSCAR_1.5").write_text(to_poscar(salt()))
    (tmp_path / "c.v2.json").write_text(to_json(salt()))
    with gzip.open(tmp_path / "d.jsonl.gz", "wt") as file:
        file.write(to_json(salt("first")) + "\n" + to_json(salt()) + "\n")
    (tmp_path / "e.json").write_text(json.dumps([to_pymatgen_dict(salt()) for _ in range(2)]))
    (tmp_path / "f.extxyz").write_text(to_extxyz([salt(), salt(energy=2.0)]))
    (tmp_path / "g.txt").write_text(to_cif(salt()))
    (tmp_path / "notes.md").write_text("# about\n")
    (tmp_path / "id_prop.csv").write_text("a,1\n")
    (tmp_path / ".hidden.cif").write_text("x")
    return tmp_path


FOLDER = ["POSCAR_1.5", "a", "b", "c.v2", "first", "d#1", "e#0", "e#1", "f#0", "f#1", "g.txt"]


def test_folder(folder):
    result = read_crystals(folder)
    assert names(result) == FOLDER
    assert [path.rsplit("/", 1)[1] for path in result.ignored] == ["id_prop.csv", "notes.md"]
    assert result.crystals[9].properties["energy"] == 2.0
    records = list(iter_records(folder))
    assert [record.identifier for record in records] == FOLDER
    assert all(record.file.startswith(str(folder)) for record in records)
    assert records[9].properties == {"energy": 2.0}


def test_a_table_of_structures_is_named_as_one(tmp_path):
    table = tmp_path / "some.csv"
    table.write_text(f'id,cif\na,"{to_cif(salt("a"))}"\n', encoding="utf-8")
    rejected = read_crystals(table).rejected[0]
    assert (rejected.reason, "TableSource" in rejected.detail) == (Reason.UNREADABLE, True)
    assert read_crystals(tmp_path).ignored == [str(table)]


def test_paths_patterns_and_lists(folder, monkeypatch):
    assert names(read_crystals(str(folder / "b.cif"))) == ["b"]
    assert names(read_crystals(folder / "[ab].*")) == ["a", "b"]
    monkeypatch.chdir(folder)
    assert names(read_crystals("*.extxyz")) == ["f#0", "f#1"]
    assert names(read_crystals(["b.cif", folder / "a.vasp", salt("x")])) == ["b", "a", "x"]


def test_bare_contcar_takes_its_folders_name(tmp_path):
    for name in ("run1", "run2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "CONTCAR").write_text(to_poscar(salt()))
    assert names(read_crystals(str(tmp_path / "*" / "CONTCAR"))) == ["run1", "run2"]


def test_objects():
    result = read_crystals(
        [salt(), to_pymatgen(salt()), to_ase(salt()), to_pymatgen_dict(salt()), salt("own")]
    )
    assert names(result) == [*(f"structure-{n}" for n in range(4)), "own"]
    for crystal in result.crystals:
        np.testing.assert_allclose(crystal.frac_coords, salt().frac_coords, atol=1e-12)
    for one in (salt("a"), to_pymatgen(salt("a")), to_ase(salt("a")), to_pymatgen_dict(salt("a"))):
        assert names(read_crystals(one)) == ["a"]


def test_json_that_wraps_a_structure(tmp_path):
    entry = {"material_id": "mp-9", "structure": to_pymatgen_dict(salt()), "band_gap": 1.5,
             "tags": ["x"], "spectrum": [1, 2, 3], "symbol": "Fm-3m"}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(entry))
    [record] = iter_records(tmp_path / "a.json")
    assert record.identifier == "mp-9"
    assert record.properties.keys() >= {"band_gap", "spectrum", "symbol"}
    assert "tags" not in record.properties
    [crystal] = read_crystals(tmp_path).crystals
    assert crystal.properties["band_gap"] == 1.5


def test_what_is_not_there(tmp_path):
    for inputs in (tmp_path / "no.cif", str(tmp_path / "*.cif"), tmp_path):
        [rejection] = read_crystals(inputs).rejected
        assert rejection.reason in (Reason.MISSING_FILE, Reason.EMPTY)
        with pytest.raises(InvalidCrystalError, match="no"):
            read_crystals(inputs, on_invalid="error")
    with pytest.raises(InvalidArgumentError, match="structure-0 is a int; expected a path"):
        read_crystals([3])
    with pytest.raises(ValueError, match="on_invalid is 'drop'"):
        read_crystals(tmp_path, on_invalid="drop")


def test_second_of_a_name_is_rejected(tmp_path):
    (tmp_path / "a.cif").write_text(to_cif(salt()))
    (tmp_path / "a.vasp").write_text(to_poscar(salt()))
    result = read_crystals(tmp_path)
    assert len(result.crystals) == 1
    [rejection] = result.rejected
    assert rejection.reason == Reason.DUPLICATE_IDENTIFIER
    assert "a.cif" in rejection.detail


def test_records_in_bulk():
    records = [
        Record("a", to_cif(salt()), "cif", {"y": 1.0}),
        Record("b", to_poscar(salt()), "poscar"),
        Record("c", to_json(salt()), "json"),
        Record("d", salt("other"), "crystal"),
        Record("e", "nonsense", "cif", file="e.csv"),
        Rejection("f", "f.cif", "read", Reason.EMPTY, "empty"),
    ]
    parsed = parse_records(pickle.loads(pickle.dumps(records)))
    assert [crystal.identifier for crystal in parsed[:4]] == ["a", "b", "c", "d"]
    assert "y" not in parsed[0].properties
    assert (parsed[4].identifier, parsed[4].file, parsed[4].stage) == ("e", "e.csv", "read")
    assert parsed[5] == records[5]
    with pytest.raises(ValueError, match="format is 'pdb'"):
        parse_record(Record("a", "x", "pdb"))


IDENTIFIERS = ["a/b", "a:b", "A:b", "mp 1", "CON", "é", "x" * 300, "a~2", "a", "a", "", "..", "7"]


def test_written_folder(tmp_path):
    crystals = [
        salt(name, 5 + i / 10, energy=float(i), note="T") for i, name in enumerate(IDENTIFIERS)
    ]
    written = write_crystals(crystals, tmp_path / "out")
    assert len(set(written.identifiers)) == len({f.casefold() for f in written.files}) == 13
    assert written.identifiers[8:11] == ("a", "a~3", "structure-10")
    frames = ase.io.read(tmp_path / "out" / "structures.extxyz", index=":")
    with gzip.open(tmp_path / "out" / "structures.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    with (tmp_path / "out" / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(frames) == len(lines) == len(rows) == len(crystals)
    for source in ("structures.extxyz", "structures.jsonl.gz"):
        result = read_crystals(tmp_path / "out" / source)
        assert names(result) == list(written.identifiers)
        for got, crystal in zip(result.crystals, crystals, strict=True):
            np.testing.assert_allclose(got.cart_coords, crystal.cart_coords, atol=1e-8)
            np.testing.assert_allclose(got.lattice, crystal.lattice, atol=1e-8)
            assert got.properties["energy"] == crystal.properties["energy"]
            assert got.properties["note"] == "T"
    assert [row["id"] for row in rows] == list(written.identifiers)
    for row, crystal in zip(rows, crystals, strict=True):
        [got] = read_crystals(tmp_path / "out" / row["file"]).crystals
        np.testing.assert_allclose(got.cart_coords, crystal.cart_coords, atol=1e-8)
        assert float(row["a"]) == pytest.approx(crystal.lengths[0])
        assert float(row["energy"]) == crystal.properties["energy"]
    assert sorted(path.name for path in (tmp_path / "out" / "cif").iterdir()) == sorted(
        written.files
    )


def test_writing_again_replaces(tmp_path):
    write_crystals([salt("a"), salt("b")], tmp_path)
    before = (tmp_path / "structures.jsonl.gz").read_bytes()
    write_crystals([salt("a"), salt("b")], tmp_path)
    assert (tmp_path / "structures.jsonl.gz").read_bytes() == before
    write_crystals([salt("c")], tmp_path)
    assert [path.name for path in (tmp_path / "cif").iterdir()] == ["c.cif"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cif", "structures.extxyz", "structures.jsonl.gz", "summary.csv",
    ]  # fmt: skip


def test_density_of_salt(tmp_path):
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    coords = np.vstack([corners, corners + np.array([0.5, 0, 0])])
    write_crystals([Crystal(np.eye(3) * 5.6402, coords, [11] * 4 + [17] * 4, "halite")], tmp_path)
    with (tmp_path / "summary.csv").open() as file:
        [row] = csv.DictReader(file)
    assert float(row["density"]) == pytest.approx(2.164, abs=0.002)  # g/cm³, handbooks
    assert row["formula"] == "NaCl"


def test_safe_names():
    assert safe_name("a/b:c*?") == "a_b_c__"
    assert safe_name("NUL.x") == "_NUL.x"
    assert safe_name("...") == "structure"
    assert len(safe_name("晶" * 500).encode()) < 230


def test_file_name_that_is_no_utf8(tmp_path):
    path = tmp_path / b"nacl-\xe9.cif".decode("utf-8", "surrogateescape")
    try:
        path.write_text("x")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 names only")
    [rejection] = read_crystals(path).rejected
    assert rejection.identifier == "nacl-?"
    assert write_rejected(tmp_path / "rejected.csv", [rejection]) == 1
    path.write_text(to_cif(salt()))
    result = read_crystals(path)
    assert names(result) == ["nacl-?"]
    assert write_crystals(result.crystals, tmp_path / "out").files == ("nacl-_.cif",)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_half()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_rejected_table(tmp_path):
    rows = [Rejection("a,b", 'f "1".cif', "read", Reason.EMPTY, "two\nlines, é")]
    path = tmp_path / "new" / "rejected.csv"
    assert write_rejected(path, rows) == 1
    assert path.read_text(encoding="utf-8").startswith("id,file,stage,reason,detail\n")
    assert read_rejected(path) == rows
    path.write_text("a,b\n")
    with pytest.raises(ValueError, match="the columns are"):
        read_rejected(path)


def test_every_promised_name_is_there():
    for name in crystal_io.__all__:
        assert getattr(crystal_io, name) is not None
