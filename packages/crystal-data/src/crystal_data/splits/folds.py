"""Cross-validation: the rows in parts, each of which is the test part once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError
from crystal_data.splits.compositions import CrystalTable
from crystal_data.splits.split import (
    SplitRows,
    Splitter,
    group_keys,
    group_numbers,
    ratio_split,
    row_values,
    sorted_order,
)


@dataclass(frozen=True)
class KFoldSplit(Splitter):
    """One fold of a K-fold cross-validation; each seed is another repetition of it.

    Over the folds of one seed every row is tested exactly once.

    Args:
        num_folds: Parts that the rows are divided into, as equal as whole groups allow.
        fold: Which of them is tested, from 0.
        seed: Of the division, and of the validation rows.
        val: Share of the other rows that validate; 0 for none.
        group: Keep rows together that share this: ``reduced_formula``, ``chemical_system``, or any
            column.
    """

    num_folds: int = 5
    fold: int = 0
    seed: int = 0
    val: float = 0.1
    group: str | None = None

    def __post_init__(self) -> None:
        if self.num_folds < 2 or not 0 <= self.fold < self.num_folds:
            raise InvalidArgumentError(
                f"fold={self.fold} of num_folds={self.num_folds}: at least 2 folds, counted from "
                "0, so that the last is num_folds - 1"
            )
        if not 0 <= self.val < 1:
            raise InvalidArgumentError(
                f"val={self.val} is a share of the rows that are not tested: at least 0, less "
                "than 1"
            )

    @override
    def split(self, table: CrystalTable, rows: NDArray[np.int64] | None = None) -> SplitRows:
        rows = np.arange(len(table)) if rows is None else np.asarray(rows, dtype=np.int64)
        names: list[str] = row_values(table, "identifier", rows)
        groups = None if self.group is None else group_keys(table, self.group, rows)
        is_tested = fold_numbers(names, self.num_folds, self.seed, groups) == self.fold
        rest = np.flatnonzero(~is_tested)
        drawn = ratio_split(
            [names[position] for position in rest],
            self.val,
            0.0,
            self.seed,
            None if groups is None else groups[rest],
        )
        return {
            "train": np.sort(rows[rest[drawn["train"]]]),
            "val": np.sort(rows[rest[drawn["val"]]]),
            "test": np.sort(rows[is_tested]),
        }


def fold_numbers(
    identifiers: Sequence[str],
    num_folds: int,
    seed: int,
    groups: NDArray[Any] | None = None,
) -> NDArray[np.int64]:
    """Fold of each position 0 to n - 1, drawn by a seed.

    Args:
        identifiers: One for each position, no two alike.
        num_folds: How many folds.
        seed: Of the draw.
        groups: Positions of one group are in one fold; each alone by default.

    Returns:
        Numbers from 0; sizes of folds differ by no more than the largest group.

    Raises:
        InvalidArgumentError: If two identifiers are alike, or there are fewer groups than folds.
    """
    order = sorted_order(identifiers)
    member = np.arange(len(order)) if groups is None else group_numbers(groups[order])
    sizes = np.bincount(member)
    if len(sizes) < num_folds:
        raise InvalidArgumentError(
            f"{len(sizes)} groups cannot fill {num_folds} folds",
            "use fewer folds or smaller groups",
        )
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    # Small groups come last, so that they even out what large ones leave uneven.
    fold_of_group = np.empty(len(sizes), dtype=np.int64)
    filled = np.zeros(num_folds, dtype=np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of_group[group] = np.argmin(filled)
        filled[fold_of_group[group]] += sizes[group]
    folds = np.empty(len(order), dtype=np.int64)
    folds[order] = fold_of_group[member]
    return folds
