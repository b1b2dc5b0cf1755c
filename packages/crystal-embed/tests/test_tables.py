import itertools
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from crystal_embed import CrystalTransformer
from crystal_embed.tables import ElementTable, load_table, save_table
from crystal_embed.tables.files import read_table

FORMS = [
    ("atom_init", ".json"),
    ("symbols", ".json"),
    ("csv", ".csv"),
    ("safetensors", ".safetensors"),
]


def small_table(**changes):
    rng = np.random.default_rng(0)
    fields = {
        "name": "small",
        "atomic_numbers": [26, 8, 1],
        "vectors": rng.normal(size=(3, 5)) * [1e-30, 1, 1e10, 1, 0],
        "metadata": {"from": "test", "random_elements": ["Fe"]},
    }
    return ElementTable(**{**fields, **changes})


def test_rows_are_sorted_and_frozen():
    table = small_table()
    assert table.symbols == ["H", "O", "Fe"]
    assert table.vectors.dtype == np.float32
    np.testing.assert_array_equal(table.vector("Fe"), small_table().vectors[2])
    with pytest.raises(ValueError, match="read-only"):
        table.vectors[0, 0] = 1
    again = pickle.loads(pickle.dumps(table))
    np.testing.assert_array_equal(again.vectors, table.vectors)
    assert again.metadata == table.metadata
    assert again.coordinates is None
    rows = np.arange(20.0).reshape(4, 5)
    again = pickle.loads(pickle.dumps(small_table(coordinates=rows)))
    np.testing.assert_array_equal(again.coordinates, rows.astype(np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"atomic_numbers": [1, 2]}, "do not fit"),
        ({"atomic_numbers": [1, 8, 8]}, "O is there twice"),
        ({"atomic_numbers": [0, 1, 2]}, "outside 1 to 118"),
        ({"atomic_numbers": [1, 2, 119]}, "outside 1 to 118"),
        ({"vectors": [[0.0], [np.nan], [1.0]]}, "O has a value that is not finite"),
        ({"vectors": np.zeros((3, 0))}, "no numbers"),
        ({"coordinates": np.zeros((3, 5))}, "coordinates \\(3, 5\\); expected \\(4, 5\\)"),
        ({"coordinates": np.full((4, 5), np.inf)}, "finite"),
    ],
)
def test_wrong_tables_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small_table(**changes)


def test_an_element_without_row_is_named():
    with pytest.raises(KeyError, match="no row for 'Xe'"):
        small_table().vector("Xe")


@pytest.mark.parametrize(("form", "suffix"), FORMS)
@pytest.mark.parametrize("name", ["small", "atom_init", "one_hot", "random:7"])
def test_round_trip(form, suffix, name, tmp_path):
    table = small_table() if name == "small" else load_table(name)
    path = save_table(table, tmp_path / f"table{suffix}", form)
    again = load_table(path)
    np.testing.assert_array_equal(again.atomic_numbers, table.atomic_numbers)
    np.testing.assert_array_equal(again.vectors, table.vectors)
    if form == "safetensors":
        assert (again.name, again.metadata) == (table.name, table.metadata)
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "a draft was left behind"


def test_files_are_as_others_read_them(tmp_path):
    table = ElementTable("t", [1, 3], [[1, 0.5], [0, -2]])
    assert json.loads(save_table(table, tmp_path / "a.json").read_text()) == {
        "1": [1, 0.5], "3": [0, -2]
    }  # fmt: skip
    assert json.loads(save_table(table, tmp_path / "s.json", "symbols").read_text()) == {
        "H": [1, 0.5], "Li": [0, -2]
    }  # fmt: skip
    assert save_table(table, tmp_path / "t.csv").read_text() == "element,0,1\nH,1,0.5\nLi,0,-2\n"


