"""Numbers of a benchmark's tables, with all that is needed to judge and repeat them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from typing import Any

from crystal_apps.benchmark.convergence import is_similarity
from crystal_apps.benchmark.spec import TableSpec
from crystal_apps.pipeline.spec import PipelineError
from crystal_data.io import DamagedFileError, read_json, write_text
from crystal_data.metrics import SeedInterval

FORMAT_VERSION = 3


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        variant: Axis to value name.
        by_seed: Seed to the metric.
        mean: Over seeds.
        std: Over seeds; None for one seed.
        num_runs: Of all seeds together.
        num_samples: Labels that the metric of a seed is an average of.
        gain: By which share the error is smaller than the baseline's; None for the baseline itself,
            and where the row or its baseline is unconverged.
        late_drop: Share by which the validation error still fell over the last tenth of the
            epochs, mean over the runs; None if unknown.
        unconverged: That was too much for a claim.
        data_hash: Fingerprint of the data.
        seconds: That the runs took together.
    """

    variant: Mapping[str, str]
    by_seed: Mapping[str, float]
    mean: float
    std: float | None
    num_runs: int
    num_samples: int
    gain: SeedInterval | None
    late_drop: float | None
    unconverged: bool
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

    @property
    def label(self) -> str:
        """What is measured, with its unit if it has one."""
        split, metric = next(iter(self.spec.metrics.values())).split("/")[:2]
        name = "MAE" if metric == "mae" else metric.replace("_", " ")
        return f"{split} {name}" if self.unit in ("", "1") else f"{split} {name}, {self.unit}"

    @property
    def best(self) -> float | None:
        """The best mean of the rows that have converged; the largest of similarities."""
        means = [row.mean for row in self.rows if not row.unconverged]
        choose = max if is_similarity(next(iter(self.spec.metrics.values()))) else min
        return choose(means, default=None)

    def baseline(self, row: Row) -> Row | None:
        """The row that a row's gain is over; None if there is none, or it is that row."""
        wanted = {**row.variant, **self.spec.baseline}
        found = next((one for one in self.rows if dict(one.variant) == wanted), None)
        return None if found is row else found


@dataclass(frozen=True)
class BenchmarkResults:
    """All tables of a benchmark.

    Args:
        name: Of the benchmark.
        tables: In the order of its file.
        versions: Library to version.
        excluded: Stage to the SHA-256 of the list of rows kept out of its training.
        intervals_from: What the intervals of gains are computed from.
        seconds: That all runs took together, those before the tables' among them.
        cpus: Of the machine.
        date: When it was made the recorded result; empty if it is none.
        commit: Of the clone at that time.
    """

    name: str
    tables: tuple[ResultTable, ...]
    versions: Mapping[str, str]
    excluded: Mapping[str, str]
    intervals_from: str
    seconds: float
    cpus: int
    date: str = ""
    commit: str = ""


def write(path: Path, results: BenchmarkResults) -> None:
    """Writes results as JSON."""
    content = {"format_version": FORMAT_VERSION, **asdict(results)}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> BenchmarkResults:
    """Reads what :func:`write` wrote.

    Raises:
        PipelineError: If it is not there, or of another format.
        DamagedFileError: If it is no such file.
    """
    if not path.is_file():
        raise PipelineError(f"{path}: no results there", "`crystal benchmark run` writes them")
    content: Any = read_json(path)
    try:
        found = content.pop("format_version")
        if found > FORMAT_VERSION:
            raise PipelineError(
                f"{path}: format {found} is newer than {FORMAT_VERSION}", "update crystal-apps"
            )
        if found < FORMAT_VERSION:
            raise PipelineError(
                f"{path}: format {found} has other intervals than format {FORMAT_VERSION}; "
                "`crystal benchmark run` writes it anew from the finished runs"
            )
        tables = tuple(_table(table) for table in content.pop("tables"))
        return BenchmarkResults(tables=tables, **content)
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedFileError(path, f"not results of a benchmark: {error}") from error


def _table(content: dict[str, Any]) -> ResultTable:
    spec = content["spec"]
    only = {axis: tuple(values) for axis, values in spec["only"].items()}
    return ResultTable(
        TableSpec(**{**spec, "over": tuple(spec["over"]), "only": only}),
        content["unit"],
        tuple(_row(row) for row in content["rows"]),
    )


def _row(content: dict[str, Any]) -> Row:
    gain = content.pop("gain")
    return Row(gain=None if gain is None else SeedInterval(**gain), **content)


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
