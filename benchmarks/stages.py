"""What `crystal-gen generate` spends its time on, stage by stage, and one request from the shell.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/stages.py [--requests N]

Test rows of MP-20 are asked by the composition of their cells, 20 candidates each, with what comes
with the package. Times are CPU seconds of one process for 1,000 requests, extrapolated from N;
memory is the largest resident set of the process. The request from the shell, `LiMn2O4` with open
z, is timed whole, with the start of Python and the reading of all models, as the median of several
runs: wall and CPU seconds, and its own largest resident set.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, write
from templates import requests_of

from crystal_data import open_store
from crystal_data.generation import generate_all
from crystal_data.sources import MP20
from crystal_gen import CrystalGenerator
from crystal_gen.candidates import pool

NUM_SAMPLES = 20
#: Name of each stage, and the methods and functions that it is made of.
STAGES = {
    "copies": ("_maker.copies.candidates",),
    "space groups and positions": ("answers_for",),
    "structures": ("_maker.model.warm_starts", "_maker.model.from_noise"),
    "merging": ("fingerprint", "_merged"),
    "scores of the structure model": ("_maker.model.scores",),
    "ranking": ("_features.__call__", "ranker.probabilities"),
}


class Stopwatch:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time is added up."""

        def run(*args: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **options)
            finally:
                self.seconds[stage] += time.process_time() - start

        return run

    def watch(self, generator: CrystalGenerator) -> None:
        """Times the stages of a generator."""
        for stage, names in STAGES.items():
            for name in names:
                *owners, last = name.split(".")
                if not owners:  # a function of the module that makes pools
                    setattr(pool, last, self.timed(stage, getattr(pool, last)))
                    continue
                owner: Any = generator
                for each in owners[:-1]:
                    owner = getattr(owner, each)
                part = getattr(owner, owners[-1])
                if last == "__call__":
                    setattr(owner, owners[-1], self.timed(stage, part))
                else:
                    setattr(part, last, self.timed(stage, getattr(part, last)))


def from_the_shell(runs: int) -> dict[str, float]:
    """One request, whole."""
    walls, seconds, sizes = [], [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            options = f"--formula LiMn2O4 --n {NUM_SAMPLES} --out {folder}/made".split()
            command = [sys.executable, "-m", "crystal_gen", "generate", *options]
            start = time.perf_counter()
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            _, status, used = os.wait4(process.pid, 0)
            if status:
                raise SystemExit(f"{' '.join(command)} ended with {status}")
            walls.append(time.perf_counter() - start)
            seconds.append(used.ru_utime + used.ru_stime)
            sizes.append(used.ru_maxrss / 1024)
    return {
        "wall seconds": statistics.median(walls),
        "CPU seconds": statistics.median(seconds),
        "peak memory, MB": max(sizes),
    }


def main() -> None:
    """Measures both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3, help="of the request from the shell")
    parser.add_argument("--out", type=Path, default=RESULTS / "stages.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    shell = from_the_shell(args.runs)
    print(shell, flush=True)
    store = open_store(MP20(), on_invalid="skip")
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))[: args.requests]
    asked = requests_of(store, rows, "composition")
    requests = [replace(each, num_samples=NUM_SAMPLES) for each in asked]
    start = time.process_time()
    generator = CrystalGenerator.from_pretrained()
    reading = time.process_time() - start
    watch = Stopwatch()
    watch.watch(generator)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        generate_all(generator, requests, folder, block_size=NUM_SAMPLES)
    whole = time.process_time() - start
    seconds = {**watch.seconds, "files, with their symmetry": whole - sum(watch.seconds.values())}
    per_thousand = {name: 1000 * each / len(requests) for name, each in seconds.items()}
    results = {
        "requests": len(requests),
        "samples of each": NUM_SAMPLES,
        "CPU seconds for 1,000 requests": {**per_thousand, "all": sum(per_thousand.values())},
        "CPU seconds for reading the models": reading,
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "one request from the shell": shell,
    }
    print(results)
    write(args.out, results)


if __name__ == "__main__":
    main()
