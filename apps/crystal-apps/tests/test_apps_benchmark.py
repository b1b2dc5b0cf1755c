"""Benchmarks: the numbers of their tables, worked out apart, and what compare accepts."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console

from crystal_apps.benchmark import results, show
from crystal_apps.benchmark.collect import collect
from crystal_apps.benchmark.command import main, record
from crystal_apps.benchmark.convergence import validation_curve
from crystal_apps.benchmark.gain import paired_gain
from crystal_apps.benchmark.origin import origin
from crystal_apps.benchmark.spec import find_benchmark, read_benchmark
from crystal_apps.pipeline.spec import PipelineError
from crystal_apps.pipeline.task import Task
from crystal_apps.shipped import shipped_benchmarks
from crystal_data.metrics import MetricResult, seed_gain_interval, write_results

SEEDS = (0, 1, 2)
RECORDED = Path(__file__).parents[3] / "benchmarks/results"
TARGET = "band_gap"
SMALL = "configs/benchmarks/small.yaml"
SCALE = {"atom-init": 1.0, "universal": 0.8, "random": 1.1}


def error_of(table: str, seed: int, row: int) -> float:
    return SCALE[table] * (1 + 0.01 * seed) * (0.5 + row % 7)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The top of a clone with one benchmark."""
    for folder in ("configs/pipelines", "configs/benchmarks"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "configs/pipelines/model.yaml").write_text("{}")
    vary = {"table": {name: {"x": name} for name in SCALE}}
    pipeline = {"seeds": [0], "stages": {"gap": {"config": "model.yaml", "vary": vary}}}
    (tmp_path / "configs/pipelines/small.yaml").write_text(yaml.safe_dump(pipeline))
    benchmark: dict[str, Any] = {
        "title": "Small",
        "pipeline": "../pipelines/small.yaml",
        "seeds": list(SEEDS),
        "tables": [
            {
                "title": "Gaps",
                "stage": "gap",
                "metric": f"test/mae/{TARGET}",
                "baseline": {"table": "atom-init"},
                "beside": {"paper": {"universal": "7 %"}},
            }
        ],
    }
    (tmp_path / "configs/benchmarks/small.yaml").write_text(yaml.safe_dump(benchmark))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def finished(clone: Path, num_rows: int = 40, data_hash: str = "abc") -> list[Task]:
    """The benchmark's runs as they are when all have ended."""
    benchmark = find_benchmark(SMALL)
    tasks = [Task(run, clone / "out") for run in benchmark.pipeline.runs()]
    for task in tasks:
        table, seed = task.run.variant["table"], task.run.seed
        errors = [error_of(table, seed, row) for row in range(num_rows)]
        predictions = task.folder / "predictions/test.csv"
        predictions.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"m-{row},1.0,{1 + error!r}" for row, error in enumerate(errors)]
        predictions.write_text("\n".join(["id,target,prediction", *lines, "m-x,,3.0", ""]))
        result = MetricResult(
            f"test/mae/{TARGET}",
            float(np.mean(errors)),
            {"unit": "eV"},
            {"torch": "2"},
            data_hash,
            num_rows,
        )
        write_results(task.folder / "results.json", [result])
        task.finish("key", 10.0)
    return tasks


def test_rows_have_means_spreads_and_gains(clone: Path) -> None:
    found = collect(find_benchmark(SMALL), finished(clone))
    (table,) = found.tables
    rows = {row.name: row for row in table.rows}
    for name, row in rows.items():
        by_seed = [np.mean([error_of(name, s, r) for r in range(40)]) for s in SEEDS]
        assert row.mean == pytest.approx(np.mean(by_seed))
        assert row.std == pytest.approx(np.std(by_seed, ddof=1))
        assert row.num_samples == 40
        assert row.seconds == 30
    assert rows["atom-init"].gain is None
    for name in ("universal", "random"):
        gain = rows[name].gain
        assert gain is not None
        assert gain.low is not None
        assert gain.high is not None
        # Every error is the same share of the baseline's, so the pairs leave nothing to doubt.
        assert (gain.low, gain.estimate, gain.high) == pytest.approx((1 - SCALE[name],) * 3)
    assert found.seconds == 90
    assert table.unit == "eV"


def test_of_similarities_the_largest_is_best(clone: Path) -> None:
    (table,) = collect(find_benchmark(SMALL), finished(clone)).tables
    means = {row.name: row.mean for row in table.rows}
    assert table.best == min(means.values())
    assert table.label == "test MAE, eV"
    spec = replace(table.spec, metric="test/cosine/dos", baseline={})
    table = replace(table, spec=spec, unit="1")
    assert table.label == "test cosine"
    header, rows = show.cells(table)
    assert header[1] == "test cosine"
    best = max(means, key=lambda name: means[name])
    assert [row[0] for row in rows if row[1].startswith("**")] == [best]


