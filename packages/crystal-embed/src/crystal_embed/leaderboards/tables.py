"""Reads the prediction tables that a leaderboard's record is made of."""

import csv
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from crystal_data.errors import SourceError
from crystal_data.io import read_cell
from crystal_data.run_folder import IDENTIFIER, columns_of_predictions


@dataclass(frozen=True)
class Predictions:
    """A table with one prediction for each identifier.

    Args:
        path: Where it stands, for messages.
        prediction: Identifier to prediction, in the order of the table.
        label: Identifier to label; empty if the table has none.
    """

    path: Path
    prediction: Mapping[str, float]
    label: Mapping[str, float]


def read_predictions(path: str | Path) -> Predictions:
    """Reads ``predictions/test.csv`` of a run, or any table with ``id`` and one other column.

    Raises:
        FileNotFoundError: If there is no such file.
        SourceError: If a column is missing, an identifier is there twice, or a value is no number.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names, rows = reader.fieldnames or [], list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path}: not a table: {error}") from error
    targets = columns_of_predictions(names)
    if IDENTIFIER not in names or len(targets) != 1:
        raise SourceError(
            f"{path}: expected the column id and predictions of one target, and perhaps its "
            f"labels; the columns are {', '.join(names) or 'none'}"
        )
    [(of_labels, of_predictions)] = targets.values()
    prediction, label = {}, {}
    for line, row in enumerate(rows, start=2):
        identifier = read_cell(row["id"])
        if identifier in prediction:
            raise SourceError(f"{path}, line {line}: {identifier} is there twice")
        prediction[identifier] = _number(row[of_predictions], path, line)
        if of_labels is not None and row[of_labels]:
            label[identifier] = _number(row[of_labels], path, line)
    return Predictions(path, prediction, label)


def check_complete(found: Predictions, expected: Collection[str], what: str) -> None:
    """Checks that there is one prediction for each identifier of a test set, and no other.

    Raises:
        SourceError: If one is missing or foreign.
    """
    missing = [name for name in expected if name not in found.prediction]
    known = set(expected)
    foreign = [name for name in found.prediction if name not in known]
    if missing or foreign:
        raise SourceError(
            f"{found.path}: {what} has {len(known)} structures; {len(missing)} of them have no "
            f"prediction ({', '.join(missing[:3])}) and {len(foreign)} of the table's "
            f"{len(found.prediction)} are not among them ({', '.join(foreign[:3])})"
        )


def _number(text: str | None, path: Path, line: int) -> float:
    try:
        value = float(text or "nan")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SourceError(f"{path}, line {line}: {text!r} is no finite number")
    return value
