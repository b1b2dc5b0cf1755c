"""Puts the weights of a finished run into the package.

    python packages/crystal-gan/scripts/ship_weights.py runs/repair repair-mp20

What ships was trained by pretrain-mp20 for 8 epochs and, from there, by equiformer-mp20 for 6, on
energies and on band gaps. Errors come from the records of `benchmarks/shipped_models.py` and
`benchmarks/masked_elements.py`: `python scripts/cards.py` writes them into the cards.
"""

import argparse
from pathlib import Path

from crystal_data.artifacts import Artifact

PRETRAINED = Path(__file__).resolve().parents[1] / "src" / "crystal_gan" / "pretrained"
MODEL_BYTES = 1_500_000


def main() -> None:
    """Ships one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run that was trained")
    parser.add_argument("name", help="such as repair-mp20")
    arguments = parser.parse_args()
    folder = Artifact.load(arguments.run).save(PRETRAINED / arguments.name)
    size = (folder / "model.safetensors").stat().st_size
    if size > MODEL_BYTES:
        raise SystemExit(f"{folder} has {size} bytes, more than {MODEL_BYTES}")
    print(f"{folder}: {size} bytes")


if __name__ == "__main__":
    main()
