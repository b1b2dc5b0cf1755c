"""Numbers of a benchmark's tables, with all that is needed to judge and repeat them."""

import csv
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_apps.benchmark.spec import Benchmark, TableSpec
from crystal_apps.pipeline.outcome import Outcome, gather
from crystal_apps.pipeline.spec import PipelineError
from crystal_apps.pipeline.task import Task
from crystal_data.io import write_text
from crystal_data.metrics import bootstrap_interval

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Gain:
    """By which share the error is smaller than the baseline's, with a 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        variant: Axis to value name.
        by_seed: Seed to the metric.
        mean: Over seeds.
        std: Over seeds; None for one seed.
        num_samples: Labels that the metric is an average of.
        gain: Over the baseline; None for the baseline itself.
        data_hash: Fingerprint of the data.
        seconds: That the runs took together.
    """

    variant: Mapping[str, str]
    by_seed: Mapping[str, float]
    mean: float
    std: float | None
    num_samples: int
    gain: Gain | None
    data_hash: str
    seconds: float

    @property
    def name(self) -> str:
        """The names of its values, which tell it from the others."""
        return "/".join(self.variant.values())


@dataclass(frozen=True)
class ResultTable:
    """One table; ``spec`` says what it shows."""

    spec: TableSpec
    unit: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class BenchmarkResults:
    """All tables of a benchmark.

    Args:
        name: Of the benchmark.
        tables: In the order of its file.
        versions: Library to version.
        excluded: Stage to the SHA-256 of the list of rows kept out of its training.
        seconds: That all runs took together, those before the tables' among them.
        cpus: Of the machine.
    """

    name: str
    tables: tuple[ResultTable, ...]
    versions: Mapping[str, str]
    excluded: Mapping[str, str]
    seconds: float
    cpus: int


def collect(benchmark: Benchmark, tasks: Sequence[Task]) -> BenchmarkResults:
    """Reads what the finished runs left.

    Raises:
        PipelineError: If a table has no finished run.
    """
    outcomes = gather(tasks)
    tables = tuple(_table(spec, tasks, outcomes) for spec in benchmark.tables)
    results = [result for outcome in outcomes for result in outcome.by_seed.values()]
    excluded = {task.run.stage: task.folder / "excluded.csv" for task in tasks}
    return BenchmarkResults(
        name=benchmark.name,
        tables=tables,
        versions=dict(results[0].versions) if results else {},
        excluded={
            stage: hashlib.sha256(path.read_bytes()).hexdigest()
            for stage, path in excluded.items()
            if path.is_file()
        },
        seconds=round(sum(task.seconds for task in tasks), 1),
        cpus=os.cpu_count() or 1,
    )


