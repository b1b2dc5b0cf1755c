"""Seconds to compare 2,000 pairs with two processes and with a loop over pymatgen's matcher.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/evaluate.py

Pairs are what ``crystal-data evaluate`` compares: test crystals of MP-20, each with 20 training
crystals that have as many atoms of each kind, their elements exchanged. Matches, near misses and
others are among them. Each round runs the loop and the processes, start included, and who is first
changes with each round. Printed are medians and quartiles of the rounds' ratios, of seconds and of
CPU seconds (those of the processes included), and how much the results differ.
"""

import argparse
import json
import os
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from measuring import RESULTS, ratios, write
from pymatgen.core import Structure
from pymatgen.core.structure_matcher import StructureMatcher

from crystal_data import Crystal, open_store
from crystal_data.elements import ELECTRONEGATIVITY, SYMBOLS
from crystal_data.metrics import MatchSettings, match_pairs
from crystal_data.sources import MP20

Pair = tuple[Crystal, Crystal]


def ordered(crystal: Crystal) -> list[tuple[int, float, int]]:
    """Number of atoms, electronegativity and atomic number of each kind."""
    numbers, counts = np.unique(crystal.atomic_numbers, return_counts=True)
    kinds = zip(counts.tolist(), numbers.tolist(), strict=True)
    return sorted((count, ELECTRONEGATIVITY[SYMBOLS[z]], z) for count, z in kinds)


def copied_pairs(num_pairs: int, per_reference: int) -> list[Pair]:
    """Copies of the training crystals that are nearest in electronegativity, with the truth."""
    store = open_store(MP20(), on_invalid="skip")
    templates = defaultdict(list)
    for row in store.rows_of("train"):
        crystal = store.crystal(int(row))
        kinds = ordered(crystal)
        templates[tuple(count for count, _, _ in kinds)].append((crystal, kinds))
    pairs: list[Pair] = []
    for row in np.random.default_rng(0).permutation(store.rows_of("test")):
        true = store.crystal(int(row))
        kinds = ordered(true)

        def distance(other: list[tuple[int, float, int]], own=kinds) -> float:
            return sum(n * abs(x - y) for (n, x, _), (_, y, _) in zip(own, other, strict=True))

        alike = templates[tuple(count for count, _, _ in kinds)]
        for crystal, others in sorted(alike, key=lambda each: distance(each[1]))[:per_reference]:
            number = dict(zip((z for *_, z in others), (z for *_, z in kinds), strict=True))
            exchanged = [number[z] for z in crystal.atomic_numbers.tolist()]
            pairs.append((crystal.replace(atomic_numbers=np.array(exchanged)), true))
        if len(pairs) >= num_pairs:
            break
    return pairs[:num_pairs]


def by_loop(pairs: list[Pair]) -> list[float]:
    """Displacements by pymatgen, one pair after the other; NaN for those that do not match."""
    matcher = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)
    StructureMatcher._get_reduced_istructure.cache_clear()
    values = []
    for pair in pairs:
        structures = [Structure(c.lattice, c.species, c.frac_coords) for c in pair]
        found = matcher.get_rms_dist(*structures)
        values.append(np.nan if found is None else found[0])
    return values


def by_processes(pairs: list[Pair]) -> list[float]:
    """The same by two processes, which have to start."""
    return [each.rms for each in match_pairs(pairs, MatchSettings(num_workers=2))]


def measured(function, pairs: list[Pair]) -> tuple[list[float], float, float]:
    """Values, seconds, and CPU seconds with those of processes that have ended."""
    start, cpu = time.perf_counter(), sum(os.times()[:4])
    values = function(pairs)
    return values, time.perf_counter() - start, sum(os.times()[:4]) - cpu


def main() -> None:
    """Runs the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=2_000)
    parser.add_argument("--per-reference", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "evaluate.json")
    args = parser.parse_args()
    pairs = copied_pairs(args.pairs, args.per_reference)
    seconds = defaultdict(list)
    worst, disagree, matched = 0.0, 0, 0
    for turn in range(args.rounds):
        values = {}
        for function in (by_loop, by_processes) if turn % 2 else (by_processes, by_loop):
            values[function.__name__], wall, cpu = measured(function, pairs)
            seconds[f"{function.__name__}_wall"].append(wall)
            seconds[f"{function.__name__}_cpu"].append(cpu)
            print(f"round {turn}: {function.__name__} {wall:.1f} s, CPU {cpu:.1f} s", flush=True)
        loop, own = (np.array(values[name]) for name in ("by_loop", "by_processes"))
        disagree += int((np.isnan(loop) != np.isnan(own)).sum())
        both = ~np.isnan(loop) & ~np.isnan(own)
        worst = max(worst, float(np.abs(loop - own)[both].max(initial=0)))
        matched = int(both.sum())
    result = {
        "pairs": len(pairs),
        "matches": matched,
        "disagree": disagree,
        "greatest_difference": worst,
        "seconds": seconds,
        "times_as_fast": ratios(seconds["by_loop_wall"], seconds["by_processes_wall"]),
        "cpu_ratio": ratios(seconds["by_loop_cpu"], seconds["by_processes_cpu"]),
    }
    print(json.dumps({k: v for k, v in result.items() if k != "seconds"}, indent=1))
    write(args.out, result)


if __name__ == "__main__":
    main()
