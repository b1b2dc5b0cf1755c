"""The command line of `crystal benchmark`."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_apps.benchmark.spec import Benchmark, find_benchmark, read_benchmark
from crystal_apps.pipeline.command import add_options, run_pipeline
from crystal_apps.pipeline.spec import PipelineError
from crystal_apps.shipped import shipped_benchmarks
from crystal_data.processes import report_errors

if TYPE_CHECKING:
    from crystal_apps.benchmark.results import BenchmarkResults


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs `crystal benchmark`."""
    parser = argparse.ArgumentParser(
        prog="crystal benchmark",
        description="Tables that one command reproduces.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="all benchmarks, and which have recorded results")
    for name, summary in (
        ("run", "run what its tables need and is not finished; write them as .json, .md and .svg"),
        ("compare", "say whether a finished run agrees with the recorded results"),
    ):
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("benchmark", help="name, or a YAML file")
        command.add_argument(
            "--out", type=Path, help="folder of the runs (default: runs/<name of the pipeline>)"
        )
        if name == "run":
            add_options(command)
            command.add_argument(
                "--record", action="store_true", help="make this the recorded result"
            )
    options = parser.parse_args(sys.argv[1:] if argv is None else list(argv))
    if options.command == "list":
        return _list()
    return _run(options) if options.command == "run" else _compare(options)


def _list() -> int:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("name", "runs", "recorded", "title"):
        table.add_column(column)
    for file in shipped_benchmarks().values():
        benchmark = read_benchmark(file)
        recorded = "yes" if benchmark.recorded.is_file() else "no"
        table.add_row(
            benchmark.name, str(len(benchmark.pipeline.runs())), recorded, benchmark.title
        )
    Console().print(table)
    return 0


def _out(options: argparse.Namespace, benchmark: Benchmark) -> Path:
    """Folder of the runs; benchmarks of one pipeline share it, as `crystal run` does."""
    return options.out or Path("runs") / benchmark.pipeline.name


def _run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from crystal_apps.benchmark import show
    from crystal_apps.benchmark.collect import collect
    from crystal_apps.pipeline.ranks import is_first

    benchmark = find_benchmark(options.benchmark)
    if options.record and not benchmark.recorded.parent.is_dir():
        raise PipelineError(f"--record: {_no_results(benchmark)}")
    out = _out(options, benchmark)
    status, tasks = run_pipeline(benchmark.pipeline, out, options)
    if not is_first():
        return status
    found = collect(benchmark, tasks)
    _write(out / f"{benchmark.name}.json", benchmark, found)
    console = Console()
    show.print_tables(console, found)
    console.print(f"\nresults: {out / benchmark.name}.json, .md and .svg", soft_wrap=True)
    if options.record and not status:
        record(benchmark, found)
        console.print(f"recorded: {benchmark.recorded}", soft_wrap=True)
    return status


def record(benchmark: Benchmark, found: "BenchmarkResults") -> None:
    """Keeps results in the clone, with the day and the commit."""
    from crystal_apps.benchmark.origin import origin

    place = origin(benchmark.recorded.parent)
    recorded = replace(found, date=place["date"], commit=place["commit"])
    _write(benchmark.recorded, benchmark, recorded)


def _write(path: Path, benchmark: Benchmark, found: "BenchmarkResults") -> None:
    """Numbers, page and picture, side by side."""
    from crystal_apps.benchmark import figure, results, show
    from crystal_data.io import write_text

    results.write(path, found)
    write_text(path.with_suffix(".svg"), figure.draw(found))
    write_text(path.with_suffix(".md"), show.markdown(benchmark, found))


def _compare(options: argparse.Namespace) -> int:
    from rich.console import Console

    from crystal_apps.benchmark import results, show

    benchmark = find_benchmark(options.benchmark)
    if not benchmark.recorded.is_file():
        raise PipelineError(_no_results(benchmark))
    recorded = results.read(benchmark.recorded)
    new = results.read(_out(options, benchmark) / f"{benchmark.name}.json")
    console = Console()
    outside = show.print_comparison(console, recorded, new)
    for name in outside:
        console.print(f"[red]outside what the recorded spread allows[/]: {name}")
    return 1 if outside else 0


def _no_results(benchmark: Benchmark) -> str:
    return (
        f"no recorded results at {benchmark.recorded}; they are kept in benchmarks/results of a "
        "clone of the repository"
    )
