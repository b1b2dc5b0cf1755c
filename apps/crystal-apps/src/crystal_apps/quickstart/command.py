"""`crystal quickstart`: universal atomic embeddings from end to end, without a download."""

import argparse
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_apps.pipeline.spec import PipelineError, read_pipeline
from crystal_apps.shipped import QUICKSTART
from crystal_data.processes import as_parent, report_errors

if TYPE_CHECKING:
    from rich.console import Console

    from crystal_apps.pipeline.task import Task

PIPELINE = QUICKSTART
TARGET = "formation_energy_per_atom"
_NUM_LABELLED = 200  # train_size in cgcnn.yaml
_MARK = "quickstart.txt"
CRYSTALS = "crystals"  # folder of CIFs
_NUM_CRYSTALS = 8
_WHAT = {
    "one-hot": "each element for itself",
    "random": "as wide, without meaning",
    "atom-init": "92 tabulated properties",
    "universal": "from the transformer",
}

NOTE = (
    f"CGCNN learns from {_NUM_LABELLED} labels here, with four element tables; the transformer "
    "that gives one of them has seen all labels of the training part. The formulas tested on were "
    "seen by neither. This shows that the parts work together. It is not evidence for universal "
    "embeddings: the crystals are decorated prototypes, their energies come from a model with one "
    "charge and a few radii per ion, one seed was run, and for another property than the one "
    "pre-trained on the order can be another. For evidence, train on real data: `crystal configs` "
    "lists configs that fit the same models to Materials Project data."
)


def run(out: Path, *, fresh: bool, console: "Console") -> Path:
    """Runs all stages that are not finished, and writes the report.

    Returns:
        The page.

    Raises:
        PipelineError: If a stage fails, or ``fresh`` would delete what is not ours.
    """
    from crystal_apps.pipeline.display import Display
    from crystal_apps.pipeline.ranks import Ranks
    from crystal_apps.pipeline.schedule import Schedule, alone_in
    from crystal_apps.pipeline.task import Task
    from crystal_apps.report.page import write_report

    started = time.perf_counter()
    if fresh:
        _clear(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARK).write_text("written by crystal quickstart\n", encoding="utf-8")
    tasks = [Task(run, out) for run in read_pipeline(PIPELINE).runs()]
    with alone_in(out, Ranks()), as_parent(), Display(console, len(tasks)) as display:
        # Its matrices are so small that the threads of one run would mostly wait for each other.
        schedule = Schedule(tasks, display, jobs=min(4, os.cpu_count() or 1), threads=1)
        schedule.check()
        if failed := schedule.run():
            raise PipelineError(f"{len(failed)} of {len(tasks)} stages failed, see above")
    first, *arms = tasks
    export_elements(first.folder)
    page = write_report(
        [*(task.folder for task in arms), first.folder],
        out / "report.html",
        title="Quickstart: atomic embeddings from a crystal transformer",
        note=NOTE,
        command=f"crystal quickstart --out {out} --fresh",
    )
    _print_table(console, arms)
    write_crystals(out / CRYSTALS)
    console.print(f"[dim]{time.perf_counter() - started:.0f} s[/]")
    return page


def export_elements(folder: Path) -> None:
    """Writes a transformer's element vectors as ``elements.csv`` and ``atom_init.json``.

    Elements that the training never showed are left out: their vectors mean nothing.
    """
    import numpy as np

    from crystal_data.run_folder import RunFolder
    from crystal_embed import ElementTable, load_table, save_table

    table = load_table(folder)
    unseen = table.metadata.get("random_elements", ())
    seen = np.array([symbol not in unseen for symbol in table.symbols])
    trained = ElementTable("universal", table.atomic_numbers[seen], table.vectors[seen])
    for path in (RunFolder(folder).elements_file, folder / "atom_init.json"):
        save_table(trained, path)


def write_crystals(folder: Path) -> None:
    """Writes some of the built-in crystals as CIFs, to try predictions on."""
    from crystal_data import BuiltinSource, open_store, to_cif
    from crystal_data.io import write_text

    store = open_store(BuiltinSource())
    for row in range(0, len(store), len(store) // _NUM_CRYSTALS):
        crystal = store.crystal(row)
        write_text(folder / f"{crystal.formula}-{row}.cif", to_cif(crystal))


def _clear(out: Path) -> None:
    if not out.exists():
        return
    if not (out / _MARK).is_file() and any(out.iterdir()):
        raise PipelineError(
            f"{out}: --fresh deletes a folder of an earlier quickstart, and this is none",
            "give another --out",
        )
    shutil.rmtree(out)


def _print_table(console: "Console", arms: Sequence["Task"]) -> None:
    from rich.table import Table

    from crystal_apps.report.runs import read_run

    runs = [read_run(task.folder) for task in arms]
    tests = [run.predictions[TARGET] for run in runs]
    unit = runs[0].unit(TARGET)
    table = Table(
        title=f"{TARGET.replace('_', ' ')}, {_NUM_LABELLED} labelled crystals, "
        f"{len(tests[0].target)} to test",
        title_justify="left",
    )
    table.add_column("element table of CGCNN")
    table.add_column("")
    table.add_column(f"test MAE, {unit}", justify="right")
    best = min(test.mae for test in tests)
    for task, test in zip(arms, tests, strict=True):
        mae = f"{test.mae:#.3g}"
        name = task.run.variant["table"]
        table.add_row(
            name, f"[dim]{_WHAT[name]}[/]", f"[bold]{mae}[/]" if test.mae == best else mae
        )
    table.add_row("mean guess", "[dim]the labels' mean for all[/]", f"{tests[0].spread:#.3g}")
    console.print(table)


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``crystal quickstart``."""
    parser = argparse.ArgumentParser(
        prog="crystal quickstart",
        description="Pre-train a small crystal transformer on built-in data, take out its atomic "
        "embeddings, train CGCNN with and without them on few labels, and write a report. "
        "Takes some minutes and no download; stages that are finished are not run again.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/quickstart"), help="folder (default: %(default)s)"
    )
    parser.add_argument("--fresh", action="store_true", help="run every stage again")
    options = parser.parse_args(argv)
    # The first stage takes seconds to begin.
    print(f"{options.out}: a transformer, its element table, CGCNN with four tables", flush=True)
    from rich.console import Console

    console = Console()
    page = run(options.out, fresh=options.fresh, console=console)
    crystals = options.out / CRYSTALS
    console.print(
        f"\n{NOTE}\n\nReport: [bold]{page}[/]\n"
        "Next, properties by models that come with crystal-embed: "
        f"[bold]crystal predict {crystals}[/]",
        soft_wrap=True,
    )
    return 0
