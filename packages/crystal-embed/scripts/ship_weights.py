"""Puts the weights of a finished run, or its element table, into the package.

    python packages/crystal-embed/scripts/ship_weights.py runs/cgcnn-mp20/001 cgcnn-formation-energy
    python packages/crystal-embed/scripts/ship_weights.py runs/transformer/001 uae:formation-energy

Nothing that training alone needs is copied. The errors of a model come from the record of
`benchmarks/shipped_models.py`: `python scripts/cards.py` writes them into its card.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystal_data.artifacts.artifact import Artifact
from crystal_embed.tables.files import save_table
from crystal_embed.tables.load import load_table
from crystal_embed.tables.table import ElementTable

PRETRAINED = Path(__file__).resolve().parents[1] / "src" / "crystal_embed" / "pretrained"
TABLE_BYTES, MODEL_BYTES = 100_000, 1_500_000


def main() -> None:
    """Ships one model or table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run that was trained")
    parser.add_argument("name", help="such as cgcnn-formation-energy; uae:band-gap for a table")
    arguments = parser.parse_args()
    ship = ship_table if arguments.name.startswith("uae:") else ship_model
    print(ship(arguments.run, arguments.name))


def ship_model(run: Path, name: str) -> Path:
    """Copies a run's artifact."""
    folder = Artifact.load(run).save(PRETRAINED / name)
    _check_size(folder / "model.safetensors", MODEL_BYTES)
    return folder


def ship_table(run: Path, name: str) -> Path:
    """Writes the element table of a run's model, and its section of the tables' card."""
    table = load_table(run)
    artifact = Artifact.load(run)
    metadata = {**table.metadata, "origin": _origin(artifact.class_name, artifact.metadata)}
    named = ElementTable(name, table.atomic_numbers, table.vectors, metadata)
    path = PRETRAINED / "tables" / f"{name.replace(':', '-')}.safetensors"
    save_table(named, path)
    _check_size(path, TABLE_BYTES)
    _write_card()
    return path


def _origin(model: str, metadata: Mapping[str, Any]) -> str:
    training = metadata["training"]
    targets = ", ".join(training["targets"]) or "no labels"
    source = metadata["data"]["source"]
    return f"{model} on {training['num_crystals']} crystals of {source}: {targets}"


def _write_card() -> None:
    lines = [
        "# Element tables",
        "",
        "One vector for each element, learnt by the models below. "
        '`crystal_embed.load_table("uae:band-gap")` and `element_table: uae:band-gap` in a config '
        "take them by name. Elements that training never showed have random vectors, which the "
        "table's metadata lists.",
        "",
        "| table | elements seen | width | made by |",
        "| --- | --- | --- | --- |",
    ]
    for path in sorted((PRETRAINED / "tables").glob("*.safetensors")):
        table = load_table(path)
        untrained = set(table.metadata.get("random_elements", ()))
        seen = len(set(table.symbols) - untrained)
        origin = table.metadata["origin"]
        lines.append(f"| {table.name} | {seen} | {table.width} | {origin} |")
    (PRETRAINED / "tables" / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _check_size(path: Path, limit: int) -> None:
    if path.stat().st_size > limit:
        raise SystemExit(f"{path}: {path.stat().st_size} bytes, more than the {limit} that ship")


if __name__ == "__main__":
    main()
