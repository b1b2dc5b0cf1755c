"""Puts the weights of a finished run into the package, in half precision.

    python packages/crystal-gen/scripts/ship_weights.py runs/crystal-dit crystal-dit-joined

Its rates come from the records of `benchmarks/structures.py` or `benchmarks/symmetry_model.py`:
`python scripts/cards.py` writes them into its card.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from crystal_data.artifacts import Artifact

PRETRAINED = Path(__file__).resolve().parents[1] / "src" / "crystal_gen" / "pretrained"
MODEL_BYTES = 5_000_000


def main() -> None:
    """Ships one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run or an artifact")
    parser.add_argument("name", help="such as crystal-dit-joined")
    arguments = parser.parse_args()
    artifact = Artifact.load(arguments.run)
    weights = {
        # Scales stay as they are: what is far from 0 loses digits.
        name: value.half() if name.startswith("network.") and value.is_floating_point() else value
        for name, value in artifact.weights.items()
    }
    folder = replace(artifact, weights=weights).save(PRETRAINED / arguments.name)
    size = (folder / "model.safetensors").stat().st_size
    if size > MODEL_BYTES:
        raise SystemExit(f"{folder} has {size} bytes, more than {MODEL_BYTES}")
    total = sum(value.numel() for value in weights.values() if isinstance(value, torch.Tensor))
    print(f"{folder}: {total} numbers, {size} bytes")


if __name__ == "__main__":
    main()
