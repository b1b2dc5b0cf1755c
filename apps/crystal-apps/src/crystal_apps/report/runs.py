"""What a finished run's folder says about itself."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from crystal_apps.pipeline.task import RECORD
from crystal_data.io import read_csv
from crystal_data.metrics import MetricResult, read_results

Values = NDArray[np.float64]


class RunError(ValueError):
    """A folder or a file in it is not what a run leaves behind."""


@dataclass(frozen=True)
class Curve:
    """One logged metric over epochs; both of shape ``[num_epochs]``."""

    epochs: Values
    values: Values


@dataclass(frozen=True)
class Predictions:
    """Test rows of one target, in the target's unit.

    Args:
        identifiers: One for each row.
        target: Labels, those that are missing left out; shape ``[num_rows]``.
        prediction: Shape ``[num_rows]``.
    """

    identifiers: tuple[str, ...]
    target: Values
    prediction: Values

    @property
    def mae(self) -> float:
        """Mean absolute error."""
        return float(np.abs(self.prediction - self.target).mean())

    @property
    def rmse(self) -> float:
        """Root mean square error."""
        return float(np.sqrt(np.square(self.prediction - self.target).mean()))

    @property
    def spread(self) -> float:
        """Mean absolute deviation of the labels: the error of who knows their mean and no more."""
        return float(np.abs(self.target - self.target.mean()).mean())

    @property
    def r2(self) -> float:
        """Share of the labels' variance that is predicted; NaN when they have none."""
        residual = np.square(self.prediction - self.target).sum()
        total = np.square(self.target - self.target.mean()).sum()
        return float(1 - residual / total) if total > 0 else float("nan")


@dataclass(frozen=True)
class Run:
    """A run's folder. Files that are not there give empty values.

    Args:
        results: Entries of ``results.json``.
        curves: Metric name to its values over epochs, from ``metrics.csv``.
        predictions: Target to the rows of ``predictions/test.csv``.
        rejected: Reason to count, from ``rejected.csv``.
        notes: Identifier and note of each structure that was not read as a matter of course, from
            ``notes.csv``.
        num_excluded: Rows of ``excluded.csv``: training rows that match an evaluation set.
    """

    folder: Path
    name: str
    results: tuple[MetricResult, ...] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()
    num_excluded: int = 0
    config: str = ""
    artifact: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """Library to version, as the first result states, or else the artifact."""
        stated = [*(result.versions for result in self.results), self.metadata.get("versions")]
        found = next((versions for versions in stated if versions), {})
        return {str(name): str(version) for name, version in found.items()}

    @cached_property
    def data_hash(self) -> str:
        """Fingerprint of the data set, as the first result states, or else the artifact."""
        stated = [*(result.data_hash for result in self.results), self._data().get("fingerprint")]
        return next((str(value) for value in stated if value), "")

    @property
    def source(self) -> str:
        """Name of the data set; empty if unknown."""
        return str(self._data().get("source", ""))

    def _data(self) -> Mapping[str, Any]:
        data = self.metadata.get("data", {})
        return data if isinstance(data, dict) else {}

    @cached_property
    def train_size(self) -> int | None:
        """Rows that training was limited to by the config; None for all that there are."""
        found: Any = yaml.safe_load(self.config) if self.config else None
        for key in ("data", "init_args", "train_size"):
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, int) else None

    def unit(self, target: str) -> str:
        """Unit of a target, from the artifact; empty if unknown."""
        scale = self.artifact.get("targets", {}).get(target, {})
        return str(scale.get("unit", "")) if isinstance(scale, dict) else ""


def read_run(folder: str | Path) -> Run:
    """Reads a run's folder.

    Raises:
        RunError: If there is no such folder, nothing in it tells of a run, or a file is broken.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; give the default_root_dir of a finished run")
    known = ("metrics.csv", "results.json", "predictions/test.csv")
    if not any((folder / name).is_file() for name in known):
        raise RunError(f"{folder}: not a run; there is none of {', '.join(known)} in it")
    rejected = Counter(row.get("reason", "") for row in _rows(folder / "rejected.csv"))
    artifact = _json(folder / "artifact" / "config.json", {})
    return Run(
        folder=folder,
        # A run of a pipeline shares the name of its folder with many others.
        name=_json(folder / RECORD, {}).get("title") or folder.resolve().name,
        results=tuple(_results(folder / "results.json")),
        curves=_curves(folder / "metrics.csv"),
        predictions=_predictions(folder / "predictions" / "test.csv", artifact),
        rejected=dict(rejected),
        notes=tuple(
            (row.get("id", ""), row.get("note", "")) for row in _rows(folder / "notes.csv")
        ),
        num_excluded=sum(1 for _ in _rows(folder / "excluded.csv")),
        config=_text(folder / "config.yaml"),
        artifact=artifact,
        metadata=_json(folder / "artifact" / "metadata.json", {}),
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _json(path: Path, default: Any) -> Any:
    if not path.is_file():
        return default
    try:
        content = json.loads(_text(path))
    except ValueError as error:
        raise RunError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, type(default)):
        raise RunError(f"{path}: {type(default).__name__} expected, {type(content).__name__} found")
    return content


def _results(path: Path) -> list[MetricResult]:
    if not path.is_file():
        return []
    try:
        return read_results(path)
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: not a table of results: {error}") from error


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            yield from read_csv(file)


def _curves(path: Path) -> dict[str, Curve]:
    """Last value of each metric in each epoch; Lightning writes a row for each call of log."""
    points: dict[str, dict[float, float]] = {}
    for row in _rows(path):
        epoch = row.pop("epoch", "")
        for name, text in row.items():
            if epoch and text and name != "step":
                points.setdefault(name, {})[_number(path, "epoch", epoch)] = _number(
                    path, name, text
                )
    curves = {}
    for name, by_epoch in points.items():
        epochs = np.array(sorted(by_epoch))
        values = np.array([by_epoch[epoch] for epoch in epochs])
        finite = np.isfinite(values)
        if finite.any():
            curves[name] = Curve(epochs[finite], values[finite])
    return curves


def _predictions(path: Path, artifact: Mapping[str, Any]) -> dict[str, Predictions]:
    rows = list(_rows(path))
    if not rows:
        return {}
    # A table of one target has plain column names; the artifact knows the target's.
    only = next(iter(artifact.get("targets", {})), "target")
    names = [name for name in rows[0] if name == "prediction" or name.endswith(":prediction")]
    found = {}
    for name in names:
        target_column = name.removesuffix("prediction") + "target"
        if target_column not in rows[0]:
            continue  # predictions without labels have nothing to be compared with
        target = np.array([_number(path, target_column, row[target_column]) for row in rows])
        prediction = np.array([_number(path, name, row[name]) for row in rows])
        labelled = np.isfinite(target) & np.isfinite(prediction)
        if labelled.any():
            identifiers = [row["id"] for row, keep in zip(rows, labelled, strict=True) if keep]
            key = name.removesuffix("prediction").removesuffix(":") or only
            found[key] = Predictions(tuple(identifiers), target[labelled], prediction[labelled])
    return found


def _number(path: Path, column: str, text: str) -> float:
    try:
        return float(text) if text else float("nan")
    except ValueError as error:
        raise RunError(f"{path}: column {column} holds {text!r}, not a number") from error
