"""The command line of `crystal run`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_apps.pipeline.spec import Pipeline, PipelineError, read_pipeline
from crystal_apps.shipped import shipped_pipelines
from crystal_data.processes import as_parent, report_errors
from crystal_data.shipped_configs import find_config

if TYPE_CHECKING:
    from crystal_apps.pipeline.task import Task


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that runs a pipeline."""
    parser.add_argument("--seeds", help="such as 0,1,2 or 0-4, instead of those of the file")
    parser.add_argument(
        "--jobs", type=int, default=1, help="runs side by side on this machine (default: 1)"
    )
    parser.add_argument("--devices", help="devices of each run, as trainer.devices")
    parser.add_argument("--num-nodes", type=int, help="machines of each run, as trainer.num_nodes")
    parser.add_argument("--strategy", help="such as ddp, as trainer.strategy")
    parser.add_argument("--data-root", type=Path, help="folder of the public data sets")
    parser.add_argument(
        "--allow-module",
        action="append",
        default=[],
        metavar="NAME",
        help="module whose classes and functions configs may name, besides those of the crystal "
        "packages, torch, lightning and torchmetrics; may be given several times",
    )


def common_options(options: argparse.Namespace, *, num_nodes: int, world_size: int) -> list[str]:
    """What every command of every run is told about where it runs.

    Args:
        options: Those of :func:`add_options`.
        num_nodes: Machines on which somebody else started processes.
        world_size: Number of those processes; 1 if nobody did.
    """
    devices, nodes, strategy = options.devices, options.num_nodes, options.strategy
    if world_size > 1:
        devices = devices or str(world_size // num_nodes)
        nodes = nodes or num_nodes
        strategy = strategy or "ddp"
    given = {
        "trainer.devices": devices,
        "trainer.num_nodes": nodes,
        "trainer.strategy": strategy,
        "data_root": options.data_root,
    }
    return [text for key, value in given.items() if value for text in (f"--{key}", str(value))]


def parse_seeds(text: str) -> list[int]:
    """Seeds of ``0,1,2`` or ``0-4``.

    Raises:
        PipelineError: If the text is neither.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise PipelineError(f"--seeds {text}: give them as 0,1,2 or 0-4")
        seeds += range(int(first), int(last or first) + 1)
    if len(set(seeds)) != len(seeds) or not seeds:
        raise PipelineError(f"--seeds {text}: each seed once, and at least one")
    return seeds


def run_pipeline(
    pipeline: Pipeline, out: Path, options: argparse.Namespace
) -> tuple[int, list["Task"]]:
    """Runs what is not finished.

    Args:
        pipeline: What to run.
        out: Folder of the runs.
        options: Those of :func:`add_options`.

    Returns:
        Exit status, 1 if a run failed, and all runs.

    Raises:
        PipelineError: If the pipeline cannot be started.
    """
    from rich.console import Console

    from crystal_apps.pipeline.display import Display
    from crystal_apps.pipeline.ranks import join
    from crystal_apps.pipeline.schedule import Schedule, alone_in
    from crystal_apps.pipeline.task import Task

    ranks = join()
    if options.jobs < 1 or (options.jobs > 1 and ranks.world_size > 1):
        raise PipelineError(
            f"--jobs {options.jobs}: at least 1, and just 1 where torchrun or SLURM start several "
            "processes, because they all work on the same run"
        )
    if options.seeds:
        pipeline = pipeline.with_seeds(parse_seeds(options.seeds))
    common = common_options(options, num_nodes=ranks.num_nodes, world_size=ranks.world_size)
    modules = tuple(options.allow_module)
    tasks = [Task(run, out, tuple(common), modules) for run in pipeline.runs()]
    console = Console(quiet=ranks.rank > 0)
    with alone_in(out, ranks), as_parent(), Display(console, len(tasks)) as display:
        schedule = Schedule(tasks, display, options.jobs, ranks=ranks)
        schedule.check()
        failed = schedule.run()
    ranks.leave()
    if failed:
        console.print(f"[red]{len(failed)} of {len(tasks)} runs did not come to their end[/]")
    return (1 if failed else 0), tasks


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs `crystal run`."""
    parser = argparse.ArgumentParser(
        prog="crystal run",
        description="Run the stages of a pipeline. Those that are finished are not run again while "
        "their configuration, data and inputs stay the same; one that was interrupted goes on "
        "from the end of its last epoch.",
    )
    parser.add_argument("pipeline", help="name that `crystal configs` lists, or a YAML file")
    parser.add_argument("--out", type=Path, help="folder of the runs (default: runs/<its name>)")
    add_options(parser)
    options = parser.parse_args(sys.argv[1:] if argv is None else list(argv))
    from rich.console import Console

    from crystal_apps.pipeline.display import print_outcomes
    from crystal_apps.pipeline.ranks import is_first

    pipeline = read_pipeline(find_config(options.pipeline, shipped_pipelines()))
    status, tasks = run_pipeline(pipeline, options.out or Path("runs") / pipeline.name, options)
    if is_first():
        print_outcomes(Console(), tasks)
    return status
