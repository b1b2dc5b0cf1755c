"""Columns, property kinds and batches, against loops over single crystals."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.store import CrystalStore, MissingColumnError, StoreError
from crystal_data.store.columns import (
    NpyWriter,
    StringColumn,
    encode_strings,
    map_array,
    ragged_positions,
)
from crystal_data.store.properties import PropertySchema, property_type

NO_NUL = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


def random_crystals(count: int, seed: int = 0) -> list[Crystal]:
    rng = np.random.default_rng(seed)
    crystals = []
    for number in range(count):
        num_atoms = int(rng.integers(1, 7))
        crystals.append(
            Crystal(
                lattice=np.eye(3) * 4 + rng.normal(scale=0.5, size=(3, 3)),
                frac_coords=rng.uniform(-1, 2, size=(num_atoms, 3)),
                atomic_numbers=rng.integers(1, 119, size=num_atoms),
                identifier=f"kristall-ä{number}",
                properties={
                    "energy": float(rng.normal()) if number % 3 else float("nan"),
                    "dos": rng.normal(size=5),
                    "forces": rng.normal(size=(num_atoms, 3)),
                    "label": f"é{number}",
                },
            )
        )
    return crystals


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    path = tmp_path / "store" if request.param == "disk" else None
    splits = ["train", "val", "test", ""] * 5
    return CrystalStore.from_crystals(random_crystals(20), path, split=splits, name="random")


def test_every_crystal_comes_back_as_it_was(store):
    for row, expected in enumerate(random_crystals(20)):
        found = store.crystal(row)
        for name in ("lattice", "frac_coords", "atomic_numbers"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert found.identifier == expected.identifier
        assert found.properties["label"] == expected.properties["label"]
        for name in ("energy", "dos", "forces"):
            np.testing.assert_array_equal(found.properties[name], expected.properties[name])


def test_kinds_and_shapes(store):
    total = int(store.num_atoms.sum())
    assert [store.kind(name) for name in ("energy", "dos", "forces", "label")] == [
        "scalar",
        "vector",
        "per_atom",
        "text",
    ]
    assert store.column("energy").shape == (20,)
    assert store.column("dos").shape == (20, 5)
    assert store.column("forces").shape == (total, 3)
    assert store.column("label")[3] == "é3"
    assert list(store.rows_of("val")) == [1, 5, 9, 13, 17]
    assert store.column("split")[2] == "test"


def test_batch_equals_a_loop_over_crystals(store):
    rows = np.array([7, 3, 3, 19, 0])
    batch = store.batch(rows, ("energy", "dos", "forces"))
    crystals = [store.crystal(row) for row in rows]
    assert batch.lattice.dtype == torch.float64
    np.testing.assert_array_equal(batch.lattice, np.stack([c.lattice for c in crystals]))
    np.testing.assert_array_equal(
        batch.frac_coords, np.concatenate([c.frac_coords for c in crystals])
    )
    np.testing.assert_array_equal(
        batch.atomic_numbers, np.concatenate([c.atomic_numbers for c in crystals])
    )
    np.testing.assert_array_equal(batch.num_atoms, [c.num_atoms for c in crystals])
    np.testing.assert_array_equal(
        batch.batch, np.repeat(np.arange(5), [c.num_atoms for c in crystals])
    )
    assert batch.identifier == [c.identifier for c in crystals]
    assert batch.sample_id.tolist() == rows.tolist()
    for name, join in (("energy", np.array), ("dos", np.stack), ("forces", np.concatenate)):
        expected = join([c.properties[name] for c in crystals])
        np.testing.assert_allclose(batch.targets[name], expected, rtol=1e-6)


def test_pickle_keeps_rows(store):
    copy = pickle.loads(pickle.dumps(store))
    assert len(copy) == 20
    np.testing.assert_array_equal(copy.batch([5]).frac_coords, store.batch([5]).frac_coords)
    assert (len(pickle.dumps(store)) < 500) == (store.path is not None)


def test_missing_column_names_those_alike(store):
    with pytest.raises(MissingColumnError, match="did you mean 'energy'"):
        store.batch([0], ("enrgy",))
    with pytest.raises(ValueError, match="'label' holds text"):
        store.batch([0], ("label",))
    with pytest.raises(IndexError, match="rows 3 to 20 of a store of 20"):
        store.batch([3, 20])


def test_first_value_decides_and_rows_before_it_are_missing():
    crystals = random_crystals(4)
    values = {
        "late_text": [None, "", "x", "y"],
        "late_vector": [None, None, np.ones(2), None],
        "late_atoms": [None, None, None, np.ones((crystals[3].num_atoms, 1))],
        "never": [None, float("nan"), None, ""],
        "whole": [1, 2, True, np.int64(4)],
    }
    store = CrystalStore.from_crystals(crystals, properties=values)
    assert store.column("late_text")[:] == ["", "", "x", "y"]
    assert np.isnan(store.column("late_vector")).all(axis=1).tolist() == [True, True, False, True]
    assert np.isnan(store.column("late_atoms")).sum() == store.num_atoms[:3].sum()
    assert np.isnan(store.column("never")).all()
    assert store.column("whole").tolist() == [1, 2, 1, 4]


def test_property_that_changes_its_kind_is_named():
    with pytest.raises(ValueError, match=r"kristall-ä1: property 'x' is text, where others have"):
        CrystalStore.from_crystals(random_crystals(2), properties={"x": [1.0, "text"]})
    with pytest.raises(ValueError, match=r"vector of 3 numbers, where others have a vector of 2"):
        CrystalStore.from_crystals(random_crystals(2), properties={"x": [np.ones(2), np.ones(3)]})
    with pytest.raises(ValueError, match="'x' has 1 values for 2 crystals"):
        CrystalStore.from_crystals(random_crystals(2), properties={"x": [1.0]})
    with pytest.raises(ValueError, match="expected \\[k\\] for a vector or \\[4, k\\]"):
        property_type(np.ones((3, 3)), 4)
    assert "NUL" in str(PropertySchema().problem({"x": "a\0b"}, 1))


@given(st.lists(NO_NUL), st.data())
def test_strings_come_back(strings, data):
    blob, ends = encode_strings(strings)
    column = StringColumn(blob, np.append(0, ends))
    assert column[:] == column[0:] == strings
    if strings:
        rows = data.draw(st.lists(st.integers(0, len(strings) - 1)))
        assert column.take(np.array(rows, dtype=np.int64)) == [strings[row] for row in rows]
        assert [column[row] for row in rows] == [strings[row] for row in rows]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5))))
def test_ragged_positions_equal_a_loop(runs):
    starts = np.array([start for start, _ in runs], dtype=np.int64)
    counts = np.array([count for _, count in runs], dtype=np.int64)
    expected = [start + step for start, count in runs for step in range(count)]
    assert ragged_positions(starts, counts).tolist() == expected


@pytest.mark.parametrize("chunks", [[], [3], [1, 0, 12345]])
def test_appended_file_is_plain_npy(tmp_path, chunks):
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(count, 3)) for count in chunks]
    writer = NpyWriter(tmp_path / "x.npy", np.float64, (3,))
    for part in parts:
        writer.append(part)
    writer.finish()
    expected = np.concatenate([np.empty((0, 3)), *parts])
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy", allow_pickle=False), expected)
    np.testing.assert_array_equal(map_array(tmp_path / "x.npy"), expected)


def test_objects_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="plain numbers"):
        map_array(tmp_path / "x.npy")


def test_damage_is_named(tmp_path):
    folder = tmp_path / "store"
    CrystalStore.from_crystals(random_crystals(5), folder)
    column = folder / "frac_coords.npy"
    column.write_bytes(column.read_bytes()[:-8])
    with pytest.raises(StoreError, match=r"frac_coords.npy: has \d+ bytes, expected \d+"):
        CrystalStore.open(folder)
    column.unlink()
    with pytest.raises(StoreError, match=r"frac_coords.npy: is missing"):
        CrystalStore.open(folder)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 3', '"format_version": 9'))
    with pytest.raises(StoreError, match="format 9, this crystal-data reads format 3"):
        CrystalStore.open(folder)
    with pytest.raises(StoreError, match="no manifest"):
        CrystalStore.open(tmp_path)


def test_store_of_nothing(tmp_path):
    store = CrystalStore.from_crystals([], tmp_path / "store")
    assert len(store) == 0
    assert store.column("identifier")[:] == []


def test_existing_folder_is_not_overwritten(tmp_path):
    with pytest.raises(InvalidArgumentError, match="a folder of its own"):
        CrystalStore.from_crystals(random_crystals(1), tmp_path)
