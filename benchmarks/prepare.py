"""Structures per second from CIF text to graphs: our store against pymatgen, in one run.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/prepare.py [--rounds 3] [--stride 20] [--out FILE]

Rows are all of MP-20 (FOLDER/mp_20/{train,val,test}.csv[.gz]). Ours is timed from the files to
edges on the disk, as any user gets it: worker processes start only where work turns out to be long.
A process that trains has imported torch anyway, so that is timed apart. The baseline is what CGCNN
and CDVAE do first: ``Structure.from_str`` and ``get_all_neighbors`` of 8 Å, in 2 processes that are
up and warm, on every 20th row. Rounds alternate, so that a busy machine slows both alike; the
median round counts. CPU seconds are given beside, since they depend less on what else is running.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

PROCESSES = 2
RADIUS = 8.0
NEIGHBORS = 12


def pymatgen_graphs(texts: list[str]) -> int:
    """What CGCNN and CDVAE do first with a CIF; the number of neighbors."""
    from pymatgen.core import Structure

    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the CIF reader, about rounding
        for text in texts:
            structure = Structure.from_str(text, fmt="cif")
            count += sum(map(len, structure.get_all_neighbors(RADIUS)))
    return count


def cpu_seconds() -> float:
    """Of this process and of all its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Clock:
    """Wall and CPU seconds of named stages, one entry for each round."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}

    def time(self, name: str, function: Callable[[], Any]) -> Any:
        """Calls the function, notes how long it took, and returns what it returns."""
        wall, cpu = time.perf_counter(), cpu_seconds()
        result = function()
        self.wall.setdefault(name, []).append(time.perf_counter() - wall)
        self.cpu.setdefault(name, []).append(cpu_seconds() - cpu)
        return result

    def median(self, name: str) -> dict[str, float]:
        """Of the rounds of a stage."""
        return {
            "wall_s": statistics.median(self.wall[name]),
            "cpu_s": statistics.median(self.cpu[name]),
        }


def baseline_round(clock: Clock, texts: list[str]) -> None:
    """The sample through warm worker processes."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("fork")) as pool:
        list(pool.map(pymatgen_graphs, [texts[:1]] * 2 * PROCESSES))
        cpu, wall = cpu_seconds(), time.perf_counter()
        list(pool.map(pymatgen_graphs, [texts[start::16] for start in range(16)]))
        clock.wall.setdefault("pymatgen", []).append(time.perf_counter() - wall)
    # Children count when they have ended; the few structures of the warm-up are in it.
    clock.cpu.setdefault("pymatgen", []).append(cpu_seconds() - cpu)


def our_round(clock: Clock, specs: dict[str, Any]) -> dict[str, Any]:
    """Files to store to edges; gives the edges of each specification, to be checked."""
    from crystal_data.sources.public import MP20
    from crystal_data.store import EdgeColumn, open_store

    with tempfile.TemporaryDirectory() as cache:
        store = clock.time("store", lambda: open_store(MP20(), cache=cache))
        found = {}
        for name, spec in specs.items():
            clock.time(name, lambda spec=spec: store.add_column(EdgeColumn(spec)))
            edges = store.column_of(EdgeColumn(spec))
            found[name] = (np.array(edges.arrays["edge_length"]), np.array(edges.offsets))
        return found


def breakdown(clock: Clock, records: list[Any]) -> None:
    """Parsing and its parts, in this process."""
    import gemmi

    from crystal_data.io import check_distances, parse_records

    texts = [record.structure for record in records]
    clock.time("  of which gemmi's parser", lambda: [gemmi.cif.read_string(t) for t in texts])
    crystals = clock.time("parse and check", lambda: parse_records(records))
    clock.time("  of which overlap checks", lambda: [check_distances(c) for c in crystals])


