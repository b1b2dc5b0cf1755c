"""Puts the weights of a finished run into the package, in half precision, with measured rates.

    python packages/crystal-gen/scripts/ship_weights.py runs/crystal-dit crystal-dit-joined \
        --results benchmarks/results/structures-joined.json --model crystal-dit-joined

The card gets the rates of `benchmarks/structures.py` or `benchmarks/symmetry_model.py`, so measure
the artifact first.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from crystal_data.artifacts import Artifact

PRETRAINED = Path(__file__).resolve().parents[1] / "src" / "crystal_gen" / "pretrained"
MODEL_BYTES = 5_000_000


def main() -> None:
    """Ships one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run or an artifact")
    parser.add_argument("name", help="such as crystal-dit-joined")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--model", required=True, help="its name in the results")
    arguments = parser.parse_args()
    artifact = Artifact.load(arguments.run)
    weights = {
        # Scales stay as they are: what is far from 0 loses digits.
        name: value.half() if name.startswith("network.") and value.is_floating_point() else value
        for name, value in artifact.weights.items()
    }
    metrics = rates(json.loads(arguments.results.read_text()), arguments.model)
    metadata = {**artifact.metadata, "metrics": metrics}
    folder = replace(artifact, weights=weights, metadata=metadata).save(PRETRAINED / arguments.name)
    size = (folder / "model.safetensors").stat().st_size
    if size > MODEL_BYTES:
        raise SystemExit(f"{folder} has {size} bytes, more than {MODEL_BYTES}")
    total = sum(value.numel() for value in weights.values() if isinstance(value, torch.Tensor))
    print(f"{folder}: {total} numbers, {size} bytes")


def rates(results: dict[str, Any], model: str) -> dict[str, float]:
    """What was measured of a model and of what it is compared with, by name of the card."""
    if "measured" in results:  # symmetries
        return {
            f"test/{metric}, {way}": round(value, 4)
            for way, numbers in results["measured"].items()
            for metric, value in numbers.items()
            if metric.startswith(("group@", "exact@")) and isinstance(value, float)
        }
    return {
        f"test/{metric}, {way.removeprefix(f'{model}: ')}": round(numbers[metric]["value"], 4)
        for way, numbers in results.items()
        if way == "retrieval" or way.startswith(f"{model}: ")
        for metric in ("match_rate", "rmse")
        if metric in numbers
    }


if __name__ == "__main__":
    main()
