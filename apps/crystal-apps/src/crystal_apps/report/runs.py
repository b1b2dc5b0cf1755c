"""What a finished run's folder says about itself."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_apps.pipeline.task import RECORD
from crystal_data.errors import RunError
from crystal_data.io import DamagedFileError, read_json, read_rows, read_yaml
from crystal_data.metrics import MetricResult, read_results

Values = NDArray[np.float64]


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
        config: Text of ``config.yaml``.
        train_size: Rows that training was limited to by the config; None for all that there are.
        artifact: Content of the artifact's ``config.json``.
        metadata: Content of the artifact's ``metadata.json``.
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
    train_size: int | None = None
    artifact: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """Library to version, as the first result states, or else the artifact."""
        stated = [*(result.versions for result in self.results), self.metadata.get("versions")]
        found = next((versions for versions in stated if versions), {})
        return {str(name): str(version) for name, version in _mapping(found).items()}

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
        return _mapping(self.metadata.get("data"))

    def unit(self, target: str) -> str:
        """Unit of a target, from the artifact; empty if unknown."""
        return str(_mapping(_mapping(self.artifact.get("targets")).get(target)).get("unit", ""))


def read_run(folder: str | Path) -> Run:
    """Reads a run's folder.

    Raises:
        RunError: If there is no such folder, or nothing in it tells of a run.
        DamagedFileError: If a file in it is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder", "give the default_root_dir of a finished run")
    known = ("metrics.csv", "results.json", "predictions/test.csv")
    if not any((folder / name).is_file() for name in known):
        raise RunError(f"{folder}: not a run; there is none of {', '.join(known)} in it")
    rejected = Counter(row.get("reason", "") for row in _rows(folder / "rejected.csv"))
    results, config = folder / "results.json", folder / "config.yaml"
    artifact = _json(folder / "artifact" / "config.json")
    return Run(
        folder=folder,
        # A run of a pipeline shares the name of its folder with many others.
        name=str(_json(folder / RECORD).get("title") or folder.resolve().name),
        results=tuple(read_results(results)) if results.is_file() else (),
        curves=_curves(folder / "metrics.csv"),
        predictions=_predictions(folder / "predictions" / "test.csv", artifact),
        rejected=dict(rejected),
        notes=tuple(
            (row.get("id", ""), row.get("note", "")) for row in _rows(folder / "notes.csv")
        ),
        num_excluded=len(_rows(folder / "excluded.csv")),
        train_size=_train_size(read_yaml(config)) if config.is_file() else None,
        config=config.read_text(encoding="utf-8") if config.is_file() else "",
        artifact=artifact,
        metadata=_json(folder / "artifact" / "metadata.json"),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise DamagedFileError(path, f"dict expected, {type(content).__name__} found")
    return content


def _rows(path: Path) -> list[dict[str, str]]:
    return read_rows(path) if path.is_file() else []


def _train_size(config: Any) -> int | None:
    data = _mapping(_mapping(_mapping(config).get("data")).get("init_args"))
    found = data.get("train_size")
    return found if isinstance(found, int) else None


def _curves(path: Path) -> dict[str, Curve]:
    """Last value of each metric in each epoch; Lightning writes a row for each call of log."""
    points: dict[str, dict[float, float]] = {}
    for row in read_rows(path, ("epoch",)) if path.is_file() else ():
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
    rows = read_rows(path, ("id",)) if path.is_file() else []
    if not rows:
        return {}
    # A table of one target has plain column names; the artifact knows the target's.
    only = next(iter(_mapping(artifact.get("targets"))), "target")
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
        raise DamagedFileError(path, f"column {column} holds {text!r}, not a number") from error
