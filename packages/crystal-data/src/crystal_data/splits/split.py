"""Which rows train, validate and test."""

import csv
import json
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import InvalidArgumentError, SourceError
from crystal_data.io.csv_cells import read_cell
from crystal_data.io.record import SPLIT_NAMES, SplitName
from crystal_data.sources.packed import open_text
from crystal_data.splits.compositions import CrystalTable, table_composition_keys

logger = logging.getLogger(__name__)

SplitRows = dict[SplitName, NDArray[np.int64]]


class Splitter(ABC):
    """A way to choose rows for training, validation and test."""

    @abstractmethod
    def split(self, table: CrystalTable, rows: NDArray[np.int64] | None = None) -> SplitRows:
        """Rows of each split, in rising order; disjoint.

        Args:
            table: A ``CrystalStore``.
            rows: The rows to choose from, such as those with a label; all of them by default.
        """


@dataclass(frozen=True)
class RatioSplit(Splitter):
    """Shares of all rows, drawn by a seed.

    Identifiers are sorted before they are shuffled, so that the order of the files does not
    matter.

    Args:
        val: Share of the validation rows; 0 for none.
        test: Share of the test rows; 0 for none.
        seed: Of the draw.
        group: Keep rows together that share this: ``reduced_formula``, ``chemical_system``, or any
            column. Shares are then met as nearly as whole groups allow.
    """

    val: float = 0.1
    test: float = 0.1
    seed: int = 0
    group: str | None = None

    def __post_init__(self) -> None:
        if min(self.val, self.test) < 0 or self.val + self.test >= 1:
            raise InvalidArgumentError(
                f"val={self.val} and test={self.test} are shares of all rows: each at least 0, "
                "together less than 1"
            )

    def split(self, table: CrystalTable, rows: NDArray[np.int64] | None = None) -> SplitRows:
        """Draw the rows of each split."""
        rows = np.arange(len(table)) if rows is None else np.asarray(rows, dtype=np.int64)
        identifiers = row_values(table, "identifier", rows)
        groups = None if self.group is None else group_keys(table, self.group, rows)
        drawn = ratio_split(identifiers, self.val, self.test, self.seed, groups)
        return {name: np.sort(rows[chosen]) for name, chosen in drawn.items()}


@dataclass(frozen=True)
class ColumnSplit(Splitter):
    """What a column says: train, val or test; rows where it is empty are left out.

    Args:
        column: By default the source's own split.
    """

    column: str = "split"

    def split(self, table: CrystalTable, rows: NDArray[np.int64] | None = None) -> SplitRows:
        """Read the rows of each split off the column."""
        rows = np.arange(len(table)) if rows is None else np.asarray(rows, dtype=np.int64)
        values = np.array([str(value) for value in row_values(table, self.column, rows)], dtype=str)
        strange = sorted(set(values.tolist()) - {*SPLIT_NAMES, ""})
        if strange:
            raise SourceError(
                f"column {self.column!r} holds {strange[0]!r}; expected train, val, test or nothing"
            )
        _say_left_out(int((values == "").sum()), len(rows), f"column {self.column!r} is empty")
        return {name: np.sort(rows[values == name]) for name in SPLIT_NAMES}


