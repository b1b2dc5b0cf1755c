"""Benchmarks over folds, of a part of a pipeline, and of trainings that were cut off."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crystal_apps.benchmark import figure, results, show
from crystal_apps.benchmark.collect import collect
from crystal_apps.benchmark.command import main
from crystal_apps.benchmark.convergence import late_drop
from crystal_apps.benchmark.gain import paired_gain
from crystal_apps.benchmark.spec import Benchmark, TableSpec, find_benchmark
from crystal_apps.pipeline.spec import PipelineError
from crystal_apps.pipeline.task import Task
from crystal_data.metrics import MetricResult, read_results, write_results

SEEDS, NUM_FOLDS, NUM_ROWS = (0, 1), 3, 31
TARGET = "energy"
METRIC = f"test/mae/{TARGET}"
FLAT = [1 / (epoch + 1) for epoch in range(30)] + [0.03] * 10
FALLING = [2 - 0.02 * epoch for epoch in range(40)]


@pytest.fixture
def benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Benchmark:
    """Two tables, repeated and with folds, of two of a pipeline's four stages."""
    for folder in ("configs/pipelines", "configs/benchmarks"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "configs/pipelines/model.yaml").write_text("{}")
    arms = {"table": {"plain": {"x": "plain"}, "better": {"x": "${pretrain}"}}}
    stages = {
        "pretrain": {"config": "model.yaml", "commands": ["fit"]},
        "unasked": {"config": "model.yaml"},
        "folds": {
            "config": "model.yaml",
            "options": {"data.split.init_args.fold": "${fold}"},
            "vary": {**arms, "fold": list(range(NUM_FOLDS))},
        },
    }
    pipeline = {"seeds": list(SEEDS), "stages": stages}
    (tmp_path / "configs/pipelines/small.yaml").write_text(
        yaml.safe_dump(pipeline, sort_keys=False)
    )
    table = {"title": "E", "stage": "folds", "metric": METRIC, "over": ["fold"]}
    table["baseline"] = {"table": "plain"}
    write_benchmark(tmp_path, table)
    monkeypatch.chdir(tmp_path)
    return find_benchmark("configs/benchmarks/cv.yaml")


