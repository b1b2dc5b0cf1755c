"""Rows of train, validation and test: the split, without what cannot or must not be learnt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystal_data.splits.folds import KFoldSplit
from crystal_data.splits.split import ColumnSplit, RatioSplit, SplitRows, Splitter
from crystal_data.store.store import CrystalStore


@dataclass(frozen=True, slots=True)
class ChosenRows:
    """Rows of each split, and how many have no label at all.

    Args:
        rows: Rows by split, rising.
        unlabelled: Rows left out because none of the targets has a value.
        is_drawn: The source has no split and none was asked for, so shares were drawn.
    """

    rows: SplitRows
    unlabelled: int
    is_drawn: bool


def choose_rows(
    store: CrystalStore, splitter: Splitter | None, targets: Sequence[str], seed: int
) -> ChosenRows:
    """Splits the rows and leaves those without any label out of training.

    Args:
        store: What is split.
        splitter: None takes the source's own split, or where it has none draws one.
        targets: Columns to learn; none for models that need no labels.
        seed: Of a split that is drawn for want of another.

    Raises:
        MissingColumnError: If a target does not exist; the message names those alike.
    """
    has_label = labelled(store, targets)
    is_drawn = splitter is None and len(store.rows_of("")) == len(store)
    if is_drawn:
        splitter = RatioSplit(seed=seed)
    if isinstance(splitter, RatioSplit | KFoldSplit):
        # Shares and folds are meant of what can be learnt or scored.
        rows = splitter.split(store, np.flatnonzero(has_label))
        return ChosenRows(rows, int((~has_label).sum()), is_drawn)
    rows = (splitter or ColumnSplit()).split(store)
    train = rows["train"]
    rows["train"] = train[has_label[train]]
    return ChosenRows(rows, len(train) - len(rows["train"]), is_drawn=False)


def labelled(store: CrystalStore, targets: Sequence[str]) -> NDArray[np.bool_]:
    """Whether a row has a value of at least one target; all do where there are no targets."""
    found = np.full(len(store), not targets)
    for name in targets:
        values = store.targets([name], np.arange(len(store)))[name]
        known = ~np.isnan(values.reshape(len(values), -1)).all(axis=1)
        if store.kind(name) == "per_atom":
            crystal = np.repeat(np.arange(len(store)), store.num_atoms)
            known = np.bincount(crystal, weights=known, minlength=len(store)) > 0
        found |= known
    return found
