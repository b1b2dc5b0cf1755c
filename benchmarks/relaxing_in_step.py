"""Relaxations in step against one after the other by ASE, in one run.

    python benchmarks/relaxing_in_step.py emt-trajectories
    python benchmarks/relaxing_in_step.py chgnet-249 --potential chgnet --limit 16 --large 5

Starts are test rows of a folder that `crystal-data trajectories` made, drawn by a fixed seed, small
cells and large ones apart. Both ways take FIRE with a Frechet cell filter to 0.05 eV/Å; times are
those of this process (set OMP_NUM_THREADS=1). Beside the ratio stands by how much the frames of
both differ.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from measuring import RESULTS, write

from crystal_data import Crystal, open_store
from crystal_data.trajectories import (
    POTENTIALS,
    Frame,
    RelaxationError,
    RelaxationSource,
    calculator,
    relax,
    relax_many,
)
from crystal_relax.pairs import pairs_of

SIZES = {"up to 20 atoms": range(1, 21), "21 to 52 atoms": range(21, 53)}


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


def by_ase(start: Crystal, potential: str) -> list[Frame] | RelaxationError:
    """One relaxation, or why it came to no end."""
    try:
        return relax(start, calculator(potential))
    except RelaxationError as error:
        return error


def measured(starts: list[Crystal], potential: str, num_ase: int) -> dict[str, Any]:
    """Times of both ways, their ratio and differences."""
    own, own_seconds = timed(lambda: relax_many(starts, potential))
    ase, ase_seconds = timed(lambda: [by_ase(start, potential) for start in starts[:num_ase]])
    pairs = [
        pair for pair in zip(own, ase, strict=False) if all(isinstance(run, list) for run in pair)
    ]
    found = np.array([difference(*pair) for pair in pairs])
    same = found[np.isfinite(found)]
    return {
        "starts": len(starts),
        "mean atoms": float(np.mean([start.num_atoms for start in starts])),
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


def main() -> None:
    """Relaxes the starts both ways, and writes ratio and differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder that `crystal-data trajectories` made")
    parser.add_argument("--potential", choices=sorted(POTENTIALS), default="emt")
    parser.add_argument("--limit", type=int, default=512, help="starts of small cells, in step")
    parser.add_argument("--large", type=int, default=512, help="starts of large cells, in step")
    parser.add_argument("--ase", type=int, default=64, help="of them relaxed by ASE as well")
    args = parser.parse_args()
    store = open_store(RelaxationSource(args.data), on_invalid="skip")
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))
    starts = pairs_of(store, rows.tolist()).starts
    relax_many(starts[:1], args.potential)  # what is made once: tables, networks, memory
    by_ase(starts[0], args.potential)
    results = {}
    for (size, counts), limit in zip(SIZES.items(), (args.limit, args.large), strict=True):
        chosen = [start for start in starts if start.num_atoms in counts][:limit]
        if chosen:
            results[size] = measured(chosen, args.potential, args.ase)
            print(size, results[size], flush=True)
    write(RESULTS / f"relaxing-in-step-{args.potential}.json", results)


if __name__ == "__main__":
    main()
