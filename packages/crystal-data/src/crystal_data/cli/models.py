"""`models` of every package: what comes with it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from crystal_data.cli.command_parser import CommandParser
from crystal_data.cli.text_table import aligned
from crystal_data.inference.shipped import ShippedModels
from crystal_data.processes.error_reporting import report_errors

Table = Sequence[Sequence[str]]


@report_errors
def run_models(
    shipped: ShippedModels,
    argv: Sequence[str] | None = None,
    *,
    what: str = "trained models",
    table: Callable[[ShippedModels], Table] | None = None,
    further: Callable[[], Table] | None = None,
) -> int:
    """Lists the models of a package.

    Args:
        shipped: The models.
        argv: Arguments; those of the process by default.
        what: What is listed, for ``--help``.
        table: Gives the table, its header first; by default that of models that predict.
        further: Gives a second table, its header first, of what else comes with the package.

    Returns:
        Exit status.
    """
    CommandParser(
        f"{shipped.program} models", f"List the {what} that come with the package."
    ).parse(argv)
    lines = aligned((table or _predictors)(shipped))
    if further is not None:
        lines += ["", *aligned(further())]
    print("\n".join(lines))
    return 0


def size_of(folder: Path) -> str:
    """The size of all files of an artifact, as it is listed."""
    return kilobytes(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))


def kilobytes(size: int) -> str:
    """A size as it is listed."""
    return f"{size / 1000:.0f} kB"


def _predictors(shipped: ShippedModels) -> Table:
    from crystal_data.artifacts.artifact import Artifact
    from crystal_data.inference.description import model_facts
    from crystal_data.io.value_cells import with_unit

    rows = [("model", "predicts", "training set", "labels", "error", "size")]
    for name, folder in shipped.artifacts().items():
        artifact = Artifact.load(folder)
        size = size_of(folder)
        if not artifact.targets:
            kind = artifact.kind.replace("_", " ")
            rows.append((name, f"nothing: {kind} ({artifact.class_name})", "", "", "", size))
        for target, scale in artifact.targets.items():
            facts = model_facts(artifact.metadata, target, scale.unit)
            rows.append((name, with_unit(target, scale.unit), *facts, size))
    return rows
