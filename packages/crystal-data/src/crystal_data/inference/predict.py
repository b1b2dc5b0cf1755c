"""Predicts the crystals of a source with trained models, in one process or several."""

import pickle
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from crystal_data.errors import InvalidArgumentError, Rejection
from crystal_data.inference.predictor import Predictor
from crystal_data.io.options import DEFAULT, ReadOptions
from crystal_data.io.rejected import REJECTED, read_rejected
from crystal_data.loading.domain import rejected_elements, unsupported
from crystal_data.processes.parallel import map_in_order, worker_number
from crystal_data.processes.progress import progress
from crystal_data.sources.base import CrystalSource
from crystal_data.store.build import open_store
from crystal_data.store.edges import EdgeColumn
from crystal_data.store.store import CrystalStore

# Batches that a process predicts at a time, of several processes.
_BATCHES_PER_TASK = 16

Rows = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class SourcePredictions:
    """Predictions of some models for the crystals of a source.

    Args:
        store: What could be read, in the order of the input.
        rows: Rows of the store that all models can take; int64 ``[num_crystals]``.
        rejected: What could not be read, and what some model cannot take.
        predictions: Of each model: target to values, as ``Predictor.predict`` gives them.
    """

    store: CrystalStore
    rows: Rows
    rejected: list[Rejection]
    predictions: list[dict[str, Values]]

    @property
    def identifiers(self) -> list[str]:
        """Of the crystals that were predicted."""
        return list(self.store.strings("identifier").take(self.rows))


def predict_source(
    predictors: Sequence[Predictor],
    source: CrystalSource,
    *,
    batch_size: int = 64,
    devices: int = 1,
    read_options: ReadOptions = DEFAULT,
) -> SourcePredictions:
    """Predicts all crystals that can be read and that all models can take.

    Args:
        predictors: Each predicts every crystal.
        source: What is predicted; its store is kept in ``CRYSTAL_CACHE_HOME``.
        batch_size: Crystals at a time, on each device.
        devices: GPUs where there are any, otherwise processes on the CPU. The predictions do not
            depend on their number.
        read_options: How structures are read.

    Raises:
        InvalidSourceError: If not one structure can be used.
        InvalidArgumentError: If there are fewer GPUs than ``devices``.
    """
    names = _devices(devices)
    store = open_store(source, on_invalid="skip", options=read_options)
    for predictor in predictors:
        if predictor.graph_spec is not None:
            store.add_column(EdgeColumn(predictor.graph_spec))
    elements = _common_elements(predictors)
    rows = np.setdiff1d(np.arange(len(store)), list(unsupported(store, elements)))
    if devices == 1:
        parts = _in_this_process(predictors, store, rows, batch_size, names[0])
    else:
        parts = _in_workers(predictors, store, rows, batch_size, names)
    tables: list[list[Values]] = [[] for _ in predictors]
    with progress("predicting", total=len(rows)) as advance:
        for count, part in parts:
            for table, values in zip(tables, part, strict=True):
                table.append(values)
            advance(count)
    return SourcePredictions(
        store,
        rows,
        _rejected(store) + rejected_elements(store, elements),
        [one.shaped(table) for one, table in zip(predictors, tables, strict=True)],
    )


def _devices(count: int) -> list[str]:
    if not torch.cuda.is_available():
        return ["cpu"] * count
    if count > torch.cuda.device_count():
        raise InvalidArgumentError(
            f"devices is {count}, but there are {torch.cuda.device_count()} GPUs"
        )
    return [f"cuda:{number}" for number in range(count)]


def _common_elements(predictors: Sequence[Predictor]) -> Collection[int] | None:
    """Atomic numbers that all models have; None if each takes all."""
    known = [predictor.supported_elements for predictor in predictors]
    sets = [frozenset(elements) for elements in known if elements is not None]
    return frozenset.intersection(*sets) if sets else None


def _predict_batch(
    predictors: Sequence[Predictor], store: CrystalStore, rows: Rows
) -> list[Values]:
    """Predictions of each model for some rows, as ``Predictor.predict_batch`` gives them."""
    specs = {predictor.graph_spec for predictor in predictors}
    batches = {spec: store.batch(rows, graph_spec=spec).float32() for spec in specs}
    return [predictor.predict_batch(batches[predictor.graph_spec]) for predictor in predictors]


def _in_this_process(
    predictors: Sequence[Predictor], store: CrystalStore, rows: Rows, batch_size: int, device: str
) -> Iterator[tuple[int, list[Values]]]:
    before = [predictor.device for predictor in predictors]
    try:
        for predictor in predictors:
            predictor.to(device)
        for part in _parts(rows, batch_size):
            yield len(part), _predict_batch(predictors, store, part)
    finally:
        for predictor, earlier in zip(predictors, before, strict=True):
            predictor.to(earlier)


@dataclass(frozen=True)
class _Task:
    """What a worker predicts at a time.

    Args:
        predictors: Pickled here: left to the pool, their weights would travel in shared memory,
            with an open file for each.
        store: Travels as its path.
        rows: Rows of the store.
        batch_size: Crystals at a time.
        devices: Device of each worker.
        num_threads: Of each worker.
    """

    predictors: bytes
    store: CrystalStore
    rows: Rows
    batch_size: int
    devices: tuple[str, ...]
    num_threads: int


def _in_workers(
    predictors: Sequence[Predictor],
    store: CrystalStore,
    rows: Rows,
    batch_size: int,
    devices: Sequence[str],
) -> Iterator[tuple[int, list[Values]]]:
    before = [predictor.device for predictor in predictors]
    content = pickle.dumps([predictor.to("cpu") for predictor in predictors])
    for predictor, earlier in zip(predictors, before, strict=True):
        predictor.to(earlier)
    num_threads = max(1, torch.get_num_threads() // len(devices))

    def task(part: Rows) -> _Task:
        return _Task(content, store, part, batch_size, tuple(devices), num_threads)

    # So many rows that no device is without work, and batches as one process makes them.
    share = -(-len(rows) // (len(devices) * batch_size))
    size = batch_size * max(1, min(share, _BATCHES_PER_TASK))
    pairs = map_in_order(
        _predict_task, _parts(rows, size), task, num_workers=len(devices), patience=0
    )
    return ((len(part), values) for part, values in pairs)


def _predict_task(task: _Task) -> list[Values]:
    torch.set_num_threads(task.num_threads)
    predictors = _loaded(task.predictors, task.devices[worker_number()])
    batches = [
        _predict_batch(predictors, task.store, part) for part in _parts(task.rows, task.batch_size)
    ]
    return [np.concatenate(values) for values in zip(*batches, strict=True)]


@lru_cache(maxsize=1)
def _loaded(content: bytes, device: str) -> list[Predictor]:
    predictors: list[Predictor] = pickle.loads(content)
    return [predictor.to(device) for predictor in predictors]


def _parts(rows: Rows, size: int) -> list[Rows]:
    """The rows in order, so many at a time."""
    cuts = [*range(0, len(rows), size), len(rows)]
    return [rows[start:end] for start, end in pairwise(cuts)]


def _rejected(store: CrystalStore) -> list[Rejection]:
    return [] if store.path is None else read_rejected(store.path / REJECTED)
