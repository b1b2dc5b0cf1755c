"""The folder of one run: where it is, which checkpoint is meant, what a logger leaves in it."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer
from lightning.pytorch.loggers.logger import Logger
from typing_extensions import override

from crystal_data.io.files import csv_text, write_text
from crystal_data.io.own_files import DamagedFileError, read_rows

RUNS = Path("runs")
CHECKPOINTS, LAST = "checkpoints", "last.ckpt"
CONFIG, METRICS, RESULTS = "config.yaml", "metrics.csv", "results.json"
_NAMED_CHECKPOINTS = ("best", "last")
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.tmp|\..+\.building-[0-9a-f]{8}(-old)?")


class RunError(ValueError):
    """A run that cannot be made as asked for, or one, or its checkpoint, that is not there."""


def is_first_process() -> bool:
    """Whether this process prints and writes, known before the processes have met."""
    return getattr(rank_zero_only, "rank", 0) == 0


def run_folder(trainer: Trainer) -> Path:
    """Folder of the run, the same on all processes; all of them must ask."""
    return Path(trainer.strategy.broadcast(str(trainer.default_root_dir)))


def run_group(configs: Sequence[Path]) -> Path:
    """Folder of all runs of one config: named after it, or after the run that saved it."""
    if not configs:
        return RUNS / "unnamed"
    first = configs[0]
    if first.name == CONFIG and (first.parent / CHECKPOINTS).is_dir():
        return first.absolute().parent.parent
    return RUNS / first.stem


def new_run(group: Path) -> Path:
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
        return folder


def remove_unfinished(folder: Path) -> None:
    """Removes what a process that was killed while it wrote has left in a run."""
    for place in (folder, folder / CHECKPOINTS):
        for path in place.iterdir() if place.is_dir() else ():
            if _UNFINISHED.fullmatch(path.name) and path.is_dir():
                shutil.rmtree(path)
            elif _UNFINISHED.fullmatch(path.name):
                path.unlink(missing_ok=True)


def latest_run(group: Path) -> Path:
    """The newest run of a group that has a checkpoint.

    Raises:
        RunError: If there is none.
    """
    for folder in reversed(_numbered(group)):
        if (folder / CHECKPOINTS / LAST).is_file():
            return folder
    raise RunError(
        f"no run with a checkpoint in {group}; name one with --trainer.default_root_dir RUN or "
        "--ckpt_path FILE, or give an artifact with --init_from"
    )


def run_of_checkpoint(ckpt_path: str | None) -> Path | None:
    """The run that a checkpoint file lies in, None for any other place."""
    if ckpt_path is None or Path(ckpt_path).parent.name != CHECKPOINTS:
        return None
    return Path(ckpt_path).parent.parent


def resolve_checkpoint(folder: Path, ckpt_path: str) -> str:
    """The file that ``best`` or ``last`` stands for; any other path as it is.

    Raises:
        RunError: If there is no such file.
    """
    named = ckpt_path in _NAMED_CHECKPOINTS
    file = folder / CHECKPOINTS / f"{ckpt_path}.ckpt" if named else Path(ckpt_path)
    if not file.is_file():
        there = sorted(path.name for path in file.parent.glob("*.ckpt"))
        raise RunError(
            f"{file}: no such checkpoint; there {'are ' + ', '.join(there) if there else 'is none'}"
        )
    return str(file)


class MetricsTable(Logger):
    """Writes ``metrics.csv``: one row for each epoch, whole after every epoch.

    A resumed run continues the table; epochs that are trained again replace their rows.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self._folder = Path(folder)
        self._rows: dict[int, dict[str, Any]] = {}

    @property
    @override
    def name(self) -> str:
        return self._folder.name

    @property
    @override
    def version(self) -> str:
        return ""

    @property
    @override
    def log_dir(self) -> str:
        return str(self._folder)

    @override
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        # They stand in config.yaml.
        pass

    @override
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if not is_first_process() or "epoch" not in metrics:
            return
        epoch = int(metrics["epoch"])
        if not self._rows:
            self._rows = _earlier_rows(self._folder / METRICS, epoch)
        row = self._rows.setdefault(epoch, {"epoch": epoch, "step": step})
        row |= {name: value for name, value in metrics.items() if name != "epoch"}
        self._write()

    def rows_with(self, numbers: dict[str, float]) -> list[dict[str, Any]]:
        """All rows, that of the epoch completed by numbers that are not logged yet.

        Args:
            numbers: ``epoch``, ``step`` and what will be logged.
        """
        epoch = int(numbers["epoch"])
        known = self._rows.get(epoch, {})
        return list((self._rows | {epoch: known | numbers | known}).values())

    def restore(self, rows: list[dict[str, Any]]) -> None:
        """Takes back the rows of a checkpoint: the process may have ended before it wrote them."""
        self._rows = {int(row["epoch"]): row for row in rows}
        if is_first_process():
            self._write()

    def _write(self) -> None:
        write_text(self._folder / METRICS, _table_text(list(self._rows.values())))


def _earlier_rows(path: Path, epoch: int) -> dict[int, dict[str, Any]]:
    if not path.is_file():
        return {}
    try:
        rows = {int(row["epoch"]): dict[str, Any](row) for row in read_rows(path, ("epoch",))}
    except DamagedFileError:
        raise
    except ValueError as error:
        raise DamagedFileError(path, f"column epoch: {error}") from error
    return {number: row for number, row in rows.items() if number < epoch}


def _table_text(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return csv_text(columns, ([row.get(name, "") for name in columns] for row in rows))


def _numbered(group: Path) -> list[Path]:
    if not group.is_dir():
        return []
    found = [path for path in group.iterdir() if path.is_dir() and path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))
