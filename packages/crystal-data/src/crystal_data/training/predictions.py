"""Predictions of all processes as one table, complete and in the order of the input."""

import csv
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from crystal_data.io.csv_cells import read_cell
from crystal_data.io.files import csv_lines, csv_text, errors_named, write_text
from crystal_data.io.value_cells import atom_value_cells, value_cells
from crystal_data.lightning_internals import attached_data_module, is_trial
from crystal_data.loading.datamodule import CrystalDataModule
from crystal_data.run_folder import IDENTIFIER, SAMPLE_ID, RunFolder, prediction_columns
from crystal_data.training.crystal_module import CrystalModule
from crystal_data.training.tested_structures import write_tested_structures
from crystal_data.training.trainer_run import run_of

Split = Literal["test", "predict"]


class PredictionWriter(Callback):
    """Writes ``predictions/<split>.csv`` while testing and predicting.

    Each process appends to a file of its own as batches come, so that memory stays flat. The
    first process then merges them: every sample must be there, one that padding made appear twice
    is kept once, and rows have the order of the input.
    """

    def __init__(self) -> None:
        self._run = RunFolder(Path())
        self._shards = Path()
        self._units: Mapping[str, str] = {}

    @override
    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer, pl_module, "test")

    @override
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer, pl_module, "predict")

    @override
    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any, **kwargs: Any
    ) -> None:
        self._append(trainer, outputs)

    @override
    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any, **kwargs: Any
    ) -> None:
        self._append(trainer, outputs)

    @override
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(trainer, "test")

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(trainer, "predict")

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        # A full disk or a signal; shards that cannot be merged stay, so that one can look at them.
        if isinstance(exception, OSError | KeyboardInterrupt | SystemExit) and self._shards.name:
            shutil.rmtree(self._shards, ignore_errors=True)

    def _start(self, trainer: Trainer, pl_module: LightningModule, split: Split) -> None:
        self._run = run_of(trainer)
        self._units = pl_module.units if isinstance(pl_module, CrystalModule) else {}
        self._shards = self._run.prediction_parts(split)
        if trainer.is_global_zero:
            shutil.rmtree(self._shards, ignore_errors=True)
            self._shards.mkdir(parents=True)
        trainer.strategy.barrier()

    def _append(self, trainer: Trainer, outputs: Any) -> None:
        if isinstance(outputs, Mapping) and "prediction" in outputs:
            shard = self._shards / f"{trainer.global_rank}.csv"
            with errors_named(shard):
                write_rows(shard, outputs, self._units)

    def _finish(self, trainer: Trainer, split: Split) -> None:
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            data = attached_data_module(trainer)
            # A run cut short on purpose, by limit_test_batches, has no full set to check.
            limit = trainer.limit_test_batches if split == "test" else trainer.limit_predict_batches
            whole = limit == 1.0 and not is_trial(trainer)
            ids = data.sample_ids(split) if isinstance(data, CrystalDataModule) and whole else None
            expected = None if ids is None else ids.tolist()
            table = merge_shards(sorted(self._shards.glob("*.csv")), expected)
            if table is not None:
                path = self._run.predictions_file(split)
                write_text(path, table)
                print(f"predictions: {path}", flush=True)
                if split == "test" and ids is not None and isinstance(data, CrystalDataModule):
                    write_tested_structures(self._run, data.store, ids)
            shutil.rmtree(self._shards)
        trainer.strategy.barrier()


def write_rows(shard: Path, outputs: Mapping[str, Any], units: Mapping[str, str]) -> None:
    """Appends the rows of one batch, with a header if the file is new.

    Args:
        shard: File of this process.
        outputs: What ``predict_step`` returns: ``sample_id``, ``identifier``, ``prediction`` and
            perhaps ``target``.
        units: Of targets, as far as they are known.
    """
    columns: dict[str, Sequence[Any]] = {
        SAMPLE_ID: torch.as_tensor(outputs["sample_id"]).tolist(),
        IDENTIFIER: outputs["identifier"],
    }
    predictions, labels = outputs["prediction"], outputs.get("target", {})
    for name, values in predictions.items():
        label, prediction = prediction_columns(name, units.get(name, ""))
        if name in labels:
            columns[label] = _cells(labels[name])
        columns[prediction] = _cells(values)
    is_new = not shard.exists()
    with shard.open("a", encoding="utf-8", newline="") as file:
        header = [columns] if is_new else []
        file.write(csv_lines([*header, *zip(*columns.values(), strict=True)]))


def merge_shards(shards: Iterable[Path], expected: Sequence[int] | None) -> str | None:
    """The table of all shards, without ``sample_id``; None if there are no shards.

    Args:
        shards: Files of the processes.
        expected: Sample ids in the order of the input; None takes what is there, sorted.

    Raises:
        RuntimeError: If a sample is missing, or one came that was not asked for.
    """
    rows: dict[int, list[str]] = {}
    header: list[str] = []
    for shard in shards:
        with shard.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            header = [read_cell(cell) for cell in next(reader)]
            for sample_id, *cells in reader:
                row = [read_cell(cell) for cell in cells]
                # A filler that kept a process in step has lost its labels; the real one wins.
                known = rows.get(int(sample_id))
                if known is None or row.count("") < known.count(""):
                    rows[int(sample_id)] = row
    if not header:
        return None
    order = sorted(rows) if expected is None else list(expected)
    missing, foreign = set(order) - set(rows), set(rows) - set(order)
    if missing or foreign:
        raise RuntimeError(
            f"predictions are not complete: of {len(order)} samples {len(missing)} are missing "
            f"({sorted(missing)[:5]}…) and {len(foreign)} came that were not asked for "
            f"({sorted(foreign)[:5]}…); the shards stay in place"
        )
    return csv_text(header[1:], (rows[sample_id] for sample_id in order))


def _cells(values: torch.Tensor | Sequence[torch.Tensor]) -> list[str]:
    """One cell for each crystal, of a tensor of all or of one for the atoms of each."""
    if isinstance(values, torch.Tensor):
        return value_cells(values.double().cpu().numpy())
    return atom_value_cells([one.double().cpu().numpy() for one in values])
