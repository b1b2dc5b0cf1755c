"""Tables of the user's own: columns, kinds, splits, and what is rejected."""

import gzip
import json
from pathlib import Path
from typing import Any

import jsonargparse
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from crystal_data.errors import Reason, Rejection, SourceError
from crystal_data.io import Record
from crystal_data.io.parse import parse_record
from crystal_data.sources import CrystalSource, TableSource
from crystal_data.sources.json_list import iter_json_list
from crystal_data.sources.table_cells import BadCellError, Column, parse_number, parse_vector
from crystal_data.store import open_store

CIF = """data_NaCl
_symmetry_space_group_name_H-M   'P 1'
_cell_length_a   3.9
_cell_length_b   3.9
_cell_length_c   3.9
_cell_angle_alpha   60
_cell_angle_beta   60
_cell_angle_gamma   60
loop_
 _atom_site_type_symbol
 _atom_site_label
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
  Na  Na0  0.0  0.0  0.0
  Cl  Cl1  0.5  0.5  0.5
"""
QUOTED = '"' + CIF + '"'


@pytest.fixture(autouse=True)
def _homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(tmp_path / "cache"))


def csv_file(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def records(source: CrystalSource) -> list[Record]:
    found = list(source.records())
    assert all(isinstance(item, Record) for item in found), found
    return found  # type: ignore[return-value]


def rejections(source: CrystalSource) -> list[Rejection]:
    return [item for item in source.records() if isinstance(item, Rejection)]


def test_csv_with_index_kinds_and_missing_values(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path / "set.csv",
        ",material_id,gap,stable,phase,dos,cif",
        f"0,mp-1,1.5,True,cubic,1;2;3,{QUOTED}",
        f"1,mp-2,,False,na,,{QUOTED}",
    )
    first, second = records(TableSource(path, units={"gap": "eV"}))
    assert first.identifier == "mp-1"
    assert first.structure == CIF
    assert first.format == "cif"
    assert {k: v for k, v in first.properties.items() if k != "dos"} == {
        "gap": 1.5,
        "stable": 1.0,
        "phase": "cubic",
    }
    np.testing.assert_array_equal(first.properties["dos"], [1.0, 2.0, 3.0])
    assert np.isnan(second.properties["gap"])
    assert second.properties["phase"] == ""
    np.testing.assert_array_equal(second.properties["dos"], [np.nan] * 3)
    assert second.file == f"{path}:2"
    assert parse_record(first).formula == "NaCl"


def test_bad_cells_are_rejected_by_name_and_can_be_declared_text(tmp_path: Path) -> None:
    rows = [f"a{i},{gap},{QUOTED}" for i, gap in enumerate(["1.0", "2.0", "about 3", "inf"])]
    path = csv_file(tmp_path / "set.csv", "id,gap,cif", *rows)
    bad = rejections(TableSource(path))
    assert [(r.identifier, r.reason) for r in bad] == [
        ("a2", Reason.BAD_VALUE),
        ("a3", Reason.BAD_VALUE),
    ]
    assert "gap" in bad[0].detail
    assert "'about 3'" in bad[0].detail
    texts = records(TableSource(path, columns={"gap": "text"}))
    assert [r.properties["gap"] for r in texts] == ["1.0", "2.0", "about 3", "inf"]


def test_vector_of_another_length_is_rejected(tmp_path: Path) -> None:
    rows = [f"a{i},{dos},{QUOTED}" for i, dos in enumerate(["1;2", "3;4", "5"])]
    path = csv_file(tmp_path / "set.csv", "id,dos,cif", *rows)
    source = TableSource(path, columns={"dos": "vector"})
    assert [r.detail.split(";")[0] for r in rejections(source)] == [
        "column dos: 1 numbers where the column has 2"
    ]


def test_doubled_identifiers_and_empty_structures_are_rejected(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "set.csv", "id,cif", f"a,{QUOTED}", f"a,{QUOTED}", "b,")
    doubled, empty = rejections(TableSource(path))
    assert doubled.reason is Reason.DUPLICATE_IDENTIFIER
    assert f"{path}:1" in doubled.detail
    assert (empty.identifier, empty.reason) == ("b", Reason.EMPTY)


def test_split_column_parent_column_and_rows_without_ids(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path / "set.csv",
        "cif,part,made_from",
        f"{QUOTED},train,mp-1",
        f"{QUOTED},Validation,",
        f"{QUOTED},,mp-2",
    )
    found = records(TableSource(path, split="part", parent="made_from"))
    assert [(r.identifier, r.split, r.parent) for r in found] == [
        ("set-1", "train", "mp-1"),
        ("set-2", "val", ""),
        ("set-3", "", "mp-2"),
    ]


def test_a_file_for_each_split_and_columns_that_one_lacks(tmp_path: Path) -> None:
    train = csv_file(tmp_path / "a.csv", "id,cif", f"a,{QUOTED}")
    val = tmp_path / "b.csv.gz"
    val.write_bytes(gzip.compress(f"id,gap,cif\nb,2.0,{QUOTED}\n".encode()))
    found = records(TableSource(train=train, val=val))
    assert [(r.split, r.identifier) for r in found] == [("train", "a"), ("val", "b")]
    assert np.isnan(found[0].properties["gap"])
    assert found[1].properties["gap"] == 2.0


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_and_windows_line_ends(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "set.csv"
    text = f"id,comment,cif\nä,é,{QUOTED}\n".replace("\n", "\r\n")
    path.write_bytes(text.encode(encoding))
    (found,) = records(TableSource(path))
    assert found.identifier == "ä"
    assert found.properties == {"comment": "é"}
    assert parse_record(found).num_atoms == 2


def optimade_row(identifier: str, energy: float) -> dict[str, Any]:
    return {
        "immutable_id": identifier,
        "lattice_vectors": [[4.0, 0.0, 0.0], [1.0, 5.0, 0.0], [0.5, 0.2, 6.0]],
        "cartesian_site_positions": [[0.0, 0.0, 0.0], [2.75, 2.6, 3.0]],
        "species_at_sites": ["Na", "Cl"],
        "elements": ["Cl", "Na"],
        "elements_ratios": [0.5, 0.5],
        "nsites": 2,
        "chemical_formula_reduced": "ClNa",
        "energy": energy,
        "forces": [[0.0, 0.0, 0.1], [0.0, 0.0, -0.1]],
        "magnetic_moments": [1.0, -1.0],
        "stress_tensor": [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]],
    }


@pytest.mark.parametrize("form", ["parquet", "jsonl", "json"])
def test_optimade_columns_need_no_mapping(tmp_path: Path, form: str) -> None:
    rows = [optimade_row("x-1", -3.0), optimade_row("x-2", -4.0)]
    path = tmp_path / f"set.{form}"
    if form == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(rows))
    first, second = records(TableSource(path))
    assert (first.identifier, second.properties["energy"]) == ("x-1", -4.0)
    crystal = parse_record(first)
    assert crystal.formula == "NaCl"
    np.testing.assert_allclose(crystal.cart_coords[1], [2.75, 2.6, 3.0], atol=1e-12)
    np.testing.assert_array_equal(first.properties["forces"], [[0, 0, 0.1], [0, 0, -0.1]])
    assert np.shape(second.properties["magnetic_moments"]) == (2, 1)
    assert np.shape(first.properties["stress_tensor"]) == (9,)
    assert "elements" not in first.properties
    assert first.properties["chemical_formula_reduced"] == "ClNa"