def test_unknown_form_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"atom_init, symbols, csv, safetensors"):
        save_table(small_table(), tmp_path / "table.npz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "[1, 2]", "expected"),
        ("a.json", "{}", "expected"),
        ("a.json", '{"1": [1, 2], "2": [3]}', "1 has 2 numbers, 2 has 1"),
        ("a.json", '{"Qq": [1]}', "'Qq' is neither"),
        ("a.json", '{"119": [1]}', "'119' is neither"),
        ("a.json", '{"H": ["x"]}', "not all values are numbers"),
        ("a.json", '{"H": [1], "1": [2]}', "H is there twice"),
        ("a.json", '{"H": [NaN]}', "H has a value that is not finite"),
        ("a.csv", "symbol,0\nH,1\n", "expected the header element"),
        ("a.csv", "", "expected the header element"),
        ("a.csv", "element,0\nH,1\nH,2\n", "H is there twice"),
        ("a.csv", "element,0\nH,one\n", "not all values are numbers"),
        ("a.safetensors", "no tensors", "atomic_numbers and vectors"),
    ],
)
def test_broken_files_are_named(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_table(path)
    assert "a" in str(caught.value)


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbfelement,0,1\r\nH,1,2\r\nHe,3,4\r\n\r\n")
    assert read_table(path).vectors.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("atom_int", ValueError, "did you mean 'atom_init'"),
        ("magic", ValueError, "the names are atom_init, one_hot"),
        ("random:", ValueError, "random:<width>"),
        ("random:0", ValueError, "random:<width>"),
        ("random:3:x", ValueError, "random:<width>"),
        ("permuted:atom_init", ValueError, "permuted:<seed>:<table>"),
        ("permuted:0:", ValueError, "permuted:<seed>:<table>"),
        ("permuted:0:magic", ValueError, "no element table 'magic'"),
        ("joined:atom_init", ValueError, "joined:<table>,<table>"),
        ("joined:atom_init,", ValueError, "joined:<table>,<table>"),
        ("scaled:", ValueError, "expected scaled:<table>, such as scaled:atom_init"),
        ("nowhere.json", FileNotFoundError, "nowhere.json"),
        ("nowhere.safetensors", FileNotFoundError, "nowhere.safetensors"),
    ],
)
def test_unknown_names(name, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        load_table(name)


def test_random_tables_are_seeded():
    table = load_table("random:16")
    assert (len(table), table.width) == (100, 16)
    np.testing.assert_array_equal(load_table("random:16:0").vectors, table.vectors)
    assert not np.array_equal(load_table("random:16:1").vectors, table.vectors)
    assert abs(table.vectors.mean()) < 0.1
    assert abs(table.vectors.std() - 1) < 0.1


def test_a_permuted_table_has_the_same_rows_for_other_elements():
    table, permuted = load_table("atom_init"), load_table("permuted:3:atom_init")
    np.testing.assert_array_equal(permuted.atomic_numbers, table.atomic_numbers)
    key = [tuple(row) for row in table.vectors.tolist()]
    assert sorted(tuple(row) for row in permuted.vectors.tolist()) == sorted(key)
    assert (permuted.vectors != table.vectors).any(axis=1).mean() > 0.8
    again = load_table("permuted:3:atom_init")
    np.testing.assert_array_equal(again.vectors, permuted.vectors)
    assert not np.array_equal(load_table("permuted:4:atom_init").vectors, permuted.vectors)


def test_untrained_rows_are_not_dealt_out(tmp_path):
    vectors = np.arange(20, dtype=np.float32).reshape(10, 2)
    metadata = {"random_elements": ["H", "C", "Ne"]}
    table = ElementTable("mine", np.arange(1, 11), vectors, metadata)
    path = save_table(table, tmp_path / "mine.safetensors")
    permuted = load_table(f"permuted:0:{path}")
    untrained = [0, 5, 9]
    np.testing.assert_array_equal(permuted.vectors[untrained], vectors[untrained])
    trained = [row for row in range(10) if row not in untrained]
    assert set(permuted.vectors[trained, 0]) == set(vectors[trained, 0])


def test_joined_tables_stand_side_by_side(tmp_path):
    few = ElementTable("few", np.array([8, 1]), np.array([[8, 8], [1, 1]], dtype=np.float32))
    path = save_table(few, tmp_path / "few.csv")
    joined = load_table(f"joined:one_hot,{path}")
    assert joined.atomic_numbers.tolist() == [1, 8]
    np.testing.assert_array_equal(joined.vectors[:, :100], np.eye(100)[[0, 7]])
    np.testing.assert_array_equal(joined.vectors[:, 100:], [[1, 1], [8, 8]])


def test_scaled_vectors_do_not_depend_on_size_or_origin(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((6, 4)).astype(np.float32)
    vectors[:, 3] = 2.0  # says nothing
    vectors[5] = 100.0  # of an element that was never trained
    metadata = {"random_elements": ["C"]}
    first = ElementTable("mine", np.arange(1, 7), vectors, metadata)
    path = save_table(first, tmp_path / "first.safetensors")
    small = ElementTable("small", np.arange(1, 7), 0.01 * vectors + 3.0, metadata)
    other = save_table(small, tmp_path / "small.safetensors")
    scaled = load_table(f"scaled:{path}")
    trained = scaled.vectors[:5]
    np.testing.assert_allclose(trained.mean(axis=0), 0, atol=1e-6)
    assert trained[:, :3].var(axis=0).mean() == pytest.approx(1)
    np.testing.assert_array_equal(trained[:, 3], 0)
    np.testing.assert_allclose(load_table(f"scaled:{other}").vectors, scaled.vectors, atol=1e-3)
    assert scaled.metadata["random_elements"] == ["C"]
    # Tables in a table keep their own size; permuted ones keep all numbers.
    joined = load_table(f"joined:scaled:{path},scaled:{other}")
    np.testing.assert_allclose(joined.vectors[:, :4], joined.vectors[:, 4:], atol=1e-3)
    permuted = load_table(f"permuted:0:scaled:{path}")
    assert set(permuted.vectors[:5, 0]) == set(trained[:, 0])


def test_scaling_holds_for_a_step_in_space_too(tmp_path):
    model = CrystalTransformer(geometry="cartesian", element_width=8, num_layers=1, num_heads=2)
    model.save_pretrained(tmp_path / "untrained")
    with pytest.raises(ValueError, match="no two trained elements"):
        load_table(f"scaled:{tmp_path / 'untrained'}")
    model.species.seen.fill_(True)
    model.save_pretrained(tmp_path / "model")
    table = load_table(tmp_path / "model")
    scaled = load_table(f"scaled:{tmp_path / 'model'}")
    assert scaled.coordinates is not None
    shrunk = np.diff(table.vectors[:2], axis=0) / np.diff(scaled.vectors[:2], axis=0)
    np.testing.assert_allclose(table.coordinates / scaled.coordinates, shrunk[0, 0], rtol=1e-3)


def test_a_table_of_one_vector_cannot_be_scaled(tmp_path):
    same = ElementTable("same", np.array([1, 8]), np.ones((2, 3), dtype=np.float32))
    path = save_table(same, tmp_path / "same.csv")
    with pytest.raises(ValueError, match="no two trained elements have different vectors"):
        load_table(f"scaled:{path}")


def test_one_hot():
    table = load_table("one_hot")
    np.testing.assert_array_equal(table.vectors, np.eye(100))
    np.testing.assert_array_equal(table.atomic_numbers, np.arange(1, 101))


# Bins worked out by hand from the published edges, as positions of the ones.
@pytest.mark.parametrize(
    ("symbol", "ones"),
    [
        # group 1, period 1, 2.2 of 0.5 … 4, 32 pm of 25 … 250, one valence electron,
        # ln 13.6 of 1.3 … 3.3, 0.754 eV of −3 … 3.7, s, ln 14.1 of 1.5 … 4.3
        ("H", [1, 19, 26 + 4, 36 + 0, 46 + 0, 58 + 6, 68 + 5, 78 + 0, 82 + 4]),
        # no electronegativity, and an electron affinity below all bins
        ("He", [18, 19, 36 + 0, 46 + 1, 58 + 9, 78 + 0, 82 + 6]),
        # group 0 of the lanthanides, two valence electrons, f
        ("Ce", [0, 19 + 5, 26 + 1, 36 + 6, 46 + 1, 58 + 2, 68 + 5, 78 + 3, 82 + 5]),
        ("Fe", [8, 19 + 3, 26 + 3, 36 + 4, 46 + 7, 58 + 3, 68 + 4, 78 + 2, 82 + 1]),
    ],
)
def test_atom_init_bins(symbol, ones):
    assert np.flatnonzero(load_table("atom_init").vector(symbol)).tolist() == ones


def test_atom_init_is_one_hot_in_each_property():
    vectors = load_table("atom_init").vectors
    assert vectors.shape == (100, 92)
    edges = np.cumsum([0, 19, 7, 10, 10, 12, 10, 10, 4, 10])
    for start, stop in itertools.pairwise(edges):
        assert set(vectors[:, start:stop].sum(axis=1)) <= {0, 1}


@pytest.mark.data
@pytest.mark.skipif("CRYSTAL_DATA_HOME" not in os.environ, reason="CRYSTAL_DATA_HOME is not set")
def test_atom_init_equals_the_public_table():
    public = load_table(Path(os.environ["CRYSTAL_DATA_HOME"]) / "cgcnn" / "atom_init.json")
    ours = load_table("atom_init")
    np.testing.assert_array_equal(ours.atomic_numbers, public.atomic_numbers)
    np.testing.assert_array_equal(ours.vectors, public.vectors)


def test_a_scale_is_one_wide(tmp_path):
    path = tmp_path / "scale.json"
    path.write_text('{"H": 1, "O": 2.5}')
    np.testing.assert_array_equal(load_table(path).vectors, [[1], [2.5]])


def test_untrained_rows_can_be_left_out():
    trained = small_table().trained()
    assert trained.symbols == ["H", "O"]
    np.testing.assert_array_equal(trained.vectors, small_table().vectors[:2])
    assert "random_elements" not in trained.metadata
    one_hot = load_table("one_hot")
    assert one_hot.trained() is one_hot
    with pytest.raises(ValueError, match="'small': training has shown none"):
        small_table(metadata={"random_elements": ["H", "O", "Fe"]}).trained()
