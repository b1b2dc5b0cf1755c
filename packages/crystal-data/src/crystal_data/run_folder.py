"""The folder of a run: what its files are called, and how they are written and read.

``config.yaml``, ``config-<stage>.yaml``, ``checkpoints/{best,last}.ckpt``, ``metrics.csv``,
``artifact/``, ``results.json``, ``predictions/<split>.csv``, ``rejected.csv``, ``notes.csv``,
``excluded.csv`` and ``elements.csv``.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.artifacts.files import ARTIFACT, CONFIG, METADATA
from crystal_data.artifacts.formats import lifted
from crystal_data.errors import CrystalError
from crystal_data.io.files import csv_text, remove_unfinished, write_text
from crystal_data.io.own_files import (
    DamagedFileError,
    read_json,
    read_number,
    read_rows,
    read_yaml,
)
from crystal_data.io.rejected import REJECTED
from crystal_data.io.value_cells import with_unit, without_unit
from crystal_data.metrics.result import MetricResult, read_results, write_results

RUNS = Path("runs")
BEST, LAST = "best", "last"  # names of the checkpoints, as --ckpt_path takes them
NOTES = "notes.csv"
EPOCH, STEP = "epoch", "step"  # columns of metrics.csv
SAMPLE_ID, IDENTIFIER = "sample_id", "id"  # columns of predictions; the first in parts alone

_NOTE = "note"  # a column that is no target
_LABEL = "label"  # what stands behind the name of a target
_TARGET, _PREDICTION = "target", "prediction"  # in tables of earlier versions


class RunError(CrystalError, ValueError):
    """A run that cannot be made as asked for, or one, or its checkpoint, that is not there."""


@dataclass(frozen=True, slots=True)
class TargetPredictions:
    """What a table of predictions has of one target, in the target's unit.

    Args:
        identifiers: One for each row.
        prediction: NaN where there is none; shape ``[num_rows]``.
        target: Labels, NaN where there is none; shape ``[num_rows]``. None if the table has none.
    """

    identifiers: tuple[str, ...]
    prediction: NDArray[np.float64]
    target: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class StructureOfTest:
    """What a row of the test's predictions is of.

    Args:
        identifier: As in the predictions.
        elements: Symbols.
        num_atoms: Of the cell.
        cif: The structure; empty but for those with the largest errors.
    """

    identifier: str
    elements: tuple[str, ...]
    num_atoms: int
    cif: str = ""


@dataclass(frozen=True, slots=True)
class DataTables:
    """Tables about the data that a command of a run has read.

    Args:
        folder: Where they lie.
    """

    folder: Path

    @property
    def rejected(self) -> Path:
        """What cannot be used, and why."""
        return self.folder / REJECTED

    @property
    def notes(self) -> Path:
        """What had to be decided to read the structures; not there if nothing had."""
        return self.folder / NOTES

    @property
    def excluded(self) -> Path:
        """Training rows that stand in an evaluation set; not there without such sets."""
        return self.folder / "excluded.csv"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run. Properties are places, methods read and write.

    Files that are not there have empty contents; those that are damaged raise ``DamagedFileError``.

    Args:
        path: The folder.
    """

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def artifact(self) -> Path:
        """Folder of the artifact."""
        return self.path / ARTIFACT

    @property
    def metrics_file(self) -> Path:
        """Table of what was logged, a row for each epoch."""
        return self.path / "metrics.csv"

    @property
    def results_file(self) -> Path:
        """Errors of validation and test, with their provenance."""
        return self.path / "results.json"

    @property
    def elements_file(self) -> Path:
        """Table of the element vectors that the run has learned, where they were exported."""
        return self.path / "elements.csv"

    @property
    def data_tables(self) -> DataTables:
        """Tables about the data of the training."""
        return DataTables(self.path)

    @property
    def predicted_data_tables(self) -> DataTables:
        """Tables about data that were predicted, which may be others than the run's own."""
        return DataTables(self._predictions)

    @property
    def _predictions(self) -> Path:
        return self.path / "predictions"

    def config_file(self, stage: str = "fit") -> Path:
        """Configuration of a stage: ``fit``, ``validate``, ``test`` or ``predict``."""
        # The config of the training is not replaced by that of a later test.
        return self.path / ("config.yaml" if stage == "fit" else f"config-{stage}.yaml")

    def checkpoint(self, name: str) -> Path:
        """File of the checkpoint ``best`` or ``last``."""
        return self.checkpoints / f"{name}.ckpt"

    def predictions_file(self, split: str) -> Path:
        """Table of the predictions for ``test`` or ``predict``."""
        return self._predictions / f"{split}.csv"

    def prediction_parts(self, split: str) -> Path:
        """Folder of what each process has predicted, until all is merged."""
        return self._predictions / f".{split}"

    @property
    def tested_structures_file(self) -> Path:
        """What the rows of the test's predictions are of."""
        return self._predictions / "test-structures.csv"

    def tested_structures(self) -> list[StructureOfTest]:
        """Structures of the test, in the order of its predictions."""
        path = self.tested_structures_file
        return [
            StructureOfTest(
                row[IDENTIFIER],
                tuple(row["elements"].split()),
                int(read_number(path, "num_atoms", row["num_atoms"])),
                row["cif"],
            )
            for row in _rows(path, IDENTIFIER, "elements", "num_atoms", "cif")
        ]

    def write_tested_structures(self, structures: Iterable[StructureOfTest]) -> None:
        """Writes what :meth:`tested_structures` reads."""
        rows = [
            (one.identifier, " ".join(one.elements), one.num_atoms, one.cif) for one in structures
        ]
        header = (IDENTIFIER, "elements", "num_atoms", "cif")
        write_text(self.tested_structures_file, csv_text(header, rows))

    def config(self) -> Any:
        """Content of the training's config."""
        path = self.config_file()
        return read_yaml(path) if path.is_file() else {}

    def metrics(self) -> list[dict[str, str]]:
        """Rows of ``metrics.csv``: column to text."""
        return _rows(self.metrics_file, EPOCH)

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes ``metrics.csv``; a value that a row does not have is an empty cell."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        cells = ([row.get(name, "") for name in columns] for row in rows)
        write_text(self.metrics_file, csv_text(columns, cells))

    def results(self) -> list[MetricResult]:
        """Entries of ``results.json``."""
        return read_results(self.results_file) if self.results_file.is_file() else []

    def write_results(self, results: Sequence[MetricResult]) -> None:
        """Writes ``results.json``."""
        write_results(self.results_file, results)

    def predictions(self, split: str) -> dict[str, TargetPredictions]:
        """Target to its predictions, as :func:`columns_of_predictions` finds them.

        Spectra, vectors, tensors and values of atoms, whose cells are lists, are passed over.

        Args:
            split: ``test`` or ``predict``.
        """
        path = self.predictions_file(split)
        rows = _rows(path, IDENTIFIER)
        identifiers = tuple(row[IDENTIFIER] for row in rows)
        found = {}
        for name, (label, column) in columns_of_predictions(list(rows[0]) if rows else []).items():
            if any(row[column].startswith("[") for row in rows):
                continue
            found[name] = TargetPredictions(
                identifiers,
                _numbers(path, rows, column),
                None if label is None else _numbers(path, rows, label),
            )
        return found

    def rejected_reasons(self) -> dict[str, int]:
        """Reason to how many structures were left out for it."""
        return dict(Counter(row["reason"] for row in _rows(self.data_tables.rejected, "reason")))

    def notes(self) -> list[tuple[str, str]]:
        """Identifier and note of each structure that was not read as a matter of course."""
        return [(row["id"], row["note"]) for row in _rows(self.data_tables.notes, "id", "note")]

    def num_excluded(self) -> int:
        """How many training rows were left out because they stand in an evaluation set."""
        return len(_rows(self.data_tables.excluded))

    def artifact_config(self) -> dict[str, Any]:
        """Content of the artifact's ``config.json``, in the present format."""
        config = _mapping(self.artifact / CONFIG)
        try:
            return lifted(config)
        except (KeyError, TypeError, AttributeError):
            return config  # not complete; whoever loads the artifact is told

    def artifact_metadata(self) -> dict[str, Any]:
        """Content of the artifact's ``metadata.json``."""
        return _mapping(self.artifact / METADATA)

    def resolve_checkpoint(self, ckpt_path: str) -> Path:
        """The file that ``best`` or ``last`` stands for; any other path as it is.

        Raises:
            RunError: If there is no such file.
        """
        file = self.checkpoint(ckpt_path) if ckpt_path in (BEST, LAST) else Path(ckpt_path)
        if not file.is_file():
            there = ", ".join(sorted(path.name for path in file.parent.glob("*.ckpt")))
            raise RunError(
                f"{file}: no such checkpoint; there {'are ' + there if there else 'is none'}"
            )
        return file

    @property
    def has_training(self) -> bool:
        """Whether a training has left something here that another one would replace.

        One that was killed before its first checkpoint was whole has left nothing to go on from.
        """
        left = (self.checkpoint(LAST), self.artifact, self.results_file)
        return any(path.exists() for path in left)

    @property
    def is_requeued(self) -> bool:
        """Whether Lightning, in a job that SLURM has queued again, goes on here by itself."""
        return any(self.path.glob("hpc_ckpt_*.ckpt"))

    def clear(self) -> None:
        """Removes what a training and its tests have left."""
        for folder in (self.checkpoints, self.artifact, self._predictions):
            if folder.exists():
                shutil.rmtree(folder)
        for file in (self.results_file, self.metrics_file, self.elements_file):
            file.unlink(missing_ok=True)

    def remove_unfinished(self) -> None:
        """Removes what a process that was killed while it wrote has left."""
        remove_unfinished(self.path)
        remove_unfinished(self.checkpoints)


