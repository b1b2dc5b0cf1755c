"""Tables as spreadsheets write them, and files that claim more than they should."""

import gzip
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crystal_data.errors import Reason, Rejection, SourceError
from crystal_data.io import files
from crystal_data.io.cif import to_cif
from crystal_data.io.pymatgen import to_json
from crystal_data.io.read import read_crystals
from crystal_data.sources import FolderSource, TableSource, json_list, table_rows
from crystal_data.sources.table_cells import BadCellError, Column, parse_number, with_comma
from crystal_data.testing import rock_salt

CIF = to_cif(rock_salt())
QUOTED = f'"{CIF.replace(chr(34), chr(34) * 2)}"'


def properties_of(source):
    items = list(source.records())
    return [item.detail if isinstance(item, Rejection) else item.properties for item in items]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz"])
def test_separators(separator, name, tmp_path):
    rows = [["id", "note", "gap", "cif"], ["a", "x, y; z", "1.5", QUOTED], ["b", "", "-2", QUOTED]]
    rows[1][1] = '"x, y; z"'
    text = "\n".join(separator.join(row) for row in rows).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    found = properties_of(TableSource(tmp_path / name))
    assert found == [{"note": "x, y; z", "gap": 1.5}, {"note": "", "gap": -2.0}]


def test_the_separator_stands_behind_the_first_cell(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f'"id; a"\t"energy, eV"\tcif\nx\t1.5\t{QUOTED}\n')
    assert properties_of(TableSource(path, identifier="id; a")) == [{"energy, eV": 1.5}]
    # As pandas writes its index.
    path.write_text(f"\n;id;gap;cif\n0;a;1.5;{QUOTED}\n")
    assert properties_of(TableSource(path)) == [{"gap": 1.5}]


def test_vectors_in_tables_with_commas_stay(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"id,v,cif\na,1;2;3,{QUOTED}\n")
    assert properties_of(TableSource(path))[0]["v"].tolist() == [1.0, 2.0, 3.0]


def test_decimal_commas_of_a_table_with_semicolons(tmp_path):
    path = tmp_path / "t.csv"
    rows = ["id;gap;label;cif", f"a;1,5;1,5 x;{QUOTED}", f"b;-0,123;y;{QUOTED}"]
    path.write_text("\n".join([*rows, f"c;1,234;z;{QUOTED}", f"d;1,2345e-1;z;{QUOTED}"]))
    found = properties_of(TableSource(path))
    assert found[0] == {"gap": 1.5, "label": "1,5 x"}
    assert found[1]["gap"] == -0.123
    assert found[2].startswith("column gap: 1,234 may be 1.234 or 1234; write numbers with a dec")
    assert found[3]["gap"] == 0.12345


def test_a_column_of_ambiguous_numbers_is_not_taken_as_text(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text(f"id\tgap\tcif\na\t1,234\t{QUOTED}\nb\t2,345\t{QUOTED}\n")
    assert all("may be" in detail for detail in properties_of(TableSource(path)))


def test_a_decimal_comma_within_commas_is_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f'id,x,cif\na,"1,5",{QUOTED}\n')
    assert properties_of(TableSource(path)) == [{"x": "1,5"}]


def test_folders_too(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.cif").write_text(CIF)
    table = tmp_path / "id_prop.csv"
    table.write_text("a;1,234\nb;2,5\n")
    found = properties_of(FolderSource(tmp_path))
    assert found[1] == {"target": 2.5}
    assert "1,234 may be 1.234 or 1234" in found[0]
    table.write_text("id ;  gap \na\t1\nb\t2\n".replace(" ;", "\t"))
    assert properties_of(FolderSource(tmp_path)) == [{"gap": 1.0}, {"gap": 2.0}]


@pytest.mark.parametrize("value", [10**400, -(10**4000)], ids=["400", "4000"])
def test_whole_numbers_beyond_all_bounds(value):
    with pytest.raises(BadCellError, match="is not a number"):
        parse_number(value)
    column = Column()
    column.add(value)
    assert column.kind == "skip"


def test_numbers_beyond_single_precision_are_bad_values(tmp_path):
    assert parse_number("-3e38") == -3e38
    with pytest.raises(BadCellError, match="is beyond what single precision holds"):
        parse_number("-1e39")
    (tmp_path / "my.csv").write_text(f"id,cif,gap\na,{QUOTED},1.0\nb,{QUOTED},1e300\n")
    good, bad = TableSource(tmp_path / "my.csv").records()
    assert good.properties == {"gap": 1.0}
    assert bad.reason == Reason.BAD_VALUE
    assert "gap" in bad.detail


def test_a_comma_number_is_text_to_everything_else():
    assert with_comma("1,5") == "1,5"
    assert type(with_comma("1.5")) is str
    assert type(with_comma("1,5,2")) is str


def refused(path, match, **options):
    with pytest.raises(SourceError, match=match):
        list(TableSource(path, **options).records())


def test_unpacked_size_of_a_single_file(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_TEXT_BYTES", 3 << 20)
    for name, data in {
        "a.cif.gz": gzip.compress(b"#" * (3 << 20) + CIF.encode()),
        "b.cif": b"#" * (3 << 20) + CIF.encode(),
        "c.cif.gz": gzip.compress(b"#\n" * (1 << 20) + CIF.encode()),
    }.items():
        (tmp_path / name).write_bytes(data)
    result = read_crystals(tmp_path)
    assert [crystal.identifier for crystal in result.crystals] == ["c"]
    assert [x.detail[:40] for x in result.rejected] == [
        "the file has more than 3 MB unpacked; di",
        "the file has more than 3 MB; divide it, ",
    ]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.jsonl"])
def test_a_line_without_end(name, tmp_path, monkeypatch):
    monkeypatch.setattr(table_rows, "LARGEST_CELL", 1 << 20)
    text = b'{"id": 1}\n' + b"a" * (3 << 20)
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    refused(tmp_path / name, "has a line of more than 1 MB, so it is no table")


def test_a_table_longer_than_any_line_streams(tmp_path, monkeypatch):
    monkeypatch.setattr(table_rows, "LARGEST_CELL", 1 << 16)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(("id,cif\n" + f"a,{QUOTED}\n" * 2000).encode()))
    assert len(list(table_rows.read_rows(path))) == 2000


def test_a_cell_of_many_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(table_rows, "LARGEST_CELL", 1 << 20)
    path = tmp_path / "t.csv"
    path.write_text('id,cif\na,"' + "#\n" * (1 << 20) + '"\n')
    refused(path, r"line \d+ is no CSV: field larger than field limit")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('[{"id": 1' + "0" * 5000 + "}]", "is no list of structures: Exceeds the limit"),
        ("[" + "[" * 100_000, "is no list of structures: maximum recursion"),
        (
            '[{"atoms": {}}, {"x": "' + "a" * (3 << 20),
            "an element of more than 1 MB, or is no JSON",
        ),
    ],
    ids=["digits", "nesting", "length"],
)
def test_json_lists(text, match, tmp_path, monkeypatch):
    monkeypatch.setattr(json_list, "_LARGEST_ELEMENT", 1 << 20)
    path = tmp_path / "t.json"
    path.write_text(text)
    refused(path, match)


