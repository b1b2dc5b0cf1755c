"""Predicts what lies in a source with trained modules, in any number of processes."""

import io
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from numpy.typing import NDArray
from typing_extensions import override

from crystal_data.errors import Rejection
from crystal_data.io.csv_cells import read_csv
from crystal_data.io.options import DEFAULT, ReadOptions
from crystal_data.io.rejected import read_rejected
from crystal_data.loading.datamodule import CrystalDataModule
from crystal_data.loading.domain import rejected_elements
from crystal_data.loading.needs import BatchNeeds
from crystal_data.processes.parent import as_parent
from crystal_data.sources.base import CrystalSource
from crystal_data.store.edges import EdgeColumn
from crystal_data.store.rejections import REJECTED
from crystal_data.store.store import CrystalStore
from crystal_data.training.module import PropertyModule
from crystal_data.training.predictions import PredictionKeeper
from crystal_data.training.quiet import quiet


@dataclass(frozen=True)
class Served:
    """Predictions of some modules for the crystals of a source.

    Args:
        store: What could be read, in the order of the input.
        rows: Rows of the store that all models can take; int64 ``[num_crystals]``.
        rejected: What could not be read, and what some model cannot take.
        predictions: Of each module: target to values, shape ``[num_crystals]``.
    """

    store: CrystalStore
    rows: NDArray[np.int64]
    rejected: list[Rejection]
    predictions: list[dict[str, NDArray[np.float64]]]

    @property
    def identifiers(self) -> list[str]:
        """Of the crystals that were predicted."""
        return list(self.store.strings("identifier").take(self.rows))


class _Inputs(CrystalDataModule):
    """Reads the source once for all modules, so that what is left out is told once."""

    _is_read = False
    elements: Collection[int] | None = None

    @property
    @override
    def needs(self) -> BatchNeeds:
        return replace(super().needs, supported_elements=self.elements)

    @override
    def predict_dataloader(self) -> Any:
        # Without any row there is nothing to load, and the Trainer passes on.
        return self._loader("predict") if len(self.sample_ids("predict")) else []

    @override
    def prepare_data(self) -> None:
        if not self._is_read:
            self._read = self._open(self.source, "skip")
            self._is_read = True
        if self.needs.graph_spec is not None:
            self._read.add_column(EdgeColumn(self.needs.graph_spec))


def predict_source(
    modules: Sequence[PropertyModule],
    source: CrystalSource,
    *,
    batch_size: int = 64,
    devices: int = 1,
    read_options: ReadOptions = DEFAULT,
) -> Served | None:
    """Predicts with the Trainer, one module after the other.

    Args:
        modules: As ``PropertyModule.from_pretrained`` gives them.
        source: What is predicted; its store is kept in ``CRYSTAL_CACHE_HOME``.
        batch_size: Crystals at a time, over all devices.
        devices: Processes on the CPU, or GPUs.
        read_options: How structures are read.

    Returns:
        None in all processes but the first.

    Raises:
        InvalidSourceError: If not one structure can be used.
    """
    inputs = _Inputs(source, batch_size=batch_size, read_options=read_options)
    inputs.elements = _common_elements(modules)
    keeper = PredictionKeeper()
    # Lightning starts the processes of further devices.
    with (
        quiet(),
        as_parent(),
        tempfile.TemporaryDirectory(prefix="crystal-predict-") as scratch,
    ):
        trainer = Trainer(
            devices=devices,
            callbacks=[keeper],
            default_root_dir=scratch,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty(),
            use_distributed_sampler=False,
        )
        tables = []
        for module in modules:
            trainer.predict(module, datamodule=inputs, return_predictions=False)
            tables.append(keeper.table)
        if not trainer.is_global_zero:
            return None
    store = inputs.store
    path = None if store.path is None else store.path / REJECTED
    rejected = [] if path is None else read_rejected(path)
    return Served(
        store,
        inputs.sample_ids("predict"),
        rejected + rejected_elements(store, inputs.elements),
        [_columns(table, module) for table, module in zip(tables, modules, strict=True)],
    )


def _common_elements(modules: Sequence[PropertyModule]) -> Collection[int] | None:
    """Atomic numbers that all modules have; None if each takes all."""
    known = [module.model.supported_elements for module in modules]
    sets = [frozenset(elements) for elements in known if elements is not None]
    return frozenset.intersection(*sets) if sets else None


def _columns(table: str, module: PropertyModule) -> dict[str, NDArray[np.float64]]:
    rows: list[dict[str, Any]] = list(read_csv(io.StringIO(table, newline="")))
    prefix = {name: f"{name}:" if len(module.targets) > 1 else "" for name in module.targets}
    return {
        name: np.array([float(row[f"{start}prediction"]) for row in rows])
        for name, start in prefix.items()
    }
