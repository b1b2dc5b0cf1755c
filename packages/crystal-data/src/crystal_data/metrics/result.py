"""Numbers with their provenance, and the files that hold them."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError, SourceError
from crystal_data.io.files import csv_text, write_text
from crystal_data.io.own_files import DamagedFileError, read_json

FORMAT_VERSION = 1


@dataclass(frozen=True)
class MetricResult:
    """One number and all that is needed to reproduce it.

    Args:
        metric: What it is, down to the filter: ``"match_rate/both"``.
        value: The number; NaN where nothing could be averaged.
        parameters: Tolerances, named tables and hashes; plain JSON values.
        versions: Library → version.
        data_hash: Hash of the structures it was computed on.
        num_samples: Rows of the data that count in the denominator.
        seed: Of the sampling that made the predictions, None where nothing was drawn.
    """

    metric: str
    value: float
    parameters: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    data_hash: str = ""
    num_samples: int = 0
    seed: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """Results and the table they were averaged from.

    Args:
        results: The numbers.
        per_structure: Column → one value for each structure, in the order of the data.
    """

    results: tuple[MetricResult, ...]
    per_structure: Mapping[str, Sequence[Any]]

    def value(self, metric: str) -> float:
        """The number of one metric.

        Raises:
            KeyError: If it was not computed; the message lists those that were.
        """
        for result in self.results:
            if result.metric == metric:
                return result.value
        raise KeyError(f"{metric!r} is not among {[result.metric for result in self.results]}")


def hash_crystals(crystals: Iterable[Crystal | None]) -> str:
    """SHA-256 of identifiers, lattices, coordinates and elements, in order."""
    digest = hashlib.sha256()
    for crystal in crystals:
        if crystal is None:
            digest.update(b"none\0")
            continue
        digest.update(f"{crystal.identifier}\0{crystal.num_atoms}\0".encode())
        for array, dtype in (
            (crystal.lattice, "<f8"),
            (crystal.frac_coords, "<f8"),
            (crystal.atomic_numbers, "<i8"),
        ):
            digest.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
    return digest.hexdigest()


def write_results(
    path: str | Path,
    results: Sequence[MetricResult],
    per_structure: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Write results as JSON and, beside it with the suffix ``.csv``, their per-structure table.

    Both are moved into place whole. NaN is written as null, in the table as an empty field.

    Raises:
        InvalidArgumentError: If the columns of the table differ in length, or the path ends in
            ``.csv``.
    """
    path = Path(path)
    if path.suffix == ".csv":
        raise InvalidArgumentError(
            f"{path}: results are JSON and their table goes to .csv", "name it .json"
        )
    if per_structure is not None:
        write_table(path.with_suffix(".csv"), per_structure)
    rows = []
    for result in results:
        row = asdict(result)
        row["value"] = None if math.isnan(result.value) else result.value
        rows.append(row)
    content = {"format_version": FORMAT_VERSION, "results": rows}
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_table(path: str | Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write a table as CSV, moved into place whole; NaN and None are empty fields.

    Raises:
        InvalidArgumentError: If the columns differ in length.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidArgumentError(
            f"columns of the per-structure table differ in length: {lengths}"
        )
    rows = zip(*columns.values(), strict=True)
    write_text(Path(path), csv_text(columns, (map(_cell, row) for row in rows)))


def read_results(path: str | Path) -> list[MetricResult]:
    """Read what `write_results` wrote.

    Raises:
        DamagedFileError: If the file is no result file.
        SourceError: If it is of a later format.
    """
    path = Path(path)
    content = read_json(path)
    found = content.get("format_version") if isinstance(content, dict) else None
    if not isinstance(found, int):
        raise DamagedFileError(path, "not a result file")
    if found > FORMAT_VERSION:
        raise SourceError(
            f"{path}: format {found} is newer than {FORMAT_VERSION}", "update crystal-data"
        )
    try:
        return [_result(row) for row in content["results"]]
    except (KeyError, TypeError) as error:
        raise DamagedFileError(path, f"not a result file: {error}") from error


def _result(row: Mapping[str, Any]) -> MetricResult:
    value = math.nan if row["value"] is None else row["value"]
    result = MetricResult(**{**row, "value": value})
    kinds = (
        (result.metric, str),
        (result.value, int | float),
        (result.parameters, dict),
        (result.versions, dict),
        (result.data_hash, str),
        (result.num_samples, int),
    )
    for found, kind in kinds:
        if not isinstance(found, kind):
            raise TypeError(f"{found!r:.60} is of a wrong type")
    return result


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    return value