@pytest.mark.parametrize("text", ['{"id": 1' + "0" * 5000 + "}", '{"a":' * 100_000])
def test_json_lines(text, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    refused(path, "line 1 is not JSON")


def test_numbers_beyond_all_bounds_in_json(tmp_path):
    good = json.loads(to_json(rock_salt()))
    for name, text in {
        "infinite": to_json(rock_salt()).replace("0.5", "1e400"),
        "digits": to_json(rock_salt()).replace("0.5", "1" + "0" * 5000),
        "whole": to_json(rock_salt()).replace("0.5", "1" + "0" * 400),
        "cell": to_json(rock_salt()).replace("5.64", "1" + "0" * 400),
        "occupancy": json.dumps(good).replace('"occu": 1', '"occu": 1' + "0" * 400),
        "sites": json.dumps({**good, "sites": 100_000_000_000}),
        "nested": '{"lattice": {"matrix": ' + "[" * 500 + "]" * 500 + "}, " + '"sites": [1]}',
        "deep": "[" * 100_000,
        "good": json.dumps(good),
    }.items():
        (tmp_path / f"{name}.json").write_text(text)
    result = read_crystals(tmp_path)
    assert [crystal.formula for crystal in result.crystals] == ["NaCl"]
    assert len(result.rejected) == 8
    assert all(len(one.detail) <= 200 for one in result.rejected)


def test_a_poscar_that_counts_too_many(tmp_path):
    text = "x\n1.0\n5 0 0\n0 5 0\n0 0 5\nNa Cl\n{}\nDirect\n0 0 0\n.5 .5 .5\n"
    counts = ["100000000000 1", "1" + "0" * 5000 + " 1", "1 1 " + "9" * 300, "²"]
    for place, count in enumerate(counts):
        (tmp_path / f"{place}.vasp").write_text(text.format(count))
    result = read_crystals(tmp_path)
    assert not result.crystals
    assert len(result.rejected) == len(counts)
    assert "100000000001 atoms are counted but 2 lines" in result.rejected[0].detail


def test_parquet_rows_of_gigabytes(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "cif": [CIF, "#" * (4 << 20)]}), path)
    assert len(list(TableSource(path).records())) == 2
    monkeypatch.setattr("crystal_data.sources.table.LARGEST_CELL", 1 << 20)
    first, second = TableSource(path).records()
    assert first.identifier == "a"
    assert second.reason == Reason.UNREADABLE
    assert second.detail == "column cif has 4 MB, more than any structure needs"
    monkeypatch.setattr(table_rows, "_LARGEST_GROUP", 1 << 20)
    refused(path, "2 rows of one row group unpack to 4 MB, which is no table")


def test_parquet_of_a_file_that_is_damaged(tmp_path):
    path = tmp_path / "t.parquet"
    offsets = pa.array([0, 2], pa.int32()).buffers()[1]
    no_text = pa.StringArray.from_buffers(1, offsets, pa.py_buffer(b"\xff\xfe"))
    pq.write_table(pa.table({"id": ["a"], "cif": no_text}), path)
    refused(path, "is damaged: 'utf-8' codec")


def test_a_packed_table_with_a_password(tmp_path):
    path = tmp_path / "t.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("t.csv", f"id,cif\na,{QUOTED}\n")
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(signature) + offset] |= 1  # the flag of an encrypted member
    path.write_bytes(bytes(data))
    refused(path, "cannot be unpacked: .*; unpack it first")


def test_text_that_is_not_utf8(tmp_path):
    path = Path(tmp_path / "t.csv")
    path.write_bytes(f"id;cif\nü;{QUOTED}\n".encode("latin-1"))
    refused(path, "is not text in UTF-8: .*; save it as UTF-8")
