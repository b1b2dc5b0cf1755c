"""Splits: disjoint, complete, the same in any order of rows, never through a group."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.splits.compositions import composition_keys
from crystal_data.splits.split import (
    SPLIT_NAMES,
    ColumnSplit,
    IdSplit,
    RatioSplit,
    id_split,
    ratio_split,
)


@dataclass
class Table:
    columns: dict[str, Any]
    num_atoms: Any = None

    def __len__(self) -> int:
        return len(self.columns["identifier"])

    def column(self, name: str) -> Any:
        return self.columns[name]


def table(formulas: list[str], **columns: Any) -> Table:
    atoms = [[ATOMIC_NUMBERS[symbol] for symbol in formula.split()] for formula in formulas]
    return Table(
        {
            "identifier": [f"id-{row}" for row in range(len(formulas))],
            "atomic_numbers": np.array([z for crystal in atoms for z in crystal]),
            **columns,
        },
        np.array([len(crystal) for crystal in atoms]),
    )


sizes = st.integers(min_value=3, max_value=60)
shares = st.tuples(st.floats(0, 0.45), st.floats(0, 0.45))


@settings(max_examples=60, deadline=None)
@given(num=sizes, share=shares, seed=st.integers(0, 1000), order=st.randoms())
def test_ratio_split_is_a_partition_in_any_row_order(num, share, seed, order) -> None:
    ids = [f"mp-{i}" for i in range(num)]
    parts = ratio_split(ids, *share, seed)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(num))
    assert len(parts["test"]) == round(share[1] * num)
    shuffled = ids[:]
    order.shuffle(shuffled)
    other = ratio_split(shuffled, *share, seed)
    for name in SPLIT_NAMES:
        assert {ids[row] for row in parts[name]} == {shuffled[row] for row in other[name]}


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.integers(0, 12), min_size=12, max_size=80),
    share=shares,
    seed=st.integers(0, 1000),
    order=st.randoms(),
)
def test_groups_stay_whole_in_any_row_order(groups, share, seed, order) -> None:
    ids = [f"mp-{i}" for i in range(len(groups))]
    if len(set(groups)) < 3:
        return
    parts = ratio_split(ids, *share, seed, groups)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(ids)))
    members = {name: {groups[row] for row in rows} for name, rows in parts.items()}
    assert not members["train"] & members["val"]
    assert not members["train"] & members["test"]
    assert not members["val"] & members["test"]
    for name, wanted in (("val", share[0]), ("test", share[1])):
        assert bool(len(parts[name])) == (wanted > 0)
    rows = list(range(len(ids)))
    order.shuffle(rows)
    other = ratio_split([ids[r] for r in rows], *share, seed, [groups[r] for r in rows])
    for name in SPLIT_NAMES:
        assert set(parts[name].tolist()) == {rows[position] for position in other[name]}


def test_seed_matters_and_small_groups_meet_the_shares() -> None:
    ids = [f"mp-{i}" for i in range(1000)]
    groups = [i // 4 for i in range(1000)]
    parts = ratio_split(ids, 0.1, 0.2, 0, groups)
    assert {n: len(rows) for n, rows in parts.items()} == {"train": 700, "val": 100, "test": 200}
    assert parts["test"].tolist() != ratio_split(ids, 0.1, 0.2, 1, groups)["test"].tolist()


def test_test_split_may_be_absent() -> None:
    parts = RatioSplit(val=0.25, test=0.0).split(table(["Na Cl"] * 8))
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 6, "val": 2, "test": 0}


def test_reduced_formula_keeps_multiples_together() -> None:
    formulas = ["Na Cl", "Cl Na", "Na Na Cl Cl", "K Cl", "K Br", "Na Na Cl", "Mg O", "Ca O"]
    data = table(formulas)
    keys = composition_keys(data.columns["atomic_numbers"], data.num_atoms)
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys.tolist())) == 6
    systems = composition_keys(data.columns["atomic_numbers"], data.num_atoms, "chemical_system")
    assert systems[0] == systems[5]
    for seed in range(10):
        parts = RatioSplit(val=0.2, test=0.2, seed=seed, group="reduced_formula").split(data)
        assert any({0, 1, 2} <= set(rows.tolist()) for rows in parts.values())


def test_group_by_column_and_rows_without_value_stand_alone() -> None:
    data = table(["Na Cl"] * 40, parent=["a", "a", "b", "b"] + [""] * 36)
    parts = RatioSplit(val=0.25, test=0.25, group="parent").split(data)
    where = {int(row): name for name, rows in parts.items() for row in rows}
    assert where[0] == where[1]
    assert where[2] == where[3]
    assert [len(parts[name]) for name in SPLIT_NAMES] == [20, 10, 10]


def test_only_given_rows_are_split() -> None:
    rows = np.array([1, 3, 5, 7, 9])
    parts = RatioSplit(val=0.2, test=0.2).split(table(["Na Cl"] * 10), rows)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == rows.tolist()


def test_column_split(caplog: pytest.LogCaptureFixture) -> None:
    data = table(["Na Cl"] * 5, split=np.array(["test", "train", "", "val", "train"]))
    parts = ColumnSplit().split(data)
    assert {n: rows.tolist() for n, rows in parts.items()} == {
        "train": [1, 4],
        "val": [3],
        "test": [0],
    }
    assert "1 of 5 rows" in caplog.text
    with pytest.raises(ValueError, match="'holdout'"):
        ColumnSplit("part").split(table(["Na Cl"], part=["holdout"]))


def test_id_files_of_all_kinds(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("id-1\n\nid-0\n")
    (tmp_path / "val.csv").write_text("id,value\nid-2,1.0\n")
    (tmp_path / "test.json").write_text(json.dumps({"id-3": 0.5}))
    splitter = IdSplit(tmp_path / "train.txt", tmp_path / "val.csv", tmp_path / "test.json")
    parts = splitter.split(table(["Na Cl"] * 5))
    assert [parts[name].tolist() for name in SPLIT_NAMES] == [[0, 1], [2], [3]]


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="'b' is in the lists of train and test"):
        id_split(["a", "b"], {"train": ["a", "b"], "test": ["b"]})
    with pytest.raises(ValueError, match=r"1 of the 2 identifiers listed for train .* 'x'"):
        id_split(["a", "b"], {"train": ["a", "x"]})
    with pytest.raises(ValueError, match="'a' stands twice"):
        ratio_split(["a", "b", "a"], 0.1, 0.1, 0)
    with pytest.raises(ValueError, match="together less than 1"):
        RatioSplit(val=0.6, test=0.4)
    with pytest.raises(ValueError, match="2 groups cannot fill"):
        ratio_split(["a", "b", "c"], 0.3, 0.3, 0, [1, 1, 2])