def largest_difference(
    lengths: np.ndarray, offsets: np.ndarray, rows: range, texts: list[str]
) -> float:
    """Between sorted lengths of our edges and of pymatgen's nearest, over some rows, Å.

    Lengths closer than the tie tolerance, 1e-3 Å, count as equal and are cut in a fixed order, not
    by length; so much they may differ.
    """
    from pymatgen.core import Structure

    worst = 0.0
    for row, text in zip(rows, texts, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = Structure.from_str(text, fmt="cif")
        theirs = [
            sorted(neighbor.nn_distance for neighbor in neighbors)[:NEIGHBORS]
            for neighbors in structure.get_all_neighbors(RADIUS)
        ]
        ours = np.sort(lengths[offsets[row] : offsets[row + 1]])
        worst = max(worst, float(np.abs(ours - np.sort(np.concatenate(theirs))).max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stride", type=int, default=20, help="rows between two of the baseline")
    parser.add_argument("--out", type=Path, default=Path("prepare.json"))
    options = parser.parse_args()
    if not os.environ.get("CRYSTAL_DATA_HOME"):
        sys.exit("set CRYSTAL_DATA_HOME to the folder that holds mp_20")

    clock = Clock()
    clock.time("import torch", lambda: import_module("crystal_data.graphs.neighbors"))
    import_module("pymatgen.core")  # before the workers are forked

    from crystal_data.graphs.spec import GraphSpec
    from crystal_data.sources.public import MP20

    shell = "edges, 12 nearest with their shell"
    cut = "edges, 12 nearest within 8 Å, cut"
    specs = {
        shell: GraphSpec(max_neighbors=NEIGHBORS),
        cut: GraphSpec(cutoff=RADIUS, max_neighbors=NEIGHBORS, ties="cut"),
    }
    records = clock.time("read the files", lambda: list(MP20().records()))
    rows = range(0, len(records), options.stride)
    sample = [records[row].structure for row in rows]
    for _ in range(options.rounds):
        baseline_round(clock, sample)
        found = our_round(clock, specs)
    breakdown(clock, records)
    difference = largest_difference(*found[cut], rows, sample)

    report(clock, len(records), len(sample), {"shell": shell, "cut": cut}, difference, options)


def report(
    clock: Clock, count: int, sampled: int, names: dict[str, str], difference: float, options: Any
) -> None:
    """Prints the table and writes it as JSON."""
    times = {name: clock.median(name) for name in clock.wall}
    theirs = {unit: sampled / times["pymatgen"][unit] for unit in ("wall_s", "cpu_s")}
    print(f"{count} structures; pymatgen on {sampled}; {options.rounds} rounds, medians")
    print(f"largest difference of an edge length to pymatgen: {difference:.1e} Å")
    print(f"{'':<44}{'wall s':>9}{'CPU s':>9}")
    for name, one in times.items():
        print(f"{name:<44}{one['wall_s']:>9.2f}{one['cpu_s']:>9.2f}")
    rates: dict[str, Any] = {"pymatgen": theirs}
    print(f"{'structures/s':<44}{'by wall':>9}{'by CPU':>9}{'ratio':>9}{'by CPU':>9}")
    name = "pymatgen, get_all_neighbors, 2 processes"
    print(f"{name:<44}{theirs['wall_s']:>9.0f}{theirs['cpu_s']:>9.0f}")
    for short, name in names.items():
        rates[short] = {}
        for unit in ("wall_s", "cpu_s"):
            rates[short][unit] = count / (times["store"][unit] + times[name][unit])
        ratio = {unit: rates[short][unit] / theirs[unit] for unit in ("wall_s", "cpu_s")}
        rates[short]["ratio"] = ratio
        print(
            f"{'ours, ' + name:<44}{rates[short]['wall_s']:>9.0f}{rates[short]['cpu_s']:>9.0f}"
            f"{ratio['wall_s']:>9.1f}{ratio['cpu_s']:>9.1f}"
        )
    from crystal_apps.benchmark.origin import origin  # imports libraries, which is timed above

    content = {
        "structures": count,
        "baseline_structures": sampled,
        "rounds": {"wall_s": clock.wall, "cpu_s": clock.cpu},
        "structures_per_s": rates,
        "largest_difference_angstrom": difference,
        **origin(Path(__file__).parent / "results"),
        "machine": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg(),
        "versions": {n: version(n) for n in ("crystal-data", "pymatgen-core", "torch", "gemmi")},
    }
    options.out.write_text(json.dumps(content, indent=1), encoding="utf-8")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
