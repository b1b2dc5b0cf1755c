"""Steps of a potential that a prediction saves: from the raw start, scaled, and from models.

    python benchmarks/relaxation_steps.py DATA/relax_chgnet --potential chgnet --model graph=FOLDER

Each test start is relaxed by FIRE with a Frechet cell filter to 0.05 eV/Å, from what it is, from
the cell that volume scaling gives it, and from what each model makes of it. Steps saved are one
less the ratio of mean steps, with a paired bootstrap interval over crystals that converged from
both. The same minimum is an energy that differs by at most 5 meV per atom; lower ones are counted
apart. A potential that the models were not trained on judges them as well.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, write

from crystal_data import open_store
from crystal_data.crystal import Crystal
from crystal_data.metrics import paired_bootstrap_interval
from crystal_data.trajectories import (
    POTENTIALS,
    RelaxationError,
    RelaxationSource,
    relax_many,
)
from crystal_relax import Relaxer
from crystal_relax.pairs import pairs_of
from crystal_relax.references import Identity, VolumeScaling

SAME = 0.005  # eV per atom


def relaxed(crystals: list[Crystal], potential: str) -> list[tuple[float, float]]:
    """Steps and the energy per atom at the end of each; NaN where it did not converge."""
    return [
        (np.nan, np.nan)
        if isinstance(frames, RelaxationError)
        else (float(frames[-1].step), frames[-1].energy / frames[-1].crystal.num_atoms)
        for frames in relax_many(crystals, potential)
    ]


def compared(raw: np.ndarray, own: np.ndarray) -> dict[str, Any]:
    """Steps saved and minima reached, beside the raw starts; rows of steps and energies."""
    both = np.isfinite(raw[:, 0]) & np.isfinite(own[:, 0])
    steps, other = own[both, 0], raw[both, 0]
    ratio = steps.mean() / other.mean()
    # Linear in small changes of both means.
    saved = paired_bootstrap_interval(
        ratio * other / other.mean() + 1 - ratio,
        steps / other.mean(),
        rng=np.random.default_rng(0),
    )
    difference = own[both, 1] - raw[both, 1]
    return {
        "converged": int(np.isfinite(own[:, 0]).sum()),
        "both": int(both.sum()),
        "mean steps": float(steps.mean()),
        "saved": {"estimate": saved.estimate, "low": saved.low, "high": saved.high},
        "same minimum": float((np.abs(difference) <= SAME).mean()),
        "lower minimum": float((difference < -SAME).mean()),
    }


def main() -> None:
    """Relaxes crystals, and writes what is known after each ten, or as many as go in step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of trajectories: train, val, test")
    parser.add_argument(
        "--training", type=Path, help="whose training volume scaling is fitted to (default: data)"
    )
    parser.add_argument("--potential", choices=sorted(POTENTIALS), default="chgnet")
    parser.add_argument("--model", nargs="+", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--limit", type=int, help="crystals, drawn by a fixed seed (default: all)")
    parser.add_argument("--out", default="relaxation-steps.json", help="name in benchmarks/results")
    args = parser.parse_args()
    store = open_store(RelaxationSource(args.data), on_invalid="skip")
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))[: args.limit]
    pairs = pairs_of(store, rows.tolist())
    known = open_store(RelaxationSource(args.training or args.data), on_invalid="skip")
    training = pairs_of(known, known.rows_of("train"))
    ways = {"raw": Identity(), "volume scaling": VolumeScaling.fit(training.starts, training.ends)}
    ways |= {
        name: Relaxer.from_pretrained(folder)
        for name, _, folder in (given.partition("=") for given in args.model)
    }
    starts = {name: way.relax(pairs.starts) for name, way in ways.items()}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    size = max(10, POTENTIALS[args.potential].num_in_step)
    for first in range(0, len(pairs.starts), size):
        for name in ways:
            found[name] += relaxed(starts[name][first : first + size], args.potential)
        raw = np.array(found["raw"])
        results = {
            "data": args.data.name,
            "potential": args.potential,
            "num_crystals": len(raw),
            "measured": {name: compared(raw, np.array(own)) for name, own in found.items()},
            "rows": {name: np.array(own).tolist() for name, own in found.items()},
        }
        for name, one in results["measured"].items():
            print(len(raw), name, one, flush=True)
        write(RESULTS / args.out, results)


if __name__ == "__main__":
    main()
