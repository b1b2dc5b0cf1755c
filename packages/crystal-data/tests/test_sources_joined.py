"""Several sources as one: every record of each, missing columns, units, duplicates."""

from collections.abc import Iterator

import numpy as np
import pytest

from crystal_data import CrystalSource, JoinedSource, Record, Rejection, open_store
from crystal_data.testing import random_crystals


class Listed(CrystalSource):
    def __init__(self, name: str, column: str, unit: str, first: int) -> None:
        self._name, self._column, self._unit, self._first = name, column, unit, first

    @property
    def name(self) -> str:
        return self._name

    @property
    def units(self) -> dict[str, str]:
        return {self._column: self._unit, "energy": "eV"}

    def fingerprint(self) -> str:
        return f"{self._name}{self._first}"

    def records(self) -> Iterator[Record | Rejection]:
        crystals = random_crystals(3, np.random.default_rng(self._first))
        for number, crystal in enumerate(crystals, start=self._first):
            properties = {"energy": float(number), self._column: -float(number)}
            split = "train" if number % 2 else "test"
            yield Record(f"m-{number}", crystal, "crystal", properties, split)


def test_rows_columns_and_splits_of_all(tmp_path):
    joined = JoinedSource([Listed("a", "gap", "eV", 0), Listed("b", "modulus", "GPa", 10)])
    store = open_store(joined, cache=tmp_path)
    assert list(store.strings("identifier")) == [f"m-{i}" for i in (0, 1, 2, 10, 11, 12)]
    assert store.column("energy").tolist() == [0, 1, 2, 10, 11, 12]
    np.testing.assert_equal(store.column("gap"), [0, -1, -2, np.nan, np.nan, np.nan])
    np.testing.assert_equal(store.column("modulus"), [np.nan] * 3 + [-10, -11, -12])
    assert store.rows_of("train").tolist() == [1, 4]
    assert joined.units == {"gap": "eV", "energy": "eV", "modulus": "GPa"}
    assert joined.name == "a+b"
    assert list(store.strings("source")) == ["a"] * 3 + ["b"] * 3


def test_a_source_that_is_named_already_keeps_its_name(tmp_path):
    inner = JoinedSource([Listed("a", "x", "eV", 0), Listed("b", "x", "eV", 10)])
    store = open_store(JoinedSource([inner, Listed("c", "x", "eV", 20)]), cache=tmp_path)
    assert list(store.strings("source")) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3


def test_labels_apart_have_a_column_for_each_source(tmp_path):
    sources = [Listed("a", "x", "eV", 0), Listed("b", "x", "GPa", 10)]
    joined = JoinedSource(sources, labels_apart=True)
    store = open_store(joined, cache=tmp_path)
    np.testing.assert_equal(store.column("x/a"), [0, -1, -2, np.nan, np.nan, np.nan])
    np.testing.assert_equal(store.column("x/b"), [np.nan] * 3 + [-10, -11, -12])
    assert joined.units == {"x/a": "eV", "energy/a": "eV", "x/b": "GPa", "energy/b": "eV"}
    assert list(store.strings("source")) == ["a"] * 3 + ["b"] * 3
    alike = [Listed("a", "x", "eV", 0), Listed("b", "x", "eV", 10)]
    prints = [JoinedSource(alike, labels_apart=apart).fingerprint() for apart in (True, False)]
    assert len(set(prints)) == 2


def test_another_order_or_source_is_another_store():
    a, b = Listed("a", "x", "eV", 0), Listed("b", "x", "eV", 10)
    prints = [JoinedSource(s).fingerprint() for s in ([a, b], [b, a], [a])]
    assert len(set(prints)) == 3


def test_an_identifier_of_both_sources_is_rejected_once(tmp_path):
    joined = JoinedSource([Listed("a", "x", "eV", 0), Listed("b", "x", "eV", 2)])
    store = open_store(joined, on_invalid="skip", cache=tmp_path)
    assert list(store.strings("identifier")) == [f"m-{i}" for i in range(5)]


def test_units_that_do_not_agree_are_an_error():
    with pytest.raises(ValueError, match="'x' is in GPa in b and in eV before"):
        _ = JoinedSource([Listed("a", "x", "eV", 0), Listed("b", "x", "GPa", 10)]).units
    with pytest.raises(ValueError, match="at least one"):
        JoinedSource([])
