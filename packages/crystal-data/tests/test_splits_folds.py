"""Cross-validation: every row tested once, groups whole, folds alike in size."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.io.record import SPLIT_NAMES
from crystal_data.splits.folds import KFoldSplit, fold_numbers


class Table:
    """Crystals of one atom; what groups them is a column."""

    def __init__(self, groups: list[str], prefix: str = "id") -> None:
        self.num_atoms = np.ones(len(groups), dtype=np.int64)
        self.columns = {
            "identifier": [f"{prefix}-{row}" for row in range(len(groups))],
            "atomic_numbers": np.full(len(groups), ATOMIC_NUMBERS["Na"]),
            "parent": np.array(groups),
        }

    def __len__(self) -> int:
        return len(self.num_atoms)

    def column(self, name: str) -> object:
        return self.columns[name]


groups_of_rows = st.lists(st.integers(0, 25).map(str), min_size=20, max_size=90).filter(
    lambda groups: len(set(groups)) >= 8
)


@settings(max_examples=60, deadline=None)
@given(
    groups=groups_of_rows,
    num_folds=st.integers(2, 6),
    seed=st.integers(0, 1000),
    val=st.floats(0, 0.4),
)
def test_each_row_is_tested_once_and_groups_stay_whole(groups, num_folds, seed, val) -> None:
    table = Table(groups)
    tested = []
    for fold in range(num_folds):
        parts = KFoldSplit(num_folds, fold, seed, val, "parent").split(table)
        everywhere = np.concatenate([parts[name] for name in SPLIT_NAMES])
        assert sorted(everywhere.tolist()) == list(range(len(groups)))
        members = [{groups[row] for row in parts[name]} for name in SPLIT_NAMES]
        assert sum(map(len, members)) == len(set(groups))
        assert bool(len(parts["val"])) == (val > 0)
        assert len(parts["train"])
        tested.append(parts["test"])
    assert sorted(np.concatenate(tested).tolist()) == list(range(len(groups)))
    sizes = [len(rows) for rows in tested]
    assert max(sizes) - min(sizes) <= max(groups.count(group) for group in groups)


@settings(max_examples=40, deadline=None)
@given(groups=groups_of_rows, seed=st.integers(0, 1000), order=st.randoms())
def test_the_order_of_rows_does_not_matter(groups, seed, order) -> None:
    ids = [f"id-{row}" for row in range(len(groups))]
    folds = fold_numbers(ids, 4, seed, np.array(groups))
    rows = list(range(len(ids)))
    order.shuffle(rows)
    again = fold_numbers([ids[r] for r in rows], 4, seed, np.array([groups[r] for r in rows]))
    assert folds[rows].tolist() == again.tolist()


def test_folds_without_groups_differ_by_one_row_at_most() -> None:
    table = Table(["x"] * 23)
    split = KFoldSplit(5, 0, val=0.25)
    sizes = [len(replace(split, fold=fold).split(table)["test"]) for fold in range(5)]
    assert sorted(sizes) == [4, 4, 5, 5, 5]
    parts = replace(split, fold=int(np.argmax(sizes))).split(table)
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 14, "val": 4, "test": 5}


def test_a_repetition_divides_anew() -> None:
    table = Table([str(row // 2) for row in range(40)])
    first, second = (KFoldSplit(seed=s, group="parent").split(table) for s in (0, 1))
    assert first["test"].tolist() != second["test"].tolist()


def test_only_given_rows_are_divided() -> None:
    rows = np.arange(1, 40, 2)
    parts = KFoldSplit(4, 2).split(Table(["x"] * 40), rows)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == rows.tolist()


def test_there_must_be_as_many_groups_as_folds() -> None:
    parts = [KFoldSplit(2, f, val=0, group="parent").split(Table(["a", "b"] * 8)) for f in (0, 1)]
    assert [len(part["test"]) for part in parts] == [8, 8]
    with pytest.raises(ValueError, match="1 groups cannot fill 2 folds"):
        KFoldSplit(2, group="reduced_formula").split(Table(["a", "b"] * 8))


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="fold=5 of num_folds=5"):
        KFoldSplit(fold=5)
    with pytest.raises(ValueError, match="at least 2 folds"):
        KFoldSplit(num_folds=1)
    with pytest.raises(ValueError, match="val=1"):
        KFoldSplit(val=1.0)
    with pytest.raises(ValueError, match="stands twice"):
        fold_numbers(["a", "a", "b"], 2, 0, np.array([1, 2, 3]))
