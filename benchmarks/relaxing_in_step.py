"""Relaxations by EMT in step against one after the other by ASE, in one run.

    python benchmarks/relaxing_in_step.py emt-trajectories

Starts are test rows of a folder that `crystal-data trajectories` made, drawn by a fixed seed. Both
ways take FIRE with a Frechet cell filter to 0.05 eV/Å; times are those of this process (set
OMP_NUM_THREADS=1). Beside the ratio stands by how much the frames of both differ.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from ase.calculators.emt import EMT
from measuring import RESULTS, write

from crystal_data import open_store
from crystal_data.trajectories import Frame, RelaxationError, RelaxationSource, relax, relax_many
from crystal_relax.pairs import pairs_of


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its seconds."""
    start = process_time()
    return work(), process_time() - start


def difference(one: list[Frame], other: list[Frame]) -> float:
    """The largest of cells and atoms over all frames, Å; NaN where the steps differ in number."""
    if len(one) != len(other):
        return float("nan")
    return max(
        float(
            max(
                np.abs(own.crystal.lattice - its.crystal.lattice).max(),
                np.abs(own.crystal.cart_coords - its.crystal.cart_coords).max(),
            )
        )
        for own, its in zip(one, other, strict=True)
    )


def main() -> None:
    """Relaxes the starts both ways, and writes ratio and differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder that `crystal-data trajectories` made")
    parser.add_argument("--limit", type=int, default=512, help="starts relaxed in step")
    parser.add_argument("--ase", type=int, default=64, help="of them relaxed by ASE as well")
    args = parser.parse_args()
    store = open_store(RelaxationSource(args.data), on_invalid="skip")
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))[: args.limit]
    starts = pairs_of(store, rows.tolist()).starts
    relax_many(starts[:2], "emt")  # what is made once: tables, memory
    own, own_seconds = timed(lambda: relax_many(starts, "emt"))
    ase, ase_seconds = timed(lambda: [relax(start, EMT()) for start in starts[: args.ase]])
    pairs = [pair for pair in zip(own, ase, strict=False) if isinstance(pair[0], list)]
    found = np.array([difference(*pair) for pair in pairs])
    same = found[np.isfinite(found)]
    results = {
        "starts": len(starts),
        "not converged": sum(isinstance(run, RelaxationError) for run in own),
        "mean steps": float(np.mean([len(run) - 1 for run in own if isinstance(run, list)])),
        "s per start in step": own_seconds / len(starts),
        "s per start by ASE": ase_seconds / len(ase),
        "ratio": ase_seconds / len(ase) / (own_seconds / len(starts)),
        "compared": len(pairs),
        "same number of steps": len(same),
        "largest difference, Å": float(same.max()),
        "median of the largest differences, Å": float(np.median(same)),
    }
    print(results)
    write(RESULTS / "relaxing-in-step.json", results)


if __name__ == "__main__":
    main()
