"""Puts the weights of a finished run into a package.

    python scripts/ship_weights.py crystal-gan runs/repair repair-mp20

In crystal-gan are models of pretrain-mp20 (24 epochs) and, from there, of equiformer-mp20 (6), on
energies and on band gaps; those of crystal-gen and crystal-relax are kept in half precision. Errors
come from records of the benchmarks: ``python scripts/cards.py`` writes them into the cards. Tables
and models of crystal-embed have a script of their own.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from crystal_data.artifacts import Artifact

PACKAGES = Path(__file__).resolve().parents[1] / "packages"
MODEL_BYTES = 5_000_000
# Weights whose names begin so are kept in half precision. Scales of crystal-gen's models are not:
# what is far from 0 loses digits.
HALF = {"crystal-gan": None, "crystal-gen": "network.", "crystal-relax": ""}


def main() -> None:
    """Ships one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", choices=HALF)
    parser.add_argument("run", type=Path, help="folder of a run or an artifact")
    parser.add_argument("name", help="such as repair-mp20")
    arguments = parser.parse_args()
    artifact, begin = Artifact.load(arguments.run), HALF[arguments.package]
    weights = {
        name: value.half()
        if begin is not None and name.startswith(begin) and value.is_floating_point()
        else value
        for name, value in artifact.weights.items()
    }
    source = PACKAGES / arguments.package / "src" / arguments.package.replace("-", "_")
    folder = replace(artifact, weights=weights).save(source / "pretrained" / arguments.name)
    size = (folder / "model.safetensors").stat().st_size
    if size > MODEL_BYTES:
        raise SystemExit(f"{folder} has {size} bytes, more than {MODEL_BYTES}")
    total = sum(value.numel() for value in weights.values())
    print(f"{folder}: {total} numbers, {size} bytes")


if __name__ == "__main__":
    main()
