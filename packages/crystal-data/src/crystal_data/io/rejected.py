"""The table of what was left out and why, ``rejected.csv``."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from crystal_data.errors import Reason, Rejection, SourceError
from crystal_data.io.csv_cells import read_cell
from crystal_data.io.files import csv_text, write_text

REJECTED = "rejected.csv"
COLUMNS = ("id", "file", "stage", "reason", "detail")


def write_rejected(path: str | Path, rejections: Iterable[Rejection]) -> int:
    """Write the table, header included even if nothing was rejected; atomic.

    Returns:
        How many rows it has.
    """
    rows = [(x.identifier, x.file, x.stage, x.reason.value, x.detail) for x in rejections]
    # A file name may have bytes that are no text.
    text = csv_text(COLUMNS, rows).encode("utf-8", "backslashreplace").decode("utf-8")
    write_text(Path(path), text)
    return len(rows)


def write_rejected_if_any(path: str | Path, rejections: Sequence[Rejection]) -> int:
    """As ``write_rejected``, but without a row no table is left, nor one of an earlier time.

    For folders of the user's, in which an empty table would only be in the way.
    """
    if rejections:
        return write_rejected(path, rejections)
    Path(path).unlink(missing_ok=True)
    return 0


def read_rejected(path: str | Path) -> list[Rejection]:
    """The rows of a table that ``write_rejected`` wrote.

    Raises:
        SourceError: If the columns are others, a reason is not one of ``Reason``, or it is damaged.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            header = tuple(next(rows, ()))
            if header != COLUMNS:
                raise ValueError(f"the columns are {header}, expected {COLUMNS}")
            return [
                Rejection(
                    read_cell(name), read_cell(where), stage, Reason(reason), read_cell(detail)
                )
                for name, where, stage, reason, detail in rows
            ]
    except (ValueError, csv.Error) as error:
        raise SourceError(f"{path}: {error}") from error
