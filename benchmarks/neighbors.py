"""Structures per CPU second of our neighbor lists and pymatgen's, on one core, in one run.

    python benchmarks/neighbors.py [--data-root FOLDER] [--count 1000] [--batch-size 256]

With a data root, cells are the first of MP-20's test split (FOLDER/mp_20/test.csv[.gz]); without
one, random triclinic cells of 1 to 20 atoms. Reading is not timed, nor is the construction of
pymatgen's structures. Each figure is the best of three passes; pymatgen's slow one runs on a tenth.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from measuring import RESULTS, write
from pymatgen.core import Structure

from crystal_data.crystal import Crystal
from crystal_data.graphs import GraphSpec, neighbor_list
from crystal_data.testing import random_crystals

RADIUS = 8.0


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


def measure(name: str, count: int, run: Callable[[], int]) -> float:
    seconds = float("inf")
    for _ in range(3):
        start = time.process_time()
        edges = run()
        seconds = min(seconds, time.process_time() - start)
    print(f"{name:<42}{count / seconds:>12,.0f} structures/s{edges / count:>12,.0f} edges each")
    return count / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    crystals = crystals_of(options.data_root, options.count)
    structures = [Structure(c.lattice, c.species, c.frac_coords) for c in crystals]
    few = structures[: max(1, len(structures) // 10)]
    mean = sum(c.num_atoms for c in crystals) / len(crystals)
    print(f"{len(crystals)} cells of {mean:.1f} atoms on average, batches of {options.batch_size}")

    radius = GraphSpec(cutoff=RADIUS, max_neighbors=None)
    size = options.batch_size
    nearest = ours(crystals, GraphSpec(), size)
    shell = measure("ours, 12 nearest, whole shell", len(crystals), nearest)
    fast = measure("ours, 8 Å", len(crystals), ours(crystals, radius, size))
    array = measure(
        "pymatgen get_neighbor_list, 8 Å",
        len(structures),
        lambda: sum(len(s.get_neighbor_list(RADIUS)[3]) for s in structures),
    )
    objects = measure(
        "pymatgen get_all_neighbors, 8 Å",
        len(few),
        lambda: sum(len(row) for s in few for row in s.get_all_neighbors(RADIUS)),
    )
    print(f"8 Å: {fast / array:.1f} × get_neighbor_list, {fast / objects:.0f} × get_all_neighbors")
    rates = {
        "12 nearest, whole shell": shell,
        "8 Å": fast,
        "pymatgen get_neighbor_list, 8 Å": array,
        "pymatgen get_all_neighbors, 8 Å": objects,
    }
    times = {"get_neighbor_list": fast / array, "get_all_neighbors": fast / objects}
    content = {"crystals": len(crystals), "structures_per_s": rates, "times as fast": times}
    write(RESULTS / "neighbors.json", content)


if __name__ == "__main__":
    main()