@dataclass(frozen=True)
class TrainWithin(Splitter):
    """The source's own split, but of the rows to train and validate those alone within a range.

    So a model is tested on what it was not trained on: ``column="spacegroup.number"``, ``low=195``
    trains on cubic crystals and tests on all.

    Args:
        column: Numbers; rows without one are neither trained on nor validated.
        low: Smallest value to train on.
        high: Largest value to train on.
    """

    column: str
    low: float = -math.inf
    high: float = math.inf

    def split(self, table: CrystalTable, rows: NDArray[np.int64] | None = None) -> SplitRows:
        """Read the rows of each split, and leave out those beyond the range."""
        whole = ColumnSplit().split(table, rows)
        return {
            name: part if name == "test" else self._within(table, part)
            for name, part in whole.items()
        }

    def _within(self, table: CrystalTable, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        values = np.asarray(row_values(table, self.column, rows))
        if not np.issubdtype(values.dtype, np.number):
            raise InvalidArgumentError(f"TrainWithin: column {self.column!r} holds no numbers")
        chosen: NDArray[np.int64] = rows[(values >= self.low) & (values <= self.high)]
        return chosen


@dataclass(frozen=True)
class IdSplit(Splitter):
    """Lists of identifiers in files; rows in none of them are left out.

    A file is a text file with one identifier on each line, a CSV whose first column holds them
    (with a header), or a JSON list or object whose keys they are.

    Args:
        train: File of the training identifiers.
        val: File of the validation identifiers.
        test: File of the test identifiers.
    """

    train: str | Path
    val: str | Path | None = None
    test: str | Path | None = None

    def split(self, table: CrystalTable, rows: NDArray[np.int64] | None = None) -> SplitRows:
        """Find the rows of the listed identifiers."""
        rows = np.arange(len(table)) if rows is None else np.asarray(rows, dtype=np.int64)
        files = {"train": self.train, "val": self.val, "test": self.test}
        lists = {name: read_ids(path) for name, path in files.items() if path is not None}
        found = id_split(row_values(table, "identifier", rows), lists)
        chosen = sum(len(part) for part in found.values())
        _say_left_out(len(rows) - chosen, len(rows), "their identifiers are in no list")
        return {name: np.sort(rows[part]) for name, part in found.items()}


def ratio_split(
    identifiers: Sequence[str],
    val: float,
    test: float,
    seed: int,
    groups: Sequence[Any] | NDArray[Any] | None = None,
) -> SplitRows:
    """Shares of the positions 0 to n - 1, drawn by a seed.

    Args:
        identifiers: One for each position, no two alike.
        val: Share of the validation rows.
        test: Share of the test rows.
        seed: Of the draw.
        groups: Positions of one group stay together; each alone by default.

    Returns:
        Positions of each split, in rising order: disjoint, and complete together.

    Raises:
        InvalidArgumentError: If two identifiers are alike, or there are fewer groups than splits to
            fill.
    """
    names = np.asarray(identifiers, dtype=str)
    order = sorted_order(identifiers)
    wanted: dict[SplitName, float] = {"test": test, "val": val, "train": 1.0 - val - test}
    wanted = {name: share * len(names) for name, share in wanted.items() if share > 0}
    if groups is None:
        return _cut(order[np.random.default_rng(seed).permutation(len(order))], wanted)
    member = group_numbers(np.asarray(groups)[order])
    sizes = np.bincount(member)
    if len(names) and len(sizes) < len(wanted):
        raise InvalidArgumentError(
            f"{len(sizes)} groups cannot fill {' and '.join(wanted)}",
            "use smaller groups, or leave a split out with a share of 0",
        )
    owner = _deal(np.random.default_rng(seed).permutation(len(sizes)), sizes, wanted)
    split_of_row = np.empty(len(names), dtype=object)
    split_of_row[order] = np.array(owner, dtype=object)[member]
    return {name: np.flatnonzero(split_of_row == name) for name in SPLIT_NAMES}


def sorted_order(identifiers: Sequence[str]) -> NDArray[np.int64]:
    """Positions by identifier: what is drawn in this order is the same for any order of rows.

    Raises:
        InvalidArgumentError: If two identifiers are alike.
    """
    names = np.asarray(identifiers, dtype=str)
    order = np.argsort(names, kind="stable")
    doubled = names[order][1:][names[order][1:] == names[order][:-1]]
    if len(doubled):
        raise InvalidArgumentError(
            f"identifier {str(doubled[0])!r} stands twice; splits need them to differ"
        )
    return order


def group_numbers(keys: NDArray[Any]) -> NDArray[np.int64]:
    """Number of each position's group, counted by where the groups first stand."""
    _, first, member = np.unique(keys, return_index=True, return_inverse=True)
    rank: NDArray[np.int64] = np.argsort(np.argsort(first))
    return rank[member.reshape(-1)]


def _cut(shuffled: NDArray[np.int64], wanted: dict[SplitName, float]) -> SplitRows:
    num_test = round(wanted.get("test", 0.0))
    num_val = round(wanted.get("val", 0.0))
    parts = np.split(shuffled, [num_test, num_test + num_val])
    return dict(zip(("test", "val", "train"), (np.sort(part) for part in parts), strict=True))


def _deal(
    shuffled: NDArray[np.int64], sizes: NDArray[np.int64], wanted: dict[SplitName, float]
) -> list[SplitName]:
    """Give each group, in its drawn order, to the split that lacks most rows."""
    owner: list[SplitName] = ["train"] * len(sizes)
    lacking = dict(wanted)
    for group in shuffled:
        name = max(lacking, key=lambda split: lacking[split])
        owner[group] = name
        lacking[name] -= int(sizes[group])
    for name in wanted:
        if len(sizes) and name not in owner:
            # One group was larger than all that the others lacked: the last drawn moves here.
            donors = [int(g) for g in reversed(shuffled) if owner.count(owner[g]) > 1]
            owner[donors[0]] = name
    return owner


def id_split(identifiers: Sequence[str], lists: dict[str, list[str]]) -> SplitRows:
    """Positions of listed identifiers.

    Raises:
        InvalidArgumentError: If an identifier is in two lists, or in a list but not among
            ``identifiers``.
    """
    position = {identifier: row for row, identifier in enumerate(identifiers)}
    owner: dict[str, str] = {}
    for name, listed in lists.items():
        for identifier in listed:
            if owner.setdefault(identifier, name) != name:
                raise InvalidArgumentError(
                    f"{identifier!r} is in the lists of {owner[identifier]} and {name}"
                )
        unknown = [identifier for identifier in listed if identifier not in position]
        if unknown:
            raise InvalidArgumentError(
                f"{len(unknown)} of the {len(listed)} identifiers listed for {name} are not in the "
                f"data, such as {', '.join(map(repr, unknown[:3]))}; they are {len(position)} like "
                f"{next(iter(position), '')!r}"
            )
    return {
        name: np.array(
            sorted(position[identifier] for identifier in set(lists.get(name, ()))), dtype=np.int64
        )
        for name in SPLIT_NAMES
    }


def read_ids(path: str | Path) -> list[str]:
    """Identifiers listed in a text, CSV or JSON file, in its order.

    Raises:
        FileNotFoundError: If there is no such file.
        SourceError: If it is damaged, or a JSON file holds no identifiers.
    """
    path = Path(path).expanduser()
    with open_text(path) as file:
        try:
            if ".json" in path.suffixes:
                return _listed(json.load(file), path)
            if ".csv" in path.suffixes:
                # strict: a quote without an end would swallow all lines behind it.
                rows = list(csv.reader(file, strict=True))
                return [read_cell(one) for one in _stripped(row[0] for row in rows[1:] if row)]
            return _stripped(file)
        except (SourceError, UnicodeDecodeError):
            raise  # they name the file, or open_text does
        except RecursionError:
            raise SourceError(f"{path}: the JSON is nested too deeply") from None
        except (ValueError, csv.Error) as error:
            raise SourceError(f"{path} is damaged: {error}", "fetch or write it again") from error


def _listed(content: Any, path: Path) -> list[str]:
    if not isinstance(content, list | dict):
        raise SourceError(f"{path}: expected a list of identifiers, or an object of them")
    for identifier in content:
        if isinstance(identifier, bool) or not isinstance(identifier, str | int):
            raise SourceError(f"{path}: {identifier!r:.50} is no identifier")
    return [str(identifier) for identifier in content]


def _stripped(lines: Iterable[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]


def row_values(table: CrystalTable, name: str, rows: NDArray[np.int64]) -> list[Any]:
    """Values of a column in the given rows."""
    values = table.column(name)[:]
    return [values[row] for row in rows]


def group_keys(table: CrystalTable, group: str, rows: NDArray[np.int64]) -> NDArray[Any]:
    """What rows of one group share.

    Args:
        table: A ``CrystalStore``.
        group: ``reduced_formula``, ``chemical_system``, or any column.
        rows: The rows asked for.
    """
    if group == "reduced_formula":
        return table_composition_keys(table, "reduced_formula")[rows]
    if group == "chemical_system":
        return table_composition_keys(table, "chemical_system")[rows]
    identifiers = row_values(table, "identifier", rows)
    values = [str(value) for value in row_values(table, group, rows)]
    # Rows that lack the value have nothing in common.
    return np.array(
        [
            f"id:{identifier}" if value in ("", "nan") else f"value:{value}"
            for identifier, value in zip(identifiers, values, strict=True)
        ]
    )


def _say_left_out(count: int, total: int, why: str) -> None:
    if count:
        logger.warning("%d of %d rows are in no split: %s", count, total, why)