def prediction_columns(target: str, unit: str = "") -> tuple[str, str]:
    """Columns of a target's labels and predictions: ``band_gap:label [eV]``, ``band_gap [eV]``.

    Tables of predictions have the same names wherever they are written.

    Args:
        target: Its name.
        unit: Empty where it is not known.
    """
    return with_unit(f"{target}:{_LABEL}", unit), with_unit(target, unit)


def columns_of_predictions(header: Sequence[str]) -> dict[str, tuple[str | None, str]]:
    """Target to the columns of its labels, if there are any, and of its predictions.

    Tables of earlier versions name them ``target`` and ``prediction``, or ``gap:target`` and
    ``gap:prediction``; where there is one target it has no name in them, so its key is empty.

    Args:
        header: Of a table of predictions.
    """
    names = {column: without_unit(column)[0] for column in header}
    earlier = [column for column in header if column.rpartition(":")[2] == _PREDICTION]
    labels = {column for column, name in names.items() if name.endswith(f":{_LABEL}")}
    if earlier and not labels:
        prefixes = {column: column.removesuffix(_PREDICTION) for column in earlier}
        return {
            prefix.removesuffix(":"): (
                f"{prefix}{_TARGET}" if f"{prefix}{_TARGET}" in header else None,
                column,
            )
            for column, prefix in prefixes.items()
        }
    of_label = {names[column].removesuffix(f":{_LABEL}"): column for column in labels}
    return {
        name: (of_label.get(name), column)
        for column, name in names.items()
        if column not in labels and (name in of_label or _is_target(name))
    }


