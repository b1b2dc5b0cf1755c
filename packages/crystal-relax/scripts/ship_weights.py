"""Puts the weights of a finished run into the package, in half precision, with measured errors.

    python packages/crystal-relax/scripts/ship_weights.py runs/graph-chgnet graph \
        --results benchmarks/results/relaxation.json --model graph

The card gets what `benchmarks/relaxation.py` measured, so measure the run first.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from crystal_data.artifacts import Artifact

PRETRAINED = Path(__file__).resolve().parents[1] / "src" / "crystal_relax" / "pretrained"
MODEL_BYTES = 5_000_000


def main() -> None:
    """Ships one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run or an artifact")
    parser.add_argument("name", help="such as graph")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--model", required=True, help="its name in the results")
    arguments = parser.parse_args()
    artifact = Artifact.load(arguments.run)
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in artifact.weights.items()
    }
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    metrics = {**errors(results, arguments.model), **errors(results, "identity", ", doing nothing")}
    metadata = {**artifact.metadata, "metrics": metrics}
    folder = replace(artifact, weights=weights, metadata=metadata).save(PRETRAINED / arguments.name)
    size = (folder / "model.safetensors").stat().st_size
    if size > MODEL_BYTES:
        raise SystemExit(f"{folder} has {size} bytes, more than {MODEL_BYTES}")
    print(f"{folder}: {size} bytes")


def errors(results: dict[str, Any], name: str, words: str = "") -> dict[str, float]:
    """Mean absolute errors over all rows, by name of the card."""
    rows = results["measured"][name]["table"]["all"]
    return {
        f"{results['split']}/mae/{quantity}{words}": round(row["mae"]["estimate"], 4)
        for quantity, row in rows.items()
    }


if __name__ == "__main__":
    main()