def write_benchmark(clone: Path, table: dict[str, Any]) -> None:
    content = {"title": "Folds", "pipeline": "../pipelines/small.yaml", "tables": [table]}
    (clone / "configs/benchmarks/cv.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def error_of(table: str, seed: int, row: int) -> float:
    return (0.5 if table == "better" else 1.0) * (1 + row % 4 + 0.1 * seed)


def finished(benchmark: Benchmark, curves: dict[str, list[float]] | None = None) -> list[Task]:
    """Runs whose folds differ in size: rows are dealt out by their number."""
    tasks = [Task(run, Path("runs/small")) for run in benchmark.pipeline.runs()]
    for task in tasks:
        if task.run.stage == "folds":
            _finish(task, (curves or {}).get(task.run.variant["table"], FLAT))
    return tasks


def _finish(task: Task, curve: list[float]) -> None:
    table, fold = task.run.variant["table"], int(task.run.variant["fold"])
    errors = {r: error_of(table, task.run.seed, r) for r in range(fold, NUM_ROWS, NUM_FOLDS)}
    (task.folder / "predictions").mkdir(parents=True, exist_ok=True)
    lines = [f"m-{row},1.0,{1 + error!r}" for row, error in errors.items()]
    text = "\n".join(["id,target,prediction", *lines, ""])
    (task.folder / "predictions/test.csv").write_text(text)
    mean = float(np.mean(list(errors.values())))
    result = MetricResult(METRIC, mean, {"unit": "eV"}, {"torch": "2"}, "abc", len(errors))
    write_results(task.folder / "results.json", [result])
    rows = [f"{epoch},{value}" for epoch, value in enumerate(curve)]
    # Training numbers of an epoch that was not validated leave the column empty.
    text = "\n".join([f"epoch,val/mae/{TARGET}", *rows, "99,"])
    (task.folder / "metrics.csv").write_text(text + "\n")
    task.finish("key", 10.0)


def test_a_repetition_counts_each_structure_once(benchmark: Benchmark) -> None:
    found = collect(benchmark, finished(benchmark))
    rows = {row.name: row for row in found.tables[0].rows}
    assert list(rows) == ["plain", "better"]
    for name, row in rows.items():
        by_seed = [np.mean([error_of(name, s, r) for r in range(NUM_ROWS)]) for s in SEEDS]
        assert list(row.by_seed.values()) == pytest.approx(by_seed)
        assert row.mean == pytest.approx(np.mean(by_seed))
        assert row.std == pytest.approx(np.std(by_seed, ddof=1))
        assert (row.num_samples, row.num_runs, row.seconds) == (NUM_ROWS, 6, 60)
    gain = rows["better"].gain
    assert gain is not None
    assert gain.estimate == pytest.approx(0.5)
    assert gain.low is None  # two repetitions have no interval
    assert "2 (6 runs)" in show.markdown(benchmark, found)


def test_a_repetition_without_all_its_folds_is_left_out(benchmark: Benchmark) -> None:
    tasks = finished(benchmark)
    (tasks[-1].folder / "results.json").unlink()
    rows = {row.name: row for row in collect(benchmark, tasks).tables[0].rows}
    assert list(rows["plain"].by_seed) == ["0", "1"]
    assert list(rows["better"].by_seed) == ["0"]
    assert rows["better"].std is None
    assert rows["better"].gain is not None
    (tasks[-1].folder.parents[1] / "0/seed-0/results.json").unlink()
    (table,) = collect(benchmark, tasks).tables
    assert [row.name for row in table.rows] == ["plain"]


def test_parts_of_the_data_are_rows_of_one_table(benchmark: Benchmark) -> None:
    parts = {"all": METRIC, "metals": "test/mae/energy_of_metals"}
    table = {"title": "E", "stage": "folds", "metric": parts, "over": ["fold"]}
    write_benchmark(Path(), {**table, "only": {"table": ["plain"]}})
    benchmark = find_benchmark("configs/benchmarks/cv.yaml")
    tasks = finished(benchmark)
    for task in tasks:
        path = task.folder / "results.json"
        if path.is_file():
            (whole,) = read_results(path)
            part = replace(whole, metric=parts["metals"], value=0.25)
            write_results(path, [whole, part])
    found = collect(benchmark, tasks)
    (table_of_parts,) = found.tables
    assert [row.name for row in table_of_parts.rows] == ["plain/all", "plain/metals"]
    assert table_of_parts.rows[1].mean == 0.25
    page = show.markdown(benchmark, found)
    assert "| table | part | test MAE, eV | seeds |" in page
    assert "**" not in page  # parts are no rivals
    results.write(Path("parts.json"), found)
    assert results.read(Path("parts.json")) == found


def test_seeds_that_test_other_structures_count_all_of_them() -> None:
    base = {0: {"a": 1.0, "b": 2.0}, 1: {"b": 2.0, "c": 3.0}, 2: {"x": 9.0}, 4: {"a": 1.0}}
    other = {0: {"a": 0.5, "b": 1.0, "d": 8.0}, 1: {"b": 3.0, "c": 1.5}, 4: {"a": 0.8}}
    gain = paired_gain(base, other)
    assert gain is not None
    assert gain.estimate == pytest.approx(1 - (0.75 + 2.25 + 0.8) / (1.5 + 2.5 + 1))
    assert gain.low is not None
    assert gain.low < gain.estimate
    assert paired_gain(base, {3: {"a": 1.0}}) is None
    assert paired_gain(base, {2: {"a": 1.0}}) is None


def test_only_the_stages_that_tables_need_are_run(benchmark: Benchmark) -> None:
    assert list(benchmark.pipeline.stages) == ["pretrain", "folds"]


def test_a_table_of_some_values_runs_no_others(benchmark: Benchmark) -> None:
    table = {"title": "E", "stage": "folds", "metric": METRIC, "over": ["fold"]}
    write_benchmark(Path(), {**table, "only": {"table": ["plain"], "fold": [0, 2]}})
    narrow = find_benchmark("configs/benchmarks/cv.yaml")
    runs = {run.name for run in narrow.pipeline.runs() if run.seed == 0}
    assert runs == {"folds/plain/0/seed-0", "folds/plain/2/seed-0"}  # nor what it starts from
    # Of runs that another benchmark made it shows its own alone.
    (shown,) = collect(narrow, finished(benchmark)).tables
    assert [row.name for row in shown.rows] == ["plain"]
    write_benchmark(Path(), {**table, "only": {"table": ["plian"]}})
    with pytest.raises(PipelineError, match="only table: plian is no variant of folds"):
        find_benchmark("configs/benchmarks/cv.yaml")
    write_benchmark(
        Path(), {**table, "only": {"table": ["better"]}, "baseline": {"table": "plain"}}
    )
    with pytest.raises(PipelineError, match="baseline table: plain is no variant of folds"):
        find_benchmark("configs/benchmarks/cv.yaml")


def test_benchmarks_of_a_pipeline_share_its_runs(
    benchmark: Benchmark, capsys: pytest.CaptureFixture[str]
) -> None:
    found = collect(benchmark, finished(benchmark))
    results.write(benchmark.recorded, found)
    results.write(Path("runs/small/cv.json"), found)
    assert main(["compare", "configs/benchmarks/cv.yaml"]) == 0
    assert "agrees" in capsys.readouterr().out


def test_axes_that_cannot_be_averaged_over(benchmark: Benchmark) -> None:
    table = {"title": "E", "stage": "folds", "metric": METRIC, "baseline": {"table": "plain"}}
    for axis in ("folds", "table"):
        write_benchmark(Path(), {**table, "over": [axis]})
        with pytest.raises(PipelineError, match=f"over {axis}: the axes of folds to .* are fold"):
            find_benchmark("configs/benchmarks/cv.yaml")


def test_late_drop() -> None:
    assert late_drop(FLAT) == pytest.approx(0)
    # The last four of forty epochs, on a straight line from 1.28 to 1.22.
    assert late_drop(FALLING) == pytest.approx(0.06 / 1.28)
    assert late_drop([1, 2, 3, 4, 5]) is None
    assert late_drop([9, 9, 9, 1.0, 1.1, 1.2]) == pytest.approx(-0.2)
    rng = np.random.default_rng(0)
    noisy = [late_drop(0.1 + 0.001 * rng.standard_normal(200)) for _ in range(20)]
    assert max(abs(drop) for drop in noisy if drop is not None) < 0.02
    assert late_drop([0.0] * 10) == 0


def test_a_curve_too_short_to_tell_claims_nothing(benchmark: Benchmark) -> None:
    found = collect(benchmark, finished(benchmark, {"better": [0.5] * 5}))
    rows = {row.name: row for row in found.tables[0].rows}
    assert [name for name, row in rows.items() if row.unconverged] == ["better"]
    assert rows["better"].gain is None


@pytest.mark.parametrize(
    ("falling", "gain_cell"), [("better", "unconverged"), ("plain", "baseline unconverged")]
)
def test_a_row_that_was_cut_off_claims_nothing(
    benchmark: Benchmark, falling: str, gain_cell: str
) -> None:
    found = collect(benchmark, finished(benchmark, {falling: FALLING}))
    rows = {row.name: row for row in found.tables[0].rows}
    assert rows["better"].gain is None
    assert [name for name, row in rows.items() if row.unconverged] == [falling]
    assert rows[falling].late_drop == pytest.approx(0.06 / 1.28)
    path = Path("results.json")
    results.write(path, found)
    assert results.read(path) == found
    lines = show.markdown(benchmark, found).splitlines()
    (line,) = [line for line in lines if line.startswith(f"| {falling}")]
    assert " † |" in line
    assert "**" not in line
    (line,) = [line for line in lines if line.startswith("| better")]
    assert f"| {gain_cell} |" in line
    assert any(line.startswith("† unconverged: ") for line in lines)
    assert f"{falling} †" in figure.draw(found)


def test_an_unconverged_point_of_a_curve_is_hollow() -> None:
    def row(size: str, table: str, *, unconverged: bool = False) -> results.Row:
        by_seed = {"0": 0.3, "1": 0.4}
        variant = {"rows": size, "table": table}
        return results.Row(variant, by_seed, 0.35, 0.07, 2, 9, None, 0.0, unconverged, "abc", 1.0)

    spec = TableSpec("E", "tune", METRIC, {}, {}, (), {})
    rows = [row(size, table) for size in ("100", "1000") for table in ("plain", "better")]
    for last, is_told in (
        (row("10", "plain"), False),
        (row("10", "plain", unconverged=True), True),
    ):
        table = results.ResultTable(spec, "eV", (*rows, last))
        picture = figure.draw(results.BenchmarkResults("cv", (table,), {}, {}, "", 1.0, 1))
        assert (">unconverged<" in picture) == is_told