def test_values_of_atoms_reach_the_store_and_gaps_stay_gaps(tmp_path: Path) -> None:
    rows = [optimade_row("a", 1.0), optimade_row("b", 2.0) | {"forces": None}]
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = open_store(TableSource(path), num_workers=0)
    forces = np.asarray(store.column("forces"))
    assert store.kind("forces") == "per_atom"
    np.testing.assert_array_equal(forces[:2], rows[0]["forces"])
    assert np.isnan(forces[2:]).all()
    declared = [{"id": "a", "cif": CIF, "charges": [0.5, -0.5]}, {"id": "b", "cif": CIF}]
    path.write_text("".join(json.dumps(row) + "\n" for row in declared))
    store = open_store(TableSource(path, columns={"charges": "per_atom"}), num_workers=0)
    np.testing.assert_array_equal(np.asarray(store.column("charges"))[:2, 0], [0.5, -0.5])


def test_lists_that_cannot_be_columns_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"id": "a", "cif": CIF, "bonds": [1, 2]}, {"id": "b", "cif": CIF, "bonds": [1]}]
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "bonds" not in records(TableSource(path))[0].properties
    assert "columns bonds are neither numbers" in caplog.text
    assert "columns={'bonds': 'per_atom'}" in caplog.text


def test_optimade_faults_are_rejected(tmp_path: Path) -> None:
    flat = optimade_row("flat", 0.0) | {"lattice_vectors": [[1, 0, 0], [0, 1, 0], [1, 1, 0]]}
    odd = optimade_row("odd", 0.0) | {"species_at_sites": ["Na", "Qq"]}
    short = optimade_row("short", 0.0) | {"species_at_sites": ["Na"]}
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (flat, odd, short)))
    assert [(r.identifier, r.reason) for r in rejections(TableSource(path))] == [
        ("flat", Reason.BAD_CELL),
        ("odd", Reason.UNKNOWN_ELEMENT),
        ("short", Reason.BAD_COORDINATES),
    ]


def test_structures_as_pymatgen_json(tmp_path: Path) -> None:
    from pymatgen.core import Lattice, Structure

    structure = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    path = tmp_path / "set.jsonl"
    path.write_text(json.dumps({"id": "a", "structure": structure.as_dict()}) + "\n")
    (found,) = records(TableSource(path))
    assert found.format == "json"
    assert parse_record(found).formula == "CsCl"


