"""What a benchmark file says: a pipeline, and which of its numbers go into which table."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from crystal_apps.pipeline.spec import Pipeline, PipelineError, read_mapping, read_pipeline
from crystal_apps.shipped import shipped_benchmarks, shipped_pipelines
from crystal_data.shipped_configs import ConfigError, find_config

_RECORDED = Path("benchmarks/results")
_KEYS = ("title", "pipeline", "seeds", "note", "tables")
_TABLE_KEYS = ("title", "stage", "metric", "only", "baseline", "over", "beside")


@dataclass(frozen=True)
class TableSpec:
    """One table.

    Args:
        title: Above it.
        stage: Stage of the pipeline whose runs are its rows.
        metric: Such as ``test/mae/band_gap``; or the same of several parts of the data, each a row:
            name of the part to metric.
        only: Axis to the values that are shown; of other axes all are.
        baseline: Axis to value: each row's gain is over the row that has these values and is
            otherwise the same.
        over: Axes whose runs together make one number of a seed: the mean over all that they were
            tested on, such as over the folds of a cross-validation.
        beside: Title of a further column to its cells, by the row's value names joined with
            ``/``.
    """

    title: str
    stage: str
    metric: str | Mapping[str, str]
    only: Mapping[str, tuple[str, ...]]
    baseline: Mapping[str, str]
    over: tuple[str, ...]
    beside: Mapping[str, Mapping[str, str]]

    @property
    def metrics(self) -> Mapping[str, str]:
        """Name of the part to metric; one metric is of the unnamed whole."""
        return {"": self.metric} if isinstance(self.metric, str) else self.metric

    def shows(self, variant: Mapping[str, str]) -> bool:
        """Whether the runs of a variant belong to the table."""
        return all(variant[axis] in values for axis, values in self.only.items())


@dataclass(frozen=True)
class Benchmark:
    """A benchmark file.

    Args:
        file: Where it was read from.
        title: One line.
        note: What to know when reading the tables.
        pipeline: What is run: what the tables show, and the stages that it starts from.
        tables: What is shown.
    """

    file: Path
    title: str
    note: str
    pipeline: Pipeline
    tables: tuple[TableSpec, ...]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.file.stem

    @property
    def recorded(self) -> Path:
        """Where the recorded results of this benchmark are."""
        return self.file.resolve().parents[2] / _RECORDED / f"{self.name}.json"


def find_benchmark(text: str) -> Benchmark:
    """Reads a benchmark by the name under which it ships, or by its file.

    Raises:
        PipelineError: If it cannot be used.
        ConfigError: If there is none.
    """
    return read_benchmark(find_config(text, shipped_benchmarks()))


def read_benchmark(file: Path) -> Benchmark:
    """Reads and checks a benchmark file.

    Raises:
        PipelineError: If it is not one, or its pipeline is not.
    """
    content = read_mapping(file)
    if not {"title", "pipeline", "tables"} <= set(content):
        raise PipelineError(f"{file}: a mapping with title, pipeline and tables is expected")
    _known(content, _KEYS, str(file))
    try:
        pipeline_file = find_config(str(content["pipeline"]), shipped_pipelines(), file.parent)
    except ConfigError as error:
        raise PipelineError(f"{file}: pipeline: {error}") from error
    pipeline = read_pipeline(pipeline_file)
    if "seeds" in content:
        pipeline = pipeline.with_seeds(content["seeds"])
    try:
        tables = tuple(_table(file, pipeline, table) for table in content["tables"])
    except (KeyError, TypeError, AttributeError) as error:
        raise PipelineError(f"{file}: tables is a list of title, stage and metric each") from error
    pipeline = _narrowed(pipeline, tables)
    return Benchmark(file, str(content["title"]), str(content.get("note", "")), pipeline, tables)


def _narrowed(pipeline: Pipeline, tables: Sequence[TableSpec]) -> Pipeline:
    """The pipeline with the runs of the tables, and what they start from."""
    for name in {table.stage for table in tables}:
        shown = [table.only for table in tables if table.stage == name]
        for axis in pipeline.stages[name].vary:
            if all(axis in only for only in shown):
                values = {value for only in shown for value in only[axis]}
                pipeline = pipeline.with_values(name, axis, values)
    return pipeline.with_stages([table.stage for table in tables])


def _table(file: Path, pipeline: Pipeline, content: Any) -> TableSpec:
    where = f"{file}: table {content.get('title', '')!r}"
    _known(content, _TABLE_KEYS, where)
    stage = str(content.get("stage"))
    if stage not in pipeline.stages:
        raise PipelineError(f"{where}: stage {stage} is none of {', '.join(pipeline.stages)}")
    vary = pipeline.stages[stage].vary
    only = {str(axis): tuple(map(str, values)) for axis, values in content.get("only", {}).items()}
    baseline = {str(axis): str(value) for axis, value in content.get("baseline", {}).items()}
    named = [("only", axis, value) for axis, values in only.items() for value in values]
    named += [("baseline", axis, value) for axis, value in baseline.items()]
    for key, axis, value in named:
        known: Collection[str] = vary.get(axis, {})
        if key == "baseline":
            known = only.get(axis, known)
        if value not in known:
            raise PipelineError(
                f"{where}: {key} {axis}: {value} is no variant of {stage}, which has "
                f"{', '.join(f'{axis}: {name}' for axis in vary for name in vary[axis])}"
            )
    over = tuple(map(str, content.get("over", ())))
    for axis in over:
        if axis not in vary or axis in baseline:
            others = [other for other in vary if other not in baseline]
            raise PipelineError(
                f"{where}: over {axis}: the axes of {stage} to average over are "
                f"{', '.join(others) or 'none'}"
            )
    beside = {
        str(column): {str(row): str(cell) for row, cell in cells.items()}
        for column, cells in content.get("beside", {}).items()
    }
    metric: Any = content["metric"]
    if isinstance(metric, dict):
        metric = {str(part): str(name) for part, name in metric.items()}
    else:
        metric = str(metric)
    return TableSpec(str(content["title"]), stage, metric, only, baseline, over, beside)


def _known(content: Mapping[Any, Any], known: tuple[str, ...], where: str) -> None:
    for key in content:
        if key not in known:
            near = get_close_matches(str(key), known, n=1) or known
            raise PipelineError(f"{where}: unknown key '{key}'; did you mean '{near[0]}'?")
