"""The logger that writes what every epoch logs as a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from typing_extensions import override

from crystal_data.io.own_files import DamagedFileError
from crystal_data.run_folder import EPOCH, STEP, RunFolder
from crystal_data.training.trainer_run import is_first_process


class MetricsTable(Logger):
    """Writes ``metrics.csv``: one row for each epoch, whole after every epoch.

    A resumed run continues the table; epochs that are trained again replace their rows.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self._run = RunFolder(Path(folder))
        self._rows: dict[int, dict[str, Any]] = {}

    @property
    @override
    def name(self) -> str:
        return self._run.path.name

    @property
    @override
    def version(self) -> str:
        return ""

    @property
    @override
    def log_dir(self) -> str:
        return str(self._run.path)

    @override
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        # They stand in config.yaml.
        pass

    @override
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if not is_first_process() or EPOCH not in metrics:
            return
        epoch = int(metrics[EPOCH])
        if not self._rows:
            self._rows = _earlier_rows(self._run, epoch)
        row = self._rows.setdefault(epoch, {EPOCH: epoch, STEP: step})
        row |= {name: value for name, value in metrics.items() if name != EPOCH}
        self._write()

    def rows_with(self, numbers: dict[str, float]) -> list[dict[str, Any]]:
        """All rows, that of the epoch completed by numbers that are not logged yet.

        Args:
            numbers: ``epoch``, ``step`` and what will be logged.
        """
        epoch = int(numbers[EPOCH])
        known = self._rows.get(epoch, {})
        return list((self._rows | {epoch: known | numbers | known}).values())

    def restore(self, rows: list[dict[str, Any]]) -> None:
        """Takes back the rows of a checkpoint: the process may have ended before it wrote them."""
        self._rows = {int(row[EPOCH]): row for row in rows}
        if is_first_process():
            self._write()

    def _write(self) -> None:
        self._run.write_metrics(list(self._rows.values()))


def _earlier_rows(run: RunFolder, epoch: int) -> dict[int, dict[str, Any]]:
    try:
        rows = {int(row[EPOCH]): dict[str, Any](row) for row in run.metrics()}
    except DamagedFileError:
        raise
    except ValueError as error:
        raise DamagedFileError(run.metrics_file, f"column {EPOCH}: {error}") from error
    return {number: row for number, row in rows.items() if number < epoch}


def print_metrics(metrics: Mapping[str, float]) -> None:
    """Prints one line for each number, with four digits."""
    width = max(map(len, metrics), default=0)
    for name, value in metrics.items():
        print(f"{name:<{width}}  {value:.4g}", flush=True)
