"""Keeps evaluation structures out of training; the comparison is made once and kept."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import MissingFileError
from crystal_data.io.checked_json import (
    read_json_object,
    verify_checksum,
    with_checksum,
)
from crystal_data.io.csv_cells import read_csv
from crystal_data.io.files import csv_text, write_text
from crystal_data.io.own_files import DamagedFileError
from crystal_data.io.record import Split
from crystal_data.processes.locking import locked
from crystal_data.processes.progress import say
from crystal_data.sources.base import CrystalSource
from crystal_data.sources.hashing import hash_file
from crystal_data.splits.leaks import CrystalSet, Leak, find_leaks
from crystal_data.splits.split import SplitRows
from crystal_data.store.store import CrystalStore


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Structures of another source that training must not see.

    Args:
        source: Where they come from.
        split: Only this split of it, all of it by default.
    """

    source: CrystalSource
    split: Split = ""


# Rows of the same source, another source or a part of it, or a file of identifiers.
Excluded = EvaluationSet | CrystalSource | str


@dataclass(frozen=True, slots=True, eq=False)
class Exclusion:
    """Training rows that were kept, and the table of the others.

    Args:
        rows: Rows that are kept, in their order.
        table: Text of ``excluded.csv``; empty if there was nothing to compare with.
    """

    rows: NDArray[np.int64]
    table: str

    @property
    def sha256(self) -> str:
        """Hash of the table, for results and artifacts."""
        return hashlib.sha256(self.table.encode()).hexdigest()

    @property
    def num_excluded(self) -> int:
        """How many rows were left out."""
        return sum(1 for _ in read_csv(io.StringIO(self.table, newline="")))


def exclude(
    store: CrystalStore,
    rows: SplitRows,
    against: Sequence[Excluded],
    open_source: Callable[[CrystalSource], CrystalStore],
) -> Exclusion:
    """Drops the training rows that stand in an evaluation set, or recalls which they were.

    Args:
        store: The store to train from.
        rows: Its rows by split.
        against: What must not be trained on; ``"val"`` and ``"test"`` are this store's own.
        open_source: Opens the store of a source.

    Returns:
        What is left. The comparison is kept beside the columns of a store on disk, so that other
        processes and later runs do not repeat it.
    """
    train = rows["train"]
    if not against:
        return Exclusion(train, "")

    def compare() -> str:
        sets = [_crystal_set(item, store, rows, open_source) for item in against]
        found = find_leaks(CrystalSet.from_store(store, train), sets)
        _report(store, train, sets, list(found.values()))
        return _table_text(found.values())

    table = compare() if store.path is None else _recalled(store.path, rows, against, compare)
    left_out = {row["id"] for row in read_csv(io.StringIO(table, newline=""))}
    identifiers = store.strings("identifier").take(train)
    is_kept = np.array([identifier not in left_out for identifier in identifiers], dtype=bool)
    return Exclusion(train[is_kept], table)


def _report(
    store: CrystalStore,
    train: NDArray[np.int64],
    sets: Sequence[CrystalSet],
    leaks: Sequence[Leak],
) -> None:
    if leaks:
        undecided = sum(leak.how in ("timeout", "error") for leak in leaks)
        why = f" ({undecided} because no comparison was possible)" if undecided else ""
        # Two splits of a source have one name.
        names = ", ".join(dict.fromkeys(one.name for one in sets))
        say(
            f"{store.metadata['source']}: {len(leaks)} of {len(train)} training rows stand in "
            f"{names} and are left out{why}"
        )


def _table_text(leaks: Iterable[Leak]) -> str:
    return csv_text(
        ("id", "matched_id", "evaluation_set", "how"),
        (
            (leak.identifier, leak.matched_identifier, leak.evaluation_set, leak.how)
            for leak in leaks
        ),
    )


def _recalled(
    folder: Path, rows: SplitRows, against: Sequence[Excluded], compare: Callable[[], str]
) -> str:
    content = [_fingerprint(item, rows) for item in against]
    digest = hashlib.sha256(json.dumps(content).encode())
    digest.update(np.ascontiguousarray(rows["train"]).data)
    path = folder / f"excluded-{digest.hexdigest()[:16]}.json"
    table = _read_table(path)
    if table is None:
        with locked(path):
            table = _read_table(path)  # perhaps compared while this process waited
            if table is None:
                table = compare()
                write_text(path, json.dumps(with_checksum({"table": table})) + "\n")
    return table


def _read_table(path: Path) -> str | None:
    """The text of ``excluded.csv`` that was kept, None if there is none or it is damaged."""
    try:
        content = read_json_object(path)
        verify_checksum(content, path)
    except FileNotFoundError:
        return None
    except DamagedFileError as error:
        say(f"{error.without_remedy}; comparing anew")
        return None
    return str(content["table"])


def _fingerprint(item: Excluded, rows: SplitRows) -> list[str]:
    """What tells an evaluation set from all others, by content."""
    if isinstance(item, EvaluationSet):
        item.source.prepare()
        return ["source", item.source.fingerprint(), item.split]
    if isinstance(item, CrystalSource):
        item.prepare()
        return ["source", item.fingerprint(), ""]
    if item in (own := _own_sets(rows)):
        return ["own", hashlib.sha256(np.ascontiguousarray(own[item]).data).hexdigest()]
    if not Path(item).is_file():
        raise MissingFileError(
            f"exclude: {item!r} is neither {' nor '.join(own)} nor a file of identifiers, which "
            "is given in brackets, [ids.txt]; another source is given by its class_path"
        )
    return ["ids", hash_file(Path(item))]


def _crystal_set(
    item: Excluded,
    store: CrystalStore,
    rows: SplitRows,
    open_source: Callable[[CrystalSource], CrystalStore],
) -> CrystalSet:
    if isinstance(item, EvaluationSet):
        other = open_source(item.source)
        return CrystalSet.from_store(other, other.rows_of(item.split) if item.split else None)
    if isinstance(item, CrystalSource):
        return CrystalSet.from_store(open_source(item))
    if item in (own := _own_sets(rows)):
        return CrystalSet.from_store(store, own[item])
    return CrystalSet.from_ids(item)


def _own_sets(rows: SplitRows) -> dict[str, NDArray[np.int64]]:
    return {"val": rows["val"], "test": rows["test"]}
