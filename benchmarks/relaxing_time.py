"""Seconds for 1,000 structures on two cores: models of crystal-relax, beside a potential.

    python benchmarks/relaxing_time.py chgnet-train

Starts of training relaxations are relaxed by the graph model that ships and by a text model of the
default sizes with random weights, which changes nothing of its time, each by `relax_all` in two
processes, from reading of the model to files; and by CHGNet (FIRE, Frechet cell filter, to
0.05 eV/Å) in two processes, a part of them, extrapolated. Wall seconds, one run.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from measuring import RESULTS, write

from crystal_data import Crystal, open_store
from crystal_data.trajectories import RelaxationSource, relax_many
from crystal_relax import TextRelaxer
from crystal_relax.many import RelaxOptions, relax_all
from crystal_relax.pairs import pairs_of

STRUCTURES, PROCESSES = 1000, 2


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def by_potential(starts: list[Crystal], potential: str) -> None:
    """All relaxed, every second one in each of two processes."""
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        parts = [starts[first::PROCESSES] for first in range(PROCESSES)]
        list(pool.map(relax_many, parts, [potential] * PROCESSES))


def main() -> None:
    """Times all, and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder that `crystal-data trajectories` made")
    parser.add_argument("--potential", default="chgnet")
    parser.add_argument("--part", type=int, default=100, help="structures for the potential")
    args = parser.parse_args()
    store = open_store(RelaxationSource(args.data), on_invalid="skip")
    starts = pairs_of(store, store.rows_of("train")[:STRUCTURES].tolist()).starts
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        torch.manual_seed(0)
        TextRelaxer().save_pretrained(Path(place) / "untrained", metadata={"training": {}})
        for name, model in (("graph", "graph"), ("text", str(Path(place) / "untrained"))):
            out, options = Path(place) / name, RelaxOptions(model)
            found[name] = seconds(
                lambda out=out, options=options: relax_all(
                    starts, out, options, num_workers=PROCESSES
                )
            )
            print(name, found[name], flush=True)
    part = starts[:: len(starts) // args.part][: args.part]
    found[args.potential] = (
        seconds(lambda: by_potential(part, args.potential)) * len(starts) / len(part)
    )
    print(args.potential, found[args.potential])
    sizes = [start.num_atoms for start in starts]
    content = {"structures": len(starts), "mean atoms": sum(sizes) / len(sizes)}
    write(RESULTS / "relaxing-time.json", content | {"part": len(part), "seconds": found})


if __name__ == "__main__":
    main()