def test_messages_name_what_is_wrong(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "set.csv", "id,gap", "a,1.0")
    with pytest.raises(ValueError, match="no column of structures among id, gap"):
        list(TableSource(path).records())
    with pytest.raises(ValueError, match="no column 'gab' for structure="):
        list(TableSource(path, structure="gab").records())
    with pytest.raises(FileNotFoundError, match=r"absent\.csv does not exist"):
        TableSource(tmp_path / "absent.csv").fingerprint()
    with pytest.raises(ValueError, match="either path="):
        TableSource()
    whole = csv_file(tmp_path / "b.csv", "id,gap,cif", f"a,1.0,{QUOTED}")
    with pytest.raises(ValueError, match="columns= names gab"):
        list(TableSource(whole, columns={"gab": "number"}).records())
    ragged = csv_file(tmp_path / "c.csv", "id,gap,cif", "a,1.0")
    with pytest.raises(ValueError, match="line 2: 2 cells where the header has 3"):
        list(TableSource(ragged).records())
    cut = tmp_path / "d.csv.gz"
    cut.write_bytes(gzip.compress(whole.read_bytes() * 50)[:-20])
    with pytest.raises(ValueError, match=r"d\.csv\.gz is damaged"):
        list(TableSource(cut).records())
    torn = tmp_path / "f.parquet"
    parquet.write_table(pa.table({"id": ["a"], "cif": [CIF]}), torn)
    torn.write_bytes(torn.read_bytes()[:-10])
    with pytest.raises(SourceError, match=r"f\.parquet is damaged"):
        list(TableSource(torn).records())
    deep = tmp_path / "g.jsonl"
    deep.write_text('{"id": ' + "[" * 100_000 + "\n")
    with pytest.raises(SourceError, match=r"g\.jsonl, line 1 is not JSON"):
        list(TableSource(deep).records())
    latin = tmp_path / "e.csv"
    latin.write_bytes(f"id,cif\n\xe4,{QUOTED}\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"e\.csv is not text in UTF-8"):
        list(TableSource(latin).records())


def test_sodium_is_not_missing(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path / "set.csv", "id,formula,gap,cif", f"Na,Na,NaN,{QUOTED}", f"NaN,na,NA,{QUOTED}"
    )
    first, second = records(TableSource(path))
    assert (first.identifier, first.properties["formula"]) == ("Na", "Na")
    assert (second.identifier, second.properties["formula"]) == ("NaN", "")
    assert np.isnan(first.properties["gap"])
    assert np.isnan(second.properties["gap"])


def test_fingerprint_follows_content_and_options(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "set.csv", "id,gap,cif", f"a,1.0,{QUOTED}")
    before = TableSource(path).fingerprint()
    assert TableSource(path).fingerprint() == before
    assert TableSource(path, columns={"gap": "text"}).fingerprint() != before
    assert TableSource(train=path).fingerprint() != before
    csv_file(path, "id,gap,cif", f"a,2.0,{QUOTED}")
    assert TableSource(path).fingerprint() != before


# Its new name is not in the oldest jsonargparse that is allowed.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_built_from_yaml(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "set.csv", "id,gap,cif", f"a,1.0,{QUOTED}")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--source", type=CrystalSource)
    config = parser.parse_string(
        "source:\n  class_path: crystal_data.sources.TableSource\n"
        f"  init_args:\n    path: {path}\n    columns: {{gap: text}}\n    units: {{gap: eV}}\n"
    )
    source = parser.instantiate_classes(config).source
    assert isinstance(source, TableSource)
    assert records(source)[0].properties == {"gap": "1.0"}


@pytest.mark.parametrize("cell", ["", " NA ", "nan", "NaN", "None", None, float("nan"), "?"])
def test_missing_cells(cell: object) -> None:
    assert np.isnan(parse_number(cell))
    assert parse_vector(cell) is None


@pytest.mark.parametrize("cell", ["1_000", "inf", "1,5", "x", [1.0], {}, float("inf")])
def test_no_numbers(cell: object) -> None:
    with pytest.raises(BadCellError):
        parse_number(cell)


def test_kinds_of_columns() -> None:
    def kind(*cells: object) -> str:
        column = Column()
        for cell in cells:
            column.add(cell)
        return column.kind

    assert kind("1", "2", "x") == "number"
    assert kind("x", "y", "2") == "text"
    assert kind(None, "") == "number"
    assert kind([1.0, 2.0], None, [3.0, 4.0]) == "vector"
    assert kind("1;2", "3;4") == "vector"
    assert kind("1;2", "3;4;5") == "text"
    assert kind([1.0], [3.0, 4.0]) == "skip"
    assert kind([[1.0], [2.0]]) == "skip"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(values=st.lists(json_values), chunk=st.integers(1, 40), indent=st.sampled_from([None, 1]))
def test_json_lists_in_pieces_of_any_size(tmp_path_factory, values, chunk, indent) -> None:
    path = tmp_path_factory.mktemp("json") / "list.json"
    path.write_text(json.dumps(values, indent=indent), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crystal_data.sources.json_list._CHUNK", chunk)
        assert list(iter_json_list(path)) == values


def test_json_that_is_no_list_or_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text('{"a": 1}')
    with pytest.raises(ValueError, match="does not hold a JSON list"):
        list(iter_json_list(path))
    for text in ('[{"a": 1}, {"b"', "[1, 2"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"list\.json"):
            list(iter_json_list(path))
