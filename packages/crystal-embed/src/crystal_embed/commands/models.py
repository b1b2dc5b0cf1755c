"""`crystal-embed models`: what comes with the package."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crystal_data.processes import report_errors
from crystal_embed.shipped import shipped_models, shipped_tables


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Lists the models and tables."""
    from crystal_data.artifacts import Artifact
    from crystal_embed.tables.files import read_table

    parser = argparse.ArgumentParser(
        "crystal-embed models",
        description="List the trained models and element tables that come with the package.",
    )
    parser.parse_args(argv)
    models = [("model", "predicts", "training set", "labels", "error", "size")]
    for name, folder in shipped_models().items():
        artifact = Artifact.load(folder)
        size = sum(path.stat().st_size for path in folder.iterdir())
        for target, scale in artifact.targets.items():
            facts = describe(artifact.metadata, target, scale.unit)
            models.append((name, with_unit(target, scale.unit), *facts, _kilobytes(size)))
    tables = [("table", "elements", "width", "made by", "size")]
    for name, path in shipped_tables().items():
        table = read_table(path)
        untrained = set(table.metadata.get("random_elements", ()))
        trained, origin = len(set(table.symbols) - untrained), table.metadata.get("origin", "")
        size = path.stat().st_size
        tables.append((name, str(trained), str(table.width), str(origin), _kilobytes(size)))
    print("\n".join([*aligned(models), "", *aligned(tables)]))
    return 0


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, each column as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def describe(metadata: Mapping[str, Any], target: str, unit: str) -> tuple[str, str, str]:
    """Training set, range of the labels, and error, each as far as the metadata tell."""
    training = metadata.get("training", {})
    source = metadata.get("data", {}).get("source", "unknown data")
    rows = f", {training['num_crystals']} crystals" if training else ""
    spread = training.get("targets", {}).get(target)
    labels = "" if spread is None else f"{spread['min']:.3g} to {spread['max']:.3g} {unit}".strip()
    return f"{source}{rows}", labels, _error(metadata, target, unit)


def _error(metadata: Mapping[str, Any], target: str, unit: str) -> str:
    """The first evaluation of a model; without one, the error of its own test or validation."""
    for row in metadata.get("evaluations", ()):
        if row["target"] == target:
            count = "" if row["num_crystals"] is None else f" of {row['num_crystals']} crystals"
            return f"{row['mae']:.4g} {unit}".strip() + f" (MAE{count}, {row['data']})"
    metrics = metadata.get("metrics", {})
    # Over several targets the mean is that of scaled errors, which have no unit.
    is_only = list(metadata.get("training", {}).get("targets", ())) == [target]
    for split in ("test", "val"):
        overall = metrics.get(f"{split}/mae") if is_only else None
        value = metrics.get(f"{split}/mae/{target}", overall)
        if value is not None:
            return f"{value:.3g} {unit}".strip() + f" ({split} MAE)"
    return ""


def with_unit(name: str, unit: str) -> str:
    """A column's name with its unit."""
    return f"{name} [{unit}]" if unit else name


def _kilobytes(size: int) -> str:
    return f"{size / 1000:.0f} kB"


def summary_line(name: str | Path, metadata: Mapping[str, Any], target: str, unit: str) -> str:
    """What a user has to know before trusting a prediction, in one line."""
    training, labels, error = describe(metadata, target, unit)
    domain = metadata.get("training", {})
    parts = [f"trained on {training}"]
    if domain:
        parts.append(f"{len(domain['elements'])} elements, up to {domain['max_atoms']} atoms")
    if labels:
        parts.append(f"labels {labels}")
    parts.append(f"error {error}" if error else "error not known")
    return f"{name}: {with_unit(target, unit)}; {'; '.join(parts)}"
