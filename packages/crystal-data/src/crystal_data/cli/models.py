"""`models` of every package: what comes with it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_data.cli.command_parser import CommandParser
from crystal_data.cli.text_table import aligned
from crystal_data.inference.shipped import ShippedModels
from crystal_data.processes.error_reporting import report_errors

if TYPE_CHECKING:
    from crystal_data.artifacts.artifact import Artifact

Table = Sequence[Sequence[str]]
_ERRORS = """\
Errors are mean absolute errors (MAE) on crystals that were used neither for training nor for a
choice, such as that of the epoch, unless the row says otherwise.\
"""


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
    lines = aligned(table(shipped)) if table else [*aligned(_predictors(shipped)), "", _ERRORS]
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
    from crystal_data.inference.ensemble import ensemble_metadata, read_ensemble

    rows: list[tuple[str, ...]] = [
        ("model", "predicts", "training set", "labels", "error", "90 % interval", "size")
    ]
    for name, folder in shipped.artifacts().items():
        artifact = Artifact.load(folder)
        rows += _rows_of(name, folder, artifact, artifact.metadata)
    for name, folder in shipped.ensembles().items():
        found = read_ensemble(folder)
        first = Artifact.load(found.members[0])
        rows += _rows_of(name, folder, first, ensemble_metadata(first.metadata, found.evaluations))
    if not shipped.ensembles():
        return [row[:-2] + row[-1:] for row in rows]
    return rows


def _rows_of(
    name: str, folder: Path, artifact: "Artifact", metadata: Mapping[str, Any]
) -> list[tuple[str, ...]]:
    """A row for each target of a model, or the one of a model without."""
    from crystal_data.inference.description import model_facts
    from crystal_data.io.value_cells import with_unit

    size = size_of(folder)
    if not artifact.targets:
        kind = artifact.kind.replace("_", " ")
        return [(name, f"nothing: {kind} ({artifact.class_name})", "", "", "", "", size)]
    return [
        (
            name,
            with_unit(target, scale.unit),
            *model_facts(metadata, target, scale.unit),
            size,
        )
        for target, scale in artifact.targets.items()
    ]
