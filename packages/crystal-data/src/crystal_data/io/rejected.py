"""The table of what was left out and why, ``rejected.csv``."""

import csv
from collections.abc import Iterable
from pathlib import Path

from crystal_data.errors import Reason, Rejection
from crystal_data.io.files import atomic_path

COLUMNS = ("id", "file", "stage", "reason", "detail")


def write_rejected(path: str | Path, rejections: Iterable[Rejection]) -> int:
    """Write the table, header included even if nothing was rejected; atomic.

    Returns:
        How many rows it has.
    """
    count = 0
    with (
        atomic_path(Path(path)) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rejections:
            writer.writerow((row.identifier, row.file, row.stage, row.reason.value, row.detail))
            count += 1
    return count


def read_rejected(path: str | Path) -> list[Rejection]:
    """The rows of a table that ``write_rejected`` wrote.

    Raises:
        ValueError: If the columns are others, or a reason is not one of ``Reason``.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = tuple(next(rows, ()))
        if header != COLUMNS:
            raise ValueError(f"{path}: the columns are {header}, expected {COLUMNS}")
        return [
            Rejection(name, where, stage, Reason(reason), detail)
            for name, where, stage, reason, detail in rows
        ]
