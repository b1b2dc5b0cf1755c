"""Makes the tables of a benchmark out of what its runs left."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, stdev

from crystal_apps.benchmark.convergence import MOST_LATE_DROP, late_drop, validation_curve
from crystal_apps.benchmark.gain import paired_gain, structure_errors
from crystal_apps.benchmark.results import BenchmarkResults, ResultTable, Row
from crystal_apps.benchmark.spec import Benchmark, TableSpec
from crystal_apps.pipeline.spec import PipelineError
from crystal_apps.pipeline.task import Task
from crystal_data.metrics import MetricResult, SeedInterval
from crystal_data.run_folder import RunFolder

INTERVALS_FROM = "errors of each test structure with each seed"


@dataclass(frozen=True)
class _Pool:
    """Runs of one row: of each seed one, or where the table averages over an axis one per value.

    Args:
        metric: What is shown of each run.
        variant: Axis to value name, without the axes that are averaged over.
        runs: Seed to the runs and what they measured; None for one that did not come to its end.
    """

    metric: str
    variant: Mapping[str, str]
    runs: dict[int, list[tuple[Task, MetricResult | None]]] = field(default_factory=dict)

    @cached_property
    def measured(self) -> dict[int, list[MetricResult]]:
        """Results of each seed whose runs have all ended; others would be means of other rows."""
        found = {seed: [result for _, result in runs] for seed, runs in self.runs.items()}
        return {
            seed: [result for result in results if result is not None]
            for seed, results in found.items()
            if None not in results
        }

    @property
    def by_seed(self) -> dict[int, float]:
        """Mean of each seed over all labels: runs count by how many they were tested on."""
        return {
            seed: sum(result.value * result.num_samples for result in results)
            / sum(result.num_samples for result in results)
            for seed, results in self.measured.items()
        }

    @cached_property
    def errors(self) -> dict[int, dict[str, float]]:
        """Seed to test structure to absolute error."""
        target = self.metric.rpartition("/")[2]
        return {
            seed: structure_errors([task.folder for task, _ in self.runs[seed]], target)
            for seed in self.measured
        }

    @cached_property
    def curves(self) -> list[list[float]]:
        """Validation curve of each run that was validated at all."""
        tasks = [task for seed in self.measured for task, _ in self.runs[seed]]
        curves = [validation_curve(task.folder, self.metric) for task in tasks]
        return [curve for curve in curves if curve]

    @cached_property
    def late_drop(self) -> float | None:
        """Mean over the runs; None if none of them has a curve that is long enough."""
        drops = [drop for drop in map(late_drop, self.curves) if drop is not None]
        return fmean(drops) if drops else None

    @property
    def is_unconverged(self) -> bool:
        """Also where curves are too short to tell: a handful of epochs proves nothing."""
        if self.late_drop is None:
            return bool(self.curves)
        return self.late_drop > MOST_LATE_DROP

    def row(self, baseline: "_Pool | None") -> Row:
        """The row of the table.

        Args:
            baseline: What its gain is over; None for none.
        """
        values = list(self.by_seed.values())
        first = next(iter(self.measured.values()))
        tasks = [task for runs in self.runs.values() for task, _ in runs]
        return Row(
            variant=self.variant,
            by_seed={str(seed): value for seed, value in self.by_seed.items()},
            mean=fmean(values),
            std=stdev(values) if len(values) > 1 else None,
            num_runs=sum(len(results) for results in self.measured.values()),
            num_samples=sum(result.num_samples for result in first),
            gain=self._gain(baseline),
            late_drop=self.late_drop,
            unconverged=self.is_unconverged,
            data_hash=first[0].data_hash,
            seconds=round(sum(task.seconds for task in tasks), 1),
        )

    def _gain(self, baseline: "_Pool | None") -> SeedInterval | None:
        if baseline is None or self.is_unconverged or baseline.is_unconverged:
            return None
        return paired_gain(baseline.errors, self.errors)


def collect(benchmark: Benchmark, tasks: Sequence[Task]) -> BenchmarkResults:
    """Reads what the finished runs left.

    Raises:
        PipelineError: If a table has no finished run.
    """
    results = {task.run.name: _results(task) for task in tasks}
    excluded = {task.run.stage: RunFolder(task.folder).data_tables.excluded for task in tasks}
    measured = [result for found in results.values() for result in found.values()]
    return BenchmarkResults(
        name=benchmark.name,
        tables=tuple(_table(spec, tasks, results) for spec in benchmark.tables),
        versions=dict(measured[0].versions) if measured else {},
        excluded={
            stage: hashlib.sha256(path.read_bytes()).hexdigest()
            for stage, path in excluded.items()
            if path.is_file()
        },
        intervals_from=INTERVALS_FROM,
        seconds=round(sum(task.seconds for task in tasks), 1),
        cpus=os.cpu_count() or 1,
    )


def _results(task: Task) -> dict[str, MetricResult]:
    return {result.metric: result for result in RunFolder(task.folder).results()}


def _table(
    spec: TableSpec, tasks: Sequence[Task], results: Mapping[str, Mapping[str, MetricResult]]
) -> ResultTable:
    pools: dict[str, _Pool] = {}
    shown = [t for t in tasks if t.run.stage == spec.stage and spec.shows(t.run.variant)]
    for part, metric in spec.metrics.items():
        for task in shown:
            variant = {k: v for k, v in task.run.variant.items() if k not in spec.over}
            variant |= {"part": part} if part else {}
            pool = pools.setdefault(_name(variant), _Pool(metric, variant))
            measured = results[task.run.name].get(metric)
            pool.runs.setdefault(task.run.seed, []).append((task, measured))
    pools = {name: pool for name, pool in pools.items() if pool.measured}
    if not pools:
        whole = f", with all of {' and '.join(spec.over)}," if spec.over else ""
        raise PipelineError(
            f"table {spec.title!r}: no finished run of {spec.stage}{whole} measured "
            f"{' or '.join(spec.metrics.values())}"
        )
    first = next(iter(next(iter(pools.values())).measured.values()))[0]
    rows = tuple(pool.row(_baseline(spec, pool, pools)) for pool in pools.values())
    return ResultTable(spec, str(first.parameters.get("unit", "")), rows)


def _baseline(spec: TableSpec, pool: _Pool, pools: Mapping[str, _Pool]) -> _Pool | None:
    """The row that a row's gain is over; None for that row itself."""
    name = _name({**pool.variant, **spec.baseline})
    return None if name == _name(pool.variant) else pools.get(name)


def _name(variant: Mapping[str, str]) -> str:
    return "/".join(variant.values())
