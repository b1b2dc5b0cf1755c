r"""Puts the weights of a finished run, its element table, or an ensemble into the package.

    python packages/crystal-embed/scripts/ship_weights.py runs/cgcnn-mp20/001 cgcnn-formation-energy
    python packages/crystal-embed/scripts/ship_weights.py runs/transformer/001 uae:formation-energy
    python packages/crystal-embed/scripts/ship_weights.py cgcnn-formation-energy runs/seed-1 \
        runs/seed-2 cgcnn-formation-energy-ensemble --calibrate DATA/mp_20/val.csv.gz

Nothing that training alone needs is copied. The errors of a model come from the records of
`benchmarks/shipped_models.py` and `benchmarks/ensembles.py`: `python scripts/cards.py` writes them
into its card. All rows of the labelled table give the factor of an ensemble's intervals; what these
hold is measured on other rows, by the benchmark.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from crystal_data.artifacts.artifact import Artifact
from crystal_data.inference.calibration import conformal_scale, labelled_columns, spread_floor
from crystal_data.inference.ensemble import Ensemble, load_members, save_ensemble
from crystal_embed.shipped import SHIPPED
from crystal_embed.tables.files import save_table
from crystal_embed.tables.load import load_table
from crystal_embed.tables.table import ElementTable

PRETRAINED = Path(__file__).resolve().parents[1] / "src" / "crystal_embed" / "pretrained"
TABLE_BYTES, MODEL_BYTES = 100_000, 1_500_000


def main() -> None:
    """Ships one model, ensemble or table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="run",
        help="folder of a run that was trained; of an ensemble several, or models that ship",
    )
    parser.add_argument("name", help="such as cgcnn-formation-energy; uae:band-gap for a table")
    parser.add_argument(
        "--calibrate", type=Path, help="of an ensemble: labelled crystals that trained no member"
    )
    arguments = parser.parse_args()
    places = [Path(SHIPPED.find(run)) for run in arguments.runs]
    if (len(places) > 1) != (arguments.calibrate is not None):
        parser.error("several runs are an ensemble, which needs --calibrate; one run takes none")
    if arguments.calibrate is not None:
        print(ship_ensemble(places, arguments.name, arguments.calibrate))
    else:
        ship = ship_table if arguments.name.startswith("uae:") else ship_model
        print(ship(places[0], arguments.name))


def ship_model(run: Path, name: str) -> Path:
    """Copies a run's artifact."""
    folder = Artifact.load(run).save(PRETRAINED / name)
    _check_size(folder / "model.safetensors", MODEL_BYTES)
    return folder


def ship_ensemble(members: Sequence[Path], name: str, labelled: Path) -> Path:
    """Copies the artifacts of several runs; without errors, which are those of one member each."""
    with TemporaryDirectory() as drafts:
        places = []
        for number, member in enumerate(members):
            artifact = Artifact.load(member)
            metadata = {
                key: value
                for key, value in artifact.metadata.items()
                if key not in {"metrics", "evaluations"}
            }
            places.append(replace(artifact, metadata=metadata).save(Path(drafts, str(number))))
        ensemble = Ensemble(load_members(places))
        columns, labels = labelled_columns(ensemble, labelled)
        (target,) = ensemble.targets
        std = columns[f"{target}:std"]
        floor = spread_floor(std)
        scale = conformal_scale(columns[target] - labels[target], std + floor)
        folder = save_ensemble(PRETRAINED / name, places, {target: scale}, floor={target: floor})
    for path in folder.glob("*/model.safetensors"):
        _check_size(path, MODEL_BYTES)
    return folder


def ship_table(run: Path, name: str) -> Path:
    """Writes the element table of a run's model, scaled, and its section of the tables' card."""
    table = load_table(f"scaled:{run}")
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
        "take them by name. They are scaled, so that a layer behind them sees them well. Elements "
        "that training never showed have random vectors, which the table's metadata lists.",
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
