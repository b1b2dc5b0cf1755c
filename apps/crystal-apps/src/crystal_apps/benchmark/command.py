"""The command line of `crystal benchmark`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from crystal_apps.benchmark.spec import benchmark_files, find_benchmark, read_benchmark
from crystal_apps.pipeline.command import add_options, run_pipeline
from crystal_apps.pipeline.spec import PipelineError
from crystal_data.commands.mistakes import says_errors


@says_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs `crystal benchmark`."""
    parser = argparse.ArgumentParser(
        prog="crystal benchmark",
        description="Tables that one command reproduces. Run it from the top of a clone.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="all benchmarks, and which have recorded results")
    for name, summary in (
        ("run", "run what is not finished and write results.json, .md and .svg"),
        ("compare", "say whether a finished run agrees with the recorded results"),
    ):
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("benchmark", help="name, or a YAML file")
        command.add_argument(
            "--out", type=Path, help="folder of the runs (default: runs/benchmarks/<name>)"
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

    files = benchmark_files()
    if not files:
        raise PipelineError(
            "no configs/benchmarks here; go to the top of a clone of the repository"
        )
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("name", "runs", "recorded", "title"):
        table.add_column(column)
    for file in files:
        benchmark = read_benchmark(file)
        recorded = "yes" if benchmark.recorded.is_file() else "no"
        table.add_row(
            benchmark.name, str(len(benchmark.pipeline.runs())), recorded, benchmark.title
        )
    Console().print(table)
    return 0


def _out(options: argparse.Namespace, name: str) -> Path:
    return options.out or Path("runs") / "benchmarks" / name


def _run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from crystal_apps.benchmark import figure, results, show
    from crystal_apps.pipeline.ranks import is_first
    from crystal_data.io import write_text

    benchmark = find_benchmark(options.benchmark)
    out = _out(options, benchmark.name)
    status, tasks = run_pipeline(benchmark.pipeline, out, options)
    if not is_first():
        return status
    found = results.collect(benchmark, tasks)
    results.write(out / "results.json", found)
    write_text(out / "results.svg", figure.draw(found))
    write_text(out / "results.md", show.markdown(benchmark, found))
    console = Console()
    show.print_tables(console, found)
    console.print(f"\nresults: {out}/results.json, .md and .svg", soft_wrap=True)
    if options.record and not status:
        results.write(benchmark.recorded, found)
        write_text(benchmark.recorded.with_suffix(".svg"), figure.draw(found))
        page = show.markdown(benchmark, found, figure=f"{benchmark.name}.svg")
        write_text(benchmark.recorded.with_suffix(".md"), page)
        console.print(f"recorded: {benchmark.recorded}", soft_wrap=True)
    return status


def _compare(options: argparse.Namespace) -> int:
    from rich.console import Console

    from crystal_apps.benchmark import results, show

    benchmark = find_benchmark(options.benchmark)
    recorded = results.read(benchmark.recorded)
    new = results.read(_out(options, benchmark.name) / "results.json")
    console = Console()
    outside = show.print_comparison(console, recorded, new)
    for name in outside:
        console.print(f"[red]outside what the recorded spread allows[/]: {name}")
    return 1 if outside else 0