def test_similarities_converge_as_errors_do(tmp_path: Path) -> None:
    values = [0.5, 0.7, 0.8, 0.85, 0.86, 0.87]
    lines = [f"{epoch},{value},{1 - value}" for epoch, value in enumerate(values)]
    text = "\n".join(["epoch,val/cosine/dos,val/mae/dos", *lines, ""])
    (tmp_path / "metrics.csv").write_text(text)
    ours, errors = (validation_curve(tmp_path, f"test/{m}/dos") for m in ("cosine", "mae"))
    assert ours == pytest.approx(errors)


def test_a_gain_rests_on_seeds_and_structures() -> None:
    rng = np.random.default_rng(5)
    base = {s: {f"m-{i}": float(v) for i, v in enumerate(rng.uniform(1, 2, 400))} for s in SEEDS}
    other = {s: {k: v * rng.uniform(0.4, 1.4) for k, v in e.items()} for s, e in base.items()}
    gain = paired_gain(base, other)
    a, b = (np.array([list(e[s].values()) for s in SEEDS]) for e in (base, other))
    expected = seed_gain_interval(a, b)
    assert gain is not None
    assert (gain.low, gain.high) == pytest.approx((expected.low, expected.high))
    # A structure that only one of the two tested is no pair; one that a seed did not test is
    # missing for that seed.
    del base[0]["m-0"], other[1]["m-0"]
    other[2]["m-new"] = 1.0
    for table in (a, b):
        table[[0, 1], 0] = np.nan
    paired = paired_gain(base, other)
    expected = seed_gain_interval(a, b)
    assert paired is not None
    assert (paired.low, paired.high) == pytest.approx((expected.low, expected.high))
    assert paired_gain({0: {"a": 1.0}}, {0: {"b": 1.0}, 1: {"a": 1.0}}) is None
    assert paired_gain({0: {"a": 0.0}}, {0: {"a": 1.0}}) is None


def test_below_three_seeds_a_table_gives_no_interval(clone: Path) -> None:
    file = clone / SMALL
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"seeds": [0, 1]}))
    found = collect(find_benchmark(SMALL), finished(clone))
    gain = found.tables[0].rows[1].gain
    assert gain is not None
    assert (gain.low, gain.high) == (None, None)
    text = show.markdown(find_benchmark(SMALL), found)
    assert "+20.0 % (no interval below 3 seeds)" in text
    results.write(clone / "results.json", found)
    assert results.read(clone / "results.json") == found


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.md")), ids=lambda file: file.stem)
def test_recorded_pages_say_what_the_records_say(file: Path) -> None:
    found = results.read(file.with_suffix(".json"))
    assert show.markdown(find_benchmark(file.stem), found) == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.md")), ids=lambda file: file.stem)
def test_recorded_gains_follow_from_their_own_seeds(file: Path) -> None:
    found = results.read(file.with_suffix(".json"))
    gains = 0
    for table in found.tables:
        for row in table.rows:
            baseline = table.baseline(row)
            if row.gain is None or baseline is None:
                continue
            a = np.array(list(baseline.by_seed.values()))
            b = np.array([row.by_seed[seed] for seed in baseline.by_seed])
            by_seeds = seed_gain_interval(a[:, None], b[:, None])
            gain = row.gain
            assert gain.estimate == pytest.approx(by_seeds.estimate)
            assert gain.seed_error == pytest.approx(by_seeds.seed_error)
            assert gain.low is not None
            assert by_seeds.low is not None
            assert gain.row_error
            half, of_seeds = gain.estimate - gain.low, by_seeds.estimate - by_seeds.low
            assert half == pytest.approx(np.hypot(of_seeds, 1.96 * gain.row_error), rel=0.01)
            gains += 1
    page = file.read_text(encoding="utf-8")
    assert page.count("(95 %)") == sum(bool(table.spec.baseline) for table in found.tables)
    assert (f"computed from {found.intervals_from}" in page) == bool(gains)