def _is_target(name: str) -> bool:
    return ":" not in name and name not in {IDENTIFIER, _NOTE}


def run_group(configs: Sequence[Path]) -> Path:
    """Folder of all runs of one config: named after it, or after the run that saved it."""
    if not configs:
        return RUNS / "unnamed"
    first = configs[0]
    saved_by = RunFolder(first.absolute().parent)
    if first.name == saved_by.config_file().name and saved_by.checkpoints.is_dir():
        return saved_by.path.parent
    return RUNS / first.stem


def new_run(group: Path) -> RunFolder:
    """Makes the next folder of a group, ``001`` upwards; two processes never get the same."""
    number = len(_numbered(group))
    group.mkdir(parents=True, exist_ok=True)
    while True:
        number += 1
        folder = group / f"{number:03d}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return RunFolder(folder)


def latest_run(group: Path) -> RunFolder:
    """The newest run of a group that has a checkpoint.

    Raises:
        RunError: If there is none.
    """
    for run in map(RunFolder, reversed(_numbered(group))):
        if run.checkpoint(LAST).is_file():
            return run
    raise RunError(
        f"no run with a checkpoint in {group}",
        "name one with --trainer.default_root_dir RUN or "
        "--ckpt_path FILE, or give an artifact with --init_from",
    )


def run_of_checkpoint(ckpt_path: str | None) -> RunFolder | None:
    """The run that a checkpoint file lies in, None for any other place."""
    if ckpt_path is None:
        return None
    run = RunFolder(Path(ckpt_path).parent.parent)
    return run if Path(ckpt_path).parent == run.checkpoints else None


def _numbered(group: Path) -> list[Path]:
    if not group.is_dir():
        return []
    found = [path for path in group.iterdir() if path.is_dir() and path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))


def _rows(path: Path, *columns: str) -> list[dict[str, str]]:
    return read_rows(path, columns) if path.is_file() else []


def _numbers(path: Path, rows: Iterable[Mapping[str, str]], column: str) -> NDArray[np.float64]:
    return np.array([read_number(path, column, row[column]) for row in rows])


def _mapping(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise DamagedFileError(path, f"dict expected, {type(content).__name__} found")
    return content
