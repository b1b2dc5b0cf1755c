"""What the finished runs of a pipeline measured, gathered over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from statistics import fmean, stdev

from crystal_apps.pipeline.task import Task
from crystal_data.metrics import MetricResult
from crystal_data.run_folder import RunFolder


@dataclass(frozen=True)
class Outcome:
    """One metric of the runs that differ in nothing but the seed.

    Args:
        stage: Name of the stage.
        variant: Axis to the chosen value's name.
        metric: Such as ``test/mae/band_gap``.
        by_seed: Seed to what was measured.
        unit: Of the values.
    """

    stage: str
    variant: Mapping[str, str]
    metric: str
    by_seed: Mapping[int, MetricResult]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return fmean(result.value for result in self.by_seed.values())

    @property
    def std(self) -> float:
        """Standard deviation over seeds (divided by their number less one); NaN for one seed."""
        values = [result.value for result in self.by_seed.values()]
        return stdev(values) if len(values) > 1 else float("nan")

    @property
    def unit(self) -> str:
        """Unit of the values; empty if unknown."""
        return str(next(iter(self.by_seed.values())).parameters.get("unit", ""))


def gather(tasks: Sequence[Task]) -> list[Outcome]:
    """Outcomes of all metrics, in the order of the runs; runs without results give none."""
    found: dict[tuple[str, tuple[tuple[str, str], ...], str], dict[int, MetricResult]] = {}
    for task in tasks:
        for result in RunFolder(task.folder).results():
            key = (task.run.stage, tuple(task.run.variant.items()), result.metric)
            found.setdefault(key, {})[task.run.seed] = result
    return [
        Outcome(stage, dict(variant), metric, by_seed)
        for (stage, variant, metric), by_seed in found.items()
    ]


def spread(mean: float, std: float) -> str:
    """Mean ± standard deviation, as many digits as the latter makes sense of."""
    if isnan(std):
        return f"{mean:.4g}"
    digits = max(0, 1 - _exponent(std)) if std > 0 else 4
    return f"{mean:.{min(digits, 6)}f} ± {std:.{min(digits, 6)}f}"


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])
