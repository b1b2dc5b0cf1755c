"""What an evaluation of generated structures found; its files, and the difference of two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.metrics.result import MetricResult, write_results, write_table
from crystal_data.metrics.statistics import paired_bootstrap_interval

NUM_RESAMPLES = 2_000  # of each interval


@dataclass(frozen=True, eq=False)
class GeneratedEvaluation:
    """What came out.

    Args:
        results: All numbers, those of the strata last. Those that are means over references have
            their 95 % interval among the parameters, unless no reference counts.
        per_reference: Column → a value for each reference.
        per_sample: Column → a value for each generated structure.
        rows: Metric → value of each reference, NaN for one that does not count in it.
        strata: Name of each part of the references that is measured apart → whether each is in it.
    """

    results: tuple[MetricResult, ...]
    per_reference: Mapping[str, Sequence[Any]]
    per_sample: Mapping[str, Sequence[Any]]
    rows: Mapping[str, NDArray[np.float64]]
    strata: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, tuple[str, NDArray[np.bool_]]]:
        """Unfiltered metric and stratum, such as ``rmse@1/none/num_atoms=1-4`` → its metric, rows.

        Rows are of the references in the stratum.
        """
        return {
            f"{name}/{stratum}": (name, inside)
            for name in self.rows
            if name.endswith("/none")
            for stratum, inside in self.strata.items()
        }


def paired_differences(
    first: GeneratedEvaluation, second: GeneratedEvaluation
) -> list[MetricResult]:
    """First minus second, of the references that count in both, with a 95 % interval each.

    Metrics are called ``difference/<metric>``. Those of the strata come last; the strata are the
    first one's.

    Args:
        first: One evaluation.
        second: Another one on the same references.
    """
    every = np.True_
    parts = {name: (name, every) for name in first.rows} | first.parts
    described = {result.metric: result for result in first.results}
    differences = []
    for name, (metric, inside) in parts.items():
        if metric not in second.rows:
            continue
        values, others = first.rows[metric], second.rows[metric]
        both = np.isfinite(values) & np.isfinite(others) & inside
        value, interval = float("nan"), {}
        if both.any():
            found = paired_bootstrap_interval(
                values[both],
                others[both],
                rng=np.random.default_rng(0),
                num_resamples=NUM_RESAMPLES,
            )
            value, interval = found.estimate, {"low": found.low, "high": found.high}
        own = described[name].parameters
        shared = {key: own[key] for key in own if key not in ("low", "high")}
        differences.append(
            replace(
                described[name],
                metric=f"difference/{name}",
                value=value,
                parameters=shared | interval,
                num_samples=int(both.sum()),
            )
        )
    return differences


def write_evaluation(
    path: str | Path, evaluation: GeneratedEvaluation, differences: Sequence[MetricResult] = ()
) -> list[Path]:
    """Write results as JSON, and beside them the tables of references and of samples as CSV.

    Args:
        path: Ends in ``.json``; the tables have its name with ``.csv`` and ``-samples.csv``.
        evaluation: What to write.
        differences: From another evaluation, written after its results.

    Returns:
        The files.
    """
    path = Path(path)
    write_results(path, [*evaluation.results, *differences], evaluation.per_reference)
    samples = path.with_name(f"{path.stem}-samples.csv")
    write_table(samples, evaluation.per_sample)
    return [path, path.with_suffix(".csv"), samples]
