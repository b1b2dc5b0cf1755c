"""`crystal quickstart`: universal atomic embeddings from end to end, without a download."""

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_apps.stages import Stage, StageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as ProgressBar

TARGET = "formation_energy_per_atom"
NUM_LABELLED = 200  # rows that CGCNN may learn from
_WIDTH = 64  # of the element vectors
_EPOCHS = {"transformer": 40, "cgcnn": 60}
_MARK = "quickstart.txt"

NOTE = (
    f"CGCNN learns from {NUM_LABELLED} labels here, with four element tables; the transformer that "
    "gives one of them has seen all labels of the training part. The formulas tested on were seen "
    "by neither. This shows that the parts work together. It is not evidence for universal "
    "embeddings: the crystals are decorated prototypes, their energies come from a model with one "
    "charge and a few radii per ion, one seed was run, and for another property than the one "
    "pre-trained on the order can be another. For evidence, train on real data: the configurations "
    "under configs/embed fit the same models to Materials Project data."
)


@dataclass(frozen=True)
class Arm:
    """CGCNN with one element table."""

    name: str
    table: str
    what: str


def _config(
    model: dict[str, Any], target: str, *, epochs: int, lr: float, data: dict[str, Any]
) -> dict[str, Any]:
    """What `crystal fit` reads, with nothing that depends on the machine."""
    return {
        "seed_everything": 0,
        "model": {
            "class_path": "crystal_data.training.PropertyModule",
            "init_args": {
                "model": model,
                "targets": [target],
                "optimizer": {
                    "class_path": "torch.optim.AdamW",
                    "init_args": {"lr": lr, "weight_decay": 0.01},
                },
                "lr_scheduler": {"class_path": "crystal_data.training.OneCycle"},
            },
        },
        "data": {
            "class_path": "crystal_data.CrystalDataModule",
            "init_args": {"source": {"class_path": "crystal_data.BuiltinSource"}, **data},
        },
        "trainer": {
            "max_epochs": epochs,
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "num_sanity_val_steps": 0,
        },
    }


def pretraining(out: Path) -> Stage:
    """The transformer, on all labels of the training part."""
    model = {
        "class_path": "crystal_embed.CrystalTransformer",
        "init_args": {
            "element_width": _WIDTH,
            "num_layers": 3,
            "num_heads": 4,
            "feedforward_width": 256,
            "dropout": 0.0,
        },
    }
    data = {"batch_size": 64, "length_buckets": True}
    config = _config(model, TARGET, epochs=_EPOCHS["transformer"], lr=1e-3, data=data)
    return Stage(out / "transformer", "pre-train CrystalTransformer", config)


def arms(out: Path) -> list[Arm]:
    """The element tables that are compared."""
    return [
        Arm("one-hot", "one_hot", "each element for itself"),
        Arm("random", f"random:{_WIDTH}", "as wide, without meaning"),
        Arm("atom_init", "atom_init", "92 tabulated properties"),
        Arm("universal", str(out / "transformer"), "from the transformer"),
    ]


def downstream(out: Path, arm: Arm) -> Stage:
    """CGCNN on few of the labels."""
    model = {
        "class_path": "crystal_embed.CGCNN",
        "init_args": {"element_table": arm.table, "num_convolutions": 2},
    }
    data = {"batch_size": 32, "train_size": NUM_LABELLED}
    config = _config(model, TARGET, epochs=_EPOCHS["cgcnn"], lr=5e-3, data=data)
    weights = Path(arm.table) / "artifact" / "model.safetensors"
    inputs = [weights] if weights.is_file() else []
    return Stage(out / f"cgcnn-{arm.name}", f"CGCNN, {arm.name}", config, inputs)


def run(out: Path, *, fresh: bool, console: "Console") -> Path:
    """Runs all stages that are not finished, and writes the report.

    Returns:
        The page.

    Raises:
        StageError: If a stage fails, or ``fresh`` would delete what is not ours.
    """
    from crystal_apps.report import write_report

    started = time.perf_counter()
    if fresh:
        _clear(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARK).write_text("written by crystal quickstart\n", encoding="utf-8")
    first = pretraining(out)
    with _progress(console) as bar:
        _run_stage(first, bar)
        export_elements(first.folder)
        stages = [downstream(out, arm) for arm in arms(out)]
        for stage in stages:
            _run_stage(stage, bar)
    folders = [*(stage.folder for stage in stages), first.folder]
    page = write_report(
        folders,
        out / "report.html",
        title="Quickstart: atomic embeddings from a crystal transformer",
        note=NOTE,
        command=f"crystal quickstart --out {out} --fresh",
    )
    _print_table(console, out, stages)
    console.print(f"[dim]{time.perf_counter() - started:.0f} s[/]")
    return page


def export_elements(folder: Path) -> None:
    """Writes a transformer's element vectors as ``elements.csv`` and ``atom_init.json``.

    Elements that the training never showed are left out: their vectors mean nothing.
    """
    import numpy as np

    from crystal_embed import ElementTable, load_table, save_table

    table = load_table(folder)
    unseen = table.metadata.get("random_elements", ())
    seen = np.array([symbol not in unseen for symbol in table.symbols])
    trained = ElementTable("universal", table.atomic_numbers[seen], table.vectors[seen])
    for name in ("elements.csv", "atom_init.json"):
        save_table(trained, folder / name)


def _clear(out: Path) -> None:
    if not out.exists():
        return
    if not (out / _MARK).is_file() and any(out.iterdir()):
        raise StageError(
            f"{out}: --fresh deletes a folder of an earlier quickstart, and this is none; "
            "give another --out"
        )
    shutil.rmtree(out)


def _run_stage(stage: Stage, bar: "ProgressBar") -> None:
    task = bar.add_task(stage.title, total=stage.epochs, state="")
    if stage.is_done():
        bar.update(task, completed=stage.epochs, state="done before")
        return
    stage.run(lambda done, total: bar.update(task, completed=done, total=total))
    bar.update(task, completed=stage.epochs)


def _progress(console: "Console") -> "ProgressBar":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("epochs"),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[state]}"),
        console=console,
    )


def _print_table(console: "Console", out: Path, stages: Sequence[Stage]) -> None:
    from rich.table import Table

    from crystal_apps.runs import read_run

    runs = [read_run(stage.folder) for stage in stages]
    tests = [run.predictions[TARGET] for run in runs]
    unit = runs[0].unit(TARGET)
    table = Table(
        title=f"{TARGET.replace('_', ' ')}, {NUM_LABELLED} labelled crystals, "
        f"{len(tests[0].target)} to test",
        title_justify="left",
    )
    table.add_column("element table of CGCNN")
    table.add_column("")
    table.add_column(f"test MAE, {unit}", justify="right")
    best = min(test.mae for test in tests)
    for arm, test in zip(arms(out), tests, strict=True):
        mae = f"{test.mae:#.3g}"
        table.add_row(
            arm.name, f"[dim]{arm.what}[/]", f"[bold]{mae}[/]" if test.mae == best else mae
        )
    table.add_row("mean guess", "[dim]the labels' mean for all[/]", f"{tests[0].spread:#.3g}")
    console.print(table)


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
    from rich.console import Console

    console = Console()
    try:
        page = run(options.out, fresh=options.fresh, console=console)
    except StageError as error:
        print(f"crystal quickstart: {error}", file=sys.stderr)
        return 1
    console.print(f"\n{NOTE}\n\nReport: [bold]{page}[/]", soft_wrap=True)
    return 0