def test_written_results_are_read_back(clone: Path) -> None:
    found = collect(find_benchmark(SMALL), finished(clone))
    results.write(clone / "results.json", found)
    assert results.read(clone / "results.json") == found
    content = json.loads((clone / "results.json").read_text())
    for version, message in ((2, "format 2 has other intervals"), (4, "format 4 is newer than 3")):
        (clone / "old.json").write_text(json.dumps(content | {"format_version": version}))
        with pytest.raises(PipelineError, match=message):
            results.read(clone / "old.json")
    text = show.markdown(find_benchmark(SMALL), found)
    assert "crystal benchmark run small" in text
    assert "| universal | **2.7" in text
    assert "+20.0 % (+20.0 to +20.0)" in text
    assert "7 %" in text
    assert "computed from errors of each test structure with each seed" in text


def test_compare_wants_means_within_the_recorded_spread(clone: Path) -> None:
    benchmark = find_benchmark(SMALL)
    recorded = collect(benchmark, finished(clone))
    row = recorded.tables[0].rows[0]
    low, high = results.allowed(row, 3)
    # Student's t for two degrees of freedom, and the spread of a difference of two means of three.
    assert row.std is not None
    assert high - row.mean == pytest.approx(4.3027 * row.std * np.sqrt(2 / 3), rel=1e-3)
    assert low == pytest.approx(2 * row.mean - high)

    def compared(**changes: Any) -> list[str]:
        rows = (replace(row, **changes), *recorded.tables[0].rows[1:])
        new = replace(recorded, tables=(replace(recorded.tables[0], rows=rows),))
        return show.print_comparison(Console(quiet=True), recorded, new)

    assert compared() == []
    assert compared(mean=high * 0.999) == []
    assert compared(mean=high * 1.001) == [f"Gaps: {row.name}"]
    assert compared(mean=low * 0.999) == [f"Gaps: {row.name}"]
    assert compared(data_hash="other") == [f"Gaps: {row.name}"]


def test_the_commands(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", SMALL, "--out", "out"]) == 1
    assert "no recorded results at" in capsys.readouterr().err
    assert main(["run", SMALL, "--out", "out", "--record"]) == 1
    assert "--record: no recorded results at" in capsys.readouterr().err
    benchmark = find_benchmark(SMALL)
    found = collect(benchmark, finished(clone))
    results.write(benchmark.recorded, found)
    assert main(["compare", SMALL, "--out", "out"]) == 1
    assert "small.json: no results there" in capsys.readouterr().err
    results.write(clone / "out/small.json", found)
    assert benchmark.recorded == clone / "benchmarks/results/small.json"
    assert main(["compare", SMALL, "--out", "out"]) == 0
    content = json.loads((clone / "out/small.json").read_text())
    content["tables"][0]["rows"][1]["mean"] *= 2
    (clone / "out/small.json").write_text(json.dumps(content))
    assert main(["compare", SMALL, "--out", "out"]) == 1
    assert "outside what the recorded spread allows" in capsys.readouterr().out


def test_a_record_says_its_day_and_commit(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = find_benchmark(SMALL)
    found = collect(benchmark, finished(clone))
    benchmark.recorded.parent.mkdir(parents=True)
    record(benchmark, found)
    recorded = results.read(benchmark.recorded)
    assert recorded == replace(found, date=recorded.date, commit="unknown")
    assert recorded.date >= "2026-11-29"

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    git("add", "configs", "benchmarks")
    git("commit", "-q", "-m", "first")
    commit = git("rev-parse", "--short=12", "HEAD")
    benchmark.recorded.write_text("{}")  # changes of records do not count
    assert origin(benchmark.recorded.parent)["commit"] == commit
    (clone / SMALL).write_text("")
    assert origin(benchmark.recorded.parent)["commit"] == f"{commit}-dirty"


def test_benchmarks_that_ship_are_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["list"]) == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]}
    assert listed == set(shipped_benchmarks()) >= {"uae-builtin", "uae-mp20"}
    assert find_benchmark("uae-builtin").pipeline.name == "pipeline"
    assert main(["run", "uae-bultin"]) == 1
    assert "no config 'uae-bultin'; the names are uae-builtin, " in capsys.readouterr().err


def test_files_that_are_no_benchmark(clone: Path) -> None:
    file = clone / SMALL
    content = yaml.safe_load(file.read_text())
    content["tables"][0]["baseline"] = {"table": "atom_init"}
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(
        PipelineError, match="atom_init is no variant of gap, which has table: atom"
    ):
        read_benchmark(file)
    content["tables"][0] |= {"stage": "gaps"}
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(PipelineError, match="stage gaps is none of gap"):
        read_benchmark(file)


@pytest.mark.parametrize("file", shipped_benchmarks().values(), ids=lambda f: f.stem)
def test_every_benchmark_that_ships_is_one(file: Path) -> None:
    assert read_benchmark(file).pipeline.runs()
