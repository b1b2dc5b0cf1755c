"""Puts the weights of a finished run into the package, in half precision.

    python packages/crystal-relax/scripts/ship_weights.py runs/graph-chgnet graph

Its errors come from the record of `benchmarks/relaxation.py`: `python scripts/cards.py` writes them
into its card.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from crystal_data.artifacts import Artifact

PRETRAINED = Path(__file__).resolve().parents[1] / "src" / "crystal_relax" / "pretrained"
MODEL_BYTES = 5_000_000


def main() -> None:
    """Ships one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run or an artifact")
    parser.add_argument("name", help="such as graph")
    arguments = parser.parse_args()
    artifact = Artifact.load(arguments.run)
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in artifact.weights.items()
    }
    folder = replace(artifact, weights=weights).save(PRETRAINED / arguments.name)
    size = (folder / "model.safetensors").stat().st_size
    if size > MODEL_BYTES:
        raise SystemExit(f"{folder} has {size} bytes, more than {MODEL_BYTES}")
    print(f"{folder}: {size} bytes")


if __name__ == "__main__":
    main()
