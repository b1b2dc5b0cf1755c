"""Trajectories of Parquet files in the columns of LeMat-Traj, read without holding all frames."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crystal_data.crystal import Trajectory
from crystal_data.errors import InvalidCrystalError, Reason, Rejection, SourceError
from crystal_data.trajectories.order import in_order
from crystal_data.trajectories.schema import (
    ID,
    NEEDED,
    OPTIONAL,
    Row,
    trajectory_id,
    trajectory_of,
)

_ROWS_AT_ONCE = 1024


def parquet_trajectories(path: Path, split: str = "") -> Iterator[Trajectory | Rejection]:
    """Runs of a Parquet file in the order in which they are complete.

    Rows of a run need not stand together: the ids are read first, and frames are held only until
    the last one of their run has come.

    Args:
        path: With the columns of LeMat-Traj.
        split: Of all of it; by default what a column ``split`` says.

    Raises:
        SourceError: If the file is damaged, or has other columns.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            columns = _columns(file.schema_arrow.names, path)
            counts: Counter[str] = Counter()
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[ID]):
                counts.update(trajectory_id(str(one)) for one in batch.column(0).to_pylist())
            batches = file.iter_batches(_ROWS_AT_ONCE, columns=columns)
            rows = (row for batch in batches for row in batch.to_pylist())
            yield from _complete(rows, counts, str(path), split)
    except (ArrowException, OSError) as error:
        raise SourceError(
            f"{path} cannot be read as Parquet: {error}", "fetch or write it again"
        ) from error


def streamed_trajectories(rows: Iterable[Row], name: str) -> Iterator[Trajectory | Rejection]:
    """Runs of rows that come one after the other, the rows of each run together.

    A run that goes on after another has begun is rejected where it does: what had come of it is
    there already.

    Args:
        rows: As of LeMat-Traj.
        name: Of the data, for messages.
    """
    pending: list[Row] = []
    seen: set[str] = set()
    for row in rows:
        key = trajectory_id(str(row[ID]))
        if pending and key != trajectory_id(str(pending[0][ID])):
            yield _trajectory(pending, name, "")
            seen.add(trajectory_id(str(pending[0][ID])))
            pending = []
        if key in seen:
            detail = f"a further frame {row[ID]} stands apart from the others; the others are kept"
            yield Rejection(str(row[ID]), name, "read", Reason.DUPLICATE_IDENTIFIER, detail)
            continue
        pending.append(row)
    if pending:
        yield _trajectory(pending, name, "")


def _columns(names: Sequence[str], path: Path) -> list[str]:
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise SourceError(
            f"{path} has no columns {', '.join(missing)}; trajectories have those of LeMat-Traj",
            "a table of single structures is read by TableSource",
        )
    return [*NEEDED, *(name for name in OPTIONAL if name in names)]


def _complete(
    rows: Iterable[dict[str, Any]], counts: Counter[str], file: str, split: str
) -> Iterator[Trajectory | Rejection]:
    pending: dict[str, list[Row]] = {}
    for row in rows:
        key = trajectory_id(str(row[ID]))
        pending.setdefault(key, []).append(row)
        if len(pending[key]) == counts[key]:
            yield _trajectory(pending.pop(key), file, split)


def _trajectory(rows: Sequence[Row], file: str, split: str) -> Trajectory | Rejection:
    identifier = trajectory_id(str(rows[0][ID]))
    ordered, remark = in_order(rows)
    try:
        found = trajectory_of(ordered, identifier, file, split)
    except InvalidCrystalError as error:
        return Rejection(identifier, file, "read", error.reason, error.detail)
    return replace(found, properties={**found.properties, "remark": remark}) if remark else found
