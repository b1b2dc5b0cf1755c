"""Puts the weights of a finished run into the package, with its test errors.

    python packages/crystal-gan/scripts/ship_weights.py runs/repair repair-mp20

Test the run first: the model's card gets the results of its results.json. What ships was trained by
pretrain-mp20 for 8 epochs and, from there, by equiformer-mp20 for 6, on energies and on band gaps.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from crystal_data.artifacts import Artifact
from crystal_data.run_folder import RunFolder

PRETRAINED = Path(__file__).resolve().parents[1] / "src" / "crystal_gan" / "pretrained"
MODEL_BYTES = 1_500_000


def main() -> None:
    """Ships one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run that was trained and tested")
    parser.add_argument("name", help="such as repair-mp20")
    arguments = parser.parse_args()
    results = {result.metric: result.value for result in RunFolder(arguments.run).results()}
    if not any(metric.startswith("test/") for metric in results):
        raise SystemExit(f"{arguments.run}: no test errors; test the run first")
    artifact = Artifact.load(arguments.run)
    metadata = {**artifact.metadata, "metrics": results}
    folder = replace(artifact, metadata=metadata).save(PRETRAINED / arguments.name)
    size = (folder / "model.safetensors").stat().st_size
    if size > MODEL_BYTES:
        raise SystemExit(f"{folder} has {size} bytes, more than {MODEL_BYTES}")
    print(f"{folder}: {size} bytes")


if __name__ == "__main__":
    main()