def _table(spec: TableSpec, tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> ResultTable:
    chosen = [one for one in outcomes if one.stage == spec.stage and one.metric == spec.metric]
    if not chosen:
        raise PipelineError(
            f"table {spec.title!r}: no finished run of {spec.stage} measured {spec.metric}"
        )
    errors = {_name(one.variant): _errors(spec, one, tasks) for one in chosen}
    rows = []
    for one in chosen:
        baseline = _name({**one.variant, **spec.baseline})
        first = next(iter(one.by_seed.values()))
        gain = None
        if spec.baseline and baseline in errors and baseline != _name(one.variant):
            gain = _gain(errors[baseline], errors[_name(one.variant)])
        rows.append(
            Row(
                variant=dict(one.variant),
                by_seed={str(seed): result.value for seed, result in one.by_seed.items()},
                mean=one.mean,
                std=None if isnan(one.std) else one.std,
                num_samples=first.num_samples,
                gain=gain,
                data_hash=first.data_hash,
                seconds=round(sum(task.seconds for task in _tasks(spec, one, tasks)), 1),
            )
        )
    return ResultTable(spec, chosen[0].unit, tuple(rows))


def _tasks(spec: TableSpec, outcome: Outcome, tasks: Sequence[Task]) -> list[Task]:
    return [
        task
        for task in tasks
        if task.run.stage == spec.stage and dict(task.run.variant) == dict(outcome.variant)
    ]


def _name(variant: Mapping[str, str]) -> str:
    return "/".join(variant.values())


def _errors(
    spec: TableSpec, outcome: Outcome, tasks: Sequence[Task]
) -> dict[int, dict[str, float]]:
    """Seed to test structure to absolute error."""
    target = spec.metric.rpartition("/")[2]
    found = {}
    for task in _tasks(spec, outcome, tasks):
        path = task.folder / "predictions" / "test.csv"
        if task.run.seed in outcome.by_seed and path.is_file():
            found[task.run.seed] = _read_errors(path, target)
    return found


def _read_errors(path: Path, target: str) -> dict[str, float]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    prefix = f"{target}:" if rows and f"{target}:target" in rows[0] else ""
    return {
        row["id"]: abs(float(row[f"{prefix}prediction"]) - float(row[f"{prefix}target"]))
        for row in rows
        if row[f"{prefix}target"]
    }


def _gain(
    baseline: Mapping[int, Mapping[str, float]], other: Mapping[int, Mapping[str, float]]
) -> Gain | None:
    """Paired bootstrap over test structures of one less the ratio of errors, means over seeds."""
    seeds = sorted(baseline.keys() & other.keys())
    if not seeds:
        return None
    structures = sorted(
        set.intersection(*(baseline[seed].keys() & other[seed].keys() for seed in seeds))
    )
    pairs = np.array(
        [
            [np.mean([errors[seed][one] for seed in seeds]) for errors in (baseline, other)]
            for one in structures
        ]
    )
    found = bootstrap_interval(pairs, rng=np.random.default_rng(0), statistic=_smaller_by)
    return Gain(found.estimate, found.low, found.high)


def _smaller_by(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    means = pairs.mean(axis=-2)
    smaller: NDArray[np.float64] = 1.0 - means[..., 1] / means[..., 0]
    return smaller


def write(path: Path, results: BenchmarkResults) -> None:
    """Writes results as JSON."""
    content = {"format_version": FORMAT_VERSION, **asdict(results)}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> BenchmarkResults:
    """Reads what :func:`write` wrote.

    Raises:
        PipelineError: If it is not there, or is no such file.
    """
    if not path.is_file():
        raise PipelineError(f"{path}: no results there; `crystal benchmark run` writes them")
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = content.pop("format_version")
        if found > FORMAT_VERSION:
            raise PipelineError(
                f"{path}: format {found} is newer than {FORMAT_VERSION}; update crystal-apps"
            )
        tables = tuple(
            ResultTable(
                TableSpec(**table["spec"]),
                table["unit"],
                tuple(_row(row) for row in table["rows"]),
            )
            for table in content.pop("tables")
        )
        return BenchmarkResults(tables=tables, **content)
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, PipelineError):
            raise
        raise PipelineError(f"{path}: not results of a benchmark: {error}") from error


def _row(content: dict[str, Any]) -> Row:
    gain = content.pop("gain")
    return Row(gain=None if gain is None else Gain(**gain), **content)


def allowed(row: Row, num_seeds: int) -> tuple[float, float]:
    """Where the mean of a repetition lies in 95 of 100 cases, if nothing has changed.

    The prediction interval of a mean over ``num_seeds`` runs, from the spread of the recorded
    ones. Where one seed was recorded, or seeds agree as good as exactly, it is 2 % wide, because
    other versions and processors round differently.
    """
    from scipy.stats import t

    half = 0.02 * abs(row.mean)
    count = len(row.by_seed)
    if row.std is not None and count > 1:
        quantile = float(t.ppf(0.975, count - 1))
        half = max(half, quantile * row.std * sqrt(1 / count + 1 / num_seeds))
    return row.mean - half, row.mean + half
