"""What a finished run's folder says about itself."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_apps.pipeline.task import run_title
from crystal_data.io import read_number
from crystal_data.metrics import MetricResult
from crystal_data.run_folder import EPOCH, STEP, RunError, RunFolder, StructureOfTest

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
        structures: One for each row; empty where the run does not tell.
    """

    identifiers: tuple[str, ...]
    target: Values
    prediction: Values
    structures: tuple[StructureOfTest, ...] = ()

    @property
    def errors(self) -> Values:
        """Prediction minus label; shape ``[num_rows]``."""
        return self.prediction - self.target

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
    def repeat_command(self) -> str:
        """What trains it again, into a folder beside it; from the folder it was started in."""
        words = ["crystal", "fit", "--config", str(RunFolder(self.folder).config_file())]
        if not self.folder.resolve().name.isdigit():
            # A numbered run is followed by the next number, any other would be followed by 001.
            words += ["--trainer.default_root_dir", f"{self.folder}-again"]
        return shlex.join(words)

    @property
    def is_tested(self) -> bool:
        """Whether there are predictions of its test with labels."""
        return bool(self.predictions)

    @property
    def source(self) -> str:
        """Name of the data set; empty if unknown."""
        return str(self._data().get("source", ""))

    def _data(self) -> Mapping[str, Any]:
        return _mapping(self.metadata.get("data"))

    def unit(self, target: str) -> str:
        """Unit of a target, from the artifact; empty if unknown."""
        return str(_mapping(self._scale(target).get("field")).get("unit", ""))

    def is_probability(self, target: str) -> bool:
        """Whether predictions of a target are probabilities of a class, by the artifact."""
        return self._scale(target).get("is_probability") is True

    def _scale(self, target: str) -> Mapping[str, Any]:
        return _mapping(_mapping(self.artifact.get("targets")).get(target))


def read_run(folder: str | Path) -> Run:
    """Reads a run's folder.

    Raises:
        RunError: If there is no such folder, or nothing in it tells of a run.
        DamagedFileError: If a file in it is damaged.
    """
    folder = Path(folder)
    files = RunFolder(folder)
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder", "give the default_root_dir of a finished run")
    known = (files.metrics_file, files.results_file, files.predictions_file("test"))
    if not any(path.is_file() for path in known):
        names = ", ".join(str(path.relative_to(folder)) for path in known)
        raise RunError(f"{folder}: not a run; there is none of {names} in it")
    config = files.config_file()
    artifact = files.artifact_config()
    return Run(
        folder=folder,
        # A run of a pipeline shares the name of its folder with many others.
        name=run_title(folder) or folder.resolve().name,
        results=tuple(files.results()),
        curves=_curves(files),
        predictions=_predictions(files, artifact),
        rejected=files.rejected_reasons(),
        notes=tuple(files.notes()),
        num_excluded=files.num_excluded(),
        train_size=_train_size(files.config()),
        config=config.read_text(encoding="utf-8") if config.is_file() else "",
        artifact=artifact,
        metadata=files.artifact_metadata(),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _train_size(config: Any) -> int | None:
    data = _mapping(_mapping(_mapping(config).get("data")).get("init_args"))
    found = data.get("train_size")
    return found if isinstance(found, int) else None


def _curves(files: RunFolder) -> dict[str, Curve]:
    """Last value of each metric in each epoch; Lightning writes a row for each call of log."""
    path = files.metrics_file
    points: dict[str, dict[float, float]] = {}
    for row in files.metrics():
        epoch = row.pop(EPOCH)
        for name, text in row.items():
            if epoch and text and name != STEP:
                by_epoch = points.setdefault(name, {})
                by_epoch[read_number(path, EPOCH, epoch)] = read_number(path, name, text)
    curves = {}
    for name, by_epoch in points.items():
        epochs = np.array(sorted(by_epoch))
        values = np.array([by_epoch[epoch] for epoch in epochs])
        finite = np.isfinite(values)
        if finite.any():
            curves[name] = Curve(epochs[finite], values[finite])
    return curves


def _predictions(files: RunFolder, artifact: Mapping[str, Any]) -> dict[str, Predictions]:
    # A table of one target has plain column names; the artifact knows the target's.
    only = next(iter(_mapping(artifact.get("targets"))), "target")
    found, structures = {}, files.tested_structures()
    for name, table in files.predictions("test").items():
        are_known = [one.identifier for one in structures] == list(table.identifiers)
        if table.target is None:
            continue  # predictions without labels have nothing to be compared with
        labelled = np.isfinite(table.target) & np.isfinite(table.prediction)
        if labelled.any():
            pairs = zip(table.identifiers, labelled, strict=True)
            identifiers = tuple(identifier for identifier, keep in pairs if keep)
            found[name or only] = Predictions(
                identifiers,
                table.target[labelled],
                table.prediction[labelled],
                tuple(structures[row] for row in np.flatnonzero(labelled)) if are_known else (),
            )
    return found
