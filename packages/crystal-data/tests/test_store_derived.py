"""Derived columns: computed once, kept by name and options, the same on disk and in memory."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from typing_extensions import override

from crystal_data.crystal import Crystal, CrystalArrays, end_to_end
from crystal_data.store import (
    ArrayLayout,
    ColumnChunk,
    CrystalStore,
    DerivedColumn,
    StoreError,
)
from crystal_data.store.tokens import TokenColumn
from crystal_data.testing import random_crystals
from crystal_data.text import CrystalTokenizer


@dataclass(frozen=True)
class HeavyAtoms(DerivedColumn):
    """Heavy atoms of each crystal, its volume, and a failure for odd numbers of atoms."""

    name: ClassVar[str] = "heavy"
    activity: ClassVar[str] = "weighing"
    layout: ClassVar[Mapping[str, ArrayLayout]] = {
        "place": ArrayLayout(np.uint8),
        "frac_coords": ArrayLayout(np.float64, (3,)),
        "volume": ArrayLayout(np.float32, is_ragged=False),
        "cell": ArrayLayout(np.float64, (3, 3), is_ragged=False),
    }
    reasons: ClassVar[Sequence[str]] = ("odd", "too_many")

    threshold: int = 30
    most: int = 8

    @override
    def compute(self, crystals: CrystalArrays) -> ColumnChunk:
        num_atoms = crystals.num_atoms
        failures = np.where(num_atoms > self.most, 2, num_atoms % 2)
        owner = np.repeat(np.arange(len(num_atoms)), num_atoms)
        heavy = np.flatnonzero((crystals.atomic_numbers > self.threshold) & (failures[owner] == 0))
        local = heavy - (np.cumsum(num_atoms) - num_atoms)[owner[heavy]]
        arrays = {
            "place": local.astype(np.min_scalar_type(local.max(initial=0))),
            "frac_coords": crystals.frac_coords[heavy],
            "volume": np.abs(np.linalg.det(crystals.lattice)).astype(np.float32),
            "cell": crystals.lattice,
        }
        return ColumnChunk(arrays, np.bincount(owner[heavy], minlength=len(num_atoms)), failures)


CRYSTALS = random_crystals(40, seed=3, max_atoms=12)


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return CrystalStore.from_crystals(
        CRYSTALS, tmp_path / "store" if request.param == "disk" else None
    )


@pytest.mark.parametrize("atoms_per_chunk", [1, 30, 100_000])
def test_values_are_those_of_each_crystal(store, monkeypatch, atoms_per_chunk, capfd):
    monkeypatch.setattr(HeavyAtoms, "atoms_per_chunk", atoms_per_chunk)
    column = HeavyAtoms()
    assert store.column_of(column) is None
    added = store.add_column(column, num_workers=0)
    counts = np.array([c.num_atoms for c in CRYSTALS])
    odd, many = (counts % 2 == 1) & (counts <= 8), counts > 8
    assert odd.any()
    assert many.any()
    said = capfd.readouterr().err
    total = odd.sum() + many.sum()
    assert (
        f"heavy: {total} of 40 crystals have none: {odd.sum()} odd, {many.sum()} too_many" in said
    )
    assert added.failed() == {
        row: "too_many" if many[row] else "odd" for row in np.flatnonzero(odd | many).tolist()
    }
    rows = np.array([7, 3, 39, 3, 0])
    chunk = store.column_of(column).cut(rows)
    expected = column.compute(end_to_end([CRYSTALS[row] for row in rows]))
    for name in column.layout:
        assert np.array_equal(chunk.arrays[name], expected.arrays[name]), name
    assert chunk.arrays["volume"].dtype == np.float32
    assert chunk.counts.tolist() == expected.counts.tolist()
    assert chunk.failures.tolist() == expected.failures.tolist()


def test_integers_are_as_wide_as_the_widest_chunk(store, monkeypatch):
    monkeypatch.setattr(HeavyAtoms, "atoms_per_chunk", 50)
    rng = np.random.default_rng(0)
    large = Crystal(np.eye(3) * 20, rng.uniform(size=(300, 3)), np.full(300, 40))
    crystals = [*CRYSTALS[:20], large, *CRYSTALS[20:]]
    path = None if store.path is None else store.path.with_name("wide")
    wide = CrystalStore.from_crystals(crystals, path)
    values = wide.add_column(HeavyAtoms(most=1000), num_workers=0)
    assert values.arrays["place"].dtype == np.uint16
    everything = HeavyAtoms(most=1000).compute(end_to_end(crystals))
    assert np.array_equal(values.arrays["place"], everything.arrays["place"])


def test_options_and_version_name_the_folder(monkeypatch):
    names = {HeavyAtoms().folder_name, HeavyAtoms(31).folder_name, TokenColumn().folder_name}
    monkeypatch.setattr(HeavyAtoms, "version", 2)
    assert len(names | {HeavyAtoms().folder_name}) == 4
    assert HeavyAtoms().folder_name.startswith("heavy-")


def test_a_column_is_computed_once_and_found_later(tmp_path, monkeypatch):
    store = CrystalStore.from_crystals(CRYSTALS, tmp_path / "store")
    early = CrystalStore.open(tmp_path / "store")
    store.add_column(HeavyAtoms(), num_workers=0)
    monkeypatch.setattr(HeavyAtoms, "compute", lambda *_: pytest.fail("computed again"))
    for other in (early, pickle.loads(pickle.dumps(store)), CrystalStore.open(store.path)):
        other.add_column(HeavyAtoms(), num_workers=0)
        assert other.column_of(HeavyAtoms()).failed()
    memory = CrystalStore.from_crystals(CRYSTALS)
    monkeypatch.undo()
    memory.add_column(HeavyAtoms())
    assert pickle.loads(pickle.dumps(memory)).column_of(HeavyAtoms()).failed()


def test_another_layout_needs_another_version(tmp_path, monkeypatch):
    store = CrystalStore.from_crystals(CRYSTALS, tmp_path / "store")
    store.add_column(HeavyAtoms(), num_workers=0)
    more = {**HeavyAtoms.layout, "mass": ArrayLayout(np.float64)}
    monkeypatch.setattr(HeavyAtoms, "layout", more)
    message = r"it has no mass, which HeavyAtoms\(.*\) has; raise the version of HeavyAtoms"
    with pytest.raises(StoreError, match=message):
        CrystalStore.open(store.path).column_of(HeavyAtoms())


def test_a_column_that_fails_leaves_nothing(tmp_path, monkeypatch):
    store = CrystalStore.from_crystals(CRYSTALS, tmp_path / "store")

    def compute(self, crystals):
        raise ZeroDivisionError("a mistake of the function")

    monkeypatch.setattr(HeavyAtoms, "compute", compute)
    with pytest.raises(ZeroDivisionError):
        store.add_column(HeavyAtoms(), num_workers=0)
    monkeypatch.undo()
    assert store.column_of(HeavyAtoms()) is None
    assert store.add_column(HeavyAtoms(), num_workers=0).failed()


@pytest.mark.parametrize("name", ["failures", "place", "offsets", "volume"])
def test_damage_is_found_and_computed_anew(tmp_path, capfd, name):
    store = CrystalStore.from_crystals(CRYSTALS, tmp_path / "store")
    store.add_column(HeavyAtoms(), num_workers=0)
    path = store.path / HeavyAtoms().folder_name / f"{name}.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    damaged = CrystalStore.open(store.path)
    with pytest.raises(StoreError, match=f"{name}.npy: its checksum does not fit"):
        damaged.column_of(HeavyAtoms())
    damaged.add_column(HeavyAtoms(), num_workers=0)
    assert "computing heavy anew" in capfd.readouterr().err
    assert path.read_bytes() == whole


def test_tokens_of_a_store(store):
    tokenizer = CrystalTokenizer(3)
    column = TokenColumn(decimals=3, max_length=tokenizer.length(10))
    values = store.add_column(column, num_workers=0)
    for row, crystal in enumerate(CRYSTALS):
        tokens = values.cut(np.array([row])).arrays["tokens"]
        if crystal.num_atoms <= 10:
            assert np.array_equal(tokens, tokenizer.encode(crystal))
        else:
            assert len(tokens) == 0
            assert values.failed()[row] == "too_long"
    assert any(c.num_atoms > 10 for c in CRYSTALS)
    with pytest.raises(ValueError, match="max_length is 3"):
        TokenColumn(max_length=3)


@pytest.mark.slow
def test_other_processes_compute_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(TokenColumn, "atoms_per_chunk", 20)
    stores = [CrystalStore.from_crystals(CRYSTALS, tmp_path / name) for name in "ab"]
    for store, num_workers in zip(stores, (0, 2), strict=True):
        store.add_column(TokenColumn(), num_workers=num_workers)
    one, two = (store.path / TokenColumn().folder_name for store in stores)
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()
