"""Structures per CPU second of our neighbor lists, pymatgen's and vesin's, on one core in one run.

    python benchmarks/neighbors.py [--data-root FOLDER] [--count 1000] [--batch-size 256]

With a data root, cells are the first of MP-20's test split (FOLDER/mp_20/test.csv[.gz]); without
one, random triclinic cells of 1 to 20 atoms. Reading is not timed, nor is the construction of
pymatgen's structures. The lists within a radius take turns, and each figure is the best of five
rounds; pymatgen's slow one runs once, on a tenth. vesin takes part where it is installed.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from measuring import RESULTS, write
from pymatgen.core import Structure

from crystal_data.crystal import Crystal
from crystal_data.graphs import GraphSpec, neighbor_list
from crystal_data.testing import random_crystals
from crystal_data.training.memory import keep_freed_memory

RADII = (5.0, 8.0)


def crystals_of(data_root: Path | None, count: int) -> list[Crystal]:
    if data_root is None:
        return random_crystals(count, seed=0, max_atoms=20)
    import pandas as pd

    path = next((data_root / "mp_20").glob("test.csv*"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pymatgen's CIF reader, about rounding
        structures = [Structure.from_str(cif, "cif") for cif in pd.read_csv(path)["cif"][:count]]
    return [
        Crystal(s.lattice.matrix, s.frac_coords, np.array(s.atomic_numbers)) for s in structures
    ]


def ours(crystals: Sequence[Crystal], spec: GraphSpec, batch_size: int) -> Callable[[], int]:
    batches = [
        (
            torch.tensor(np.stack([c.lattice for c in part])),
            torch.tensor(np.concatenate([c.frac_coords for c in part])),
            torch.tensor([c.num_atoms for c in part]),
        )
        for part in (
            crystals[start : start + batch_size] for start in range(0, len(crystals), batch_size)
        )
    ]
    return lambda: sum(len(neighbor_list(*batch, spec).edge_length) for batch in batches)


def with_vesin(structures: Sequence[Structure], radius: float) -> dict[str, Callable[[], int]]:
    """Compiled lists of vesin, where it is installed."""
    if find_spec("vesin") is None:
        return {}
    from vesin import NeighborList

    search = NeighborList(cutoff=radius, full_list=True)

    def edges(structure: Structure) -> int:
        points, box = structure.cart_coords, structure.lattice.matrix
        return len(search.compute(points, box, periodic=True, quantities="ijSd")[3])

    return {"vesin": lambda: sum(edges(s) for s in structures)}


class Rate(NamedTuple):
    """Of one way to find neighbors."""

    speed: float  # structures per CPU second
    edges: float  # of a structure


def measure(runs: dict[str, Callable[[], int]], count: int, rounds: int = 5) -> dict[str, Rate]:
    """The best of several rounds, in which all take turns."""
    seconds, edges = dict.fromkeys(runs, float("inf")), dict.fromkeys(runs, 0)
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            edges[name] = run()
            seconds[name] = min(seconds[name], time.process_time() - start)
    rates = {name: Rate(count / best, edges[name] / count) for name, best in seconds.items()}
    for name, rate in rates.items():
        print(f"{name:<32}{rate.speed:>12,.0f} structures/s{rate.edges:>10,.0f} edges")
    return rates


def compared(crystals: Sequence[Crystal], size: int, radius: float) -> dict[str, Any]:
    """All lists within a radius."""
    print(f"within {radius:g} Å")
    structures = [Structure(c.lattice, c.species, c.frac_coords) for c in crystals]
    few = structures[: max(1, len(structures) // 10)]
    spec = GraphSpec(cutoff=radius, max_neighbors=None)
    objects = {
        "get_all_neighbors": lambda: sum(
            len(row) for s in few for row in s.get_all_neighbors(radius)
        )
    }
    arrays = {
        "ours": ours(crystals, spec, size),
        "ours, half batches": ours(crystals, spec, size // 2),
        "get_neighbor_list": lambda: sum(len(s.get_neighbor_list(radius)[3]) for s in structures),
        **with_vesin(structures, radius),
    }
    rates = measure(objects, len(few), rounds=1) | measure(arrays, len(crystals))
    speeds = {name: rate.speed for name, rate in rates.items()}
    times = {
        own: {name: speeds[own] / speed for name, speed in speeds.items() if "ours" not in name}
        for own in speeds
        if "ours" in own
    }
    for own, ratios in times.items():
        print(own, ", ".join(f"{ratio:.2f} times {name}" for name, ratio in ratios.items()))
    return {
        "structures_per_s": speeds,
        "times as fast": times,
        "edges": rates["ours"].edges,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as every training does; it serves all lists
    crystals = crystals_of(options.data_root, options.count)
    mean = sum(c.num_atoms for c in crystals) / len(crystals)
    print(f"{len(crystals)} cells of {mean:.1f} atoms on average, batches of {options.batch_size}")

    size = options.batch_size
    nearest = {"12 nearest, whole shell": ours(crystals, GraphSpec(), size)}
    results = {name: rate.speed for name, rate in measure(nearest, len(crystals)).items()}
    write(
        RESULTS / "neighbors.json",
        {
            "crystals": len(crystals),
            "batch_size": size,
            "structures_per_s": results,
            **{f"{radius:g} Å": compared(crystals, size, radius) for radius in RADII},
        },
    )


if __name__ == "__main__":
    main()
