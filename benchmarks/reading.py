"""Seconds to read MP-20's CIFs with this version and with another checkout's, in one run.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/reading.py --old OTHER/.venv/bin/python

Each pair is one new process of each version. Both read the files first. Then they take turns at
``parse_records``, from CIF text to checked crystals, a fortieth of the rows at a time: one waits
while the other reads the same rows, and who is first changes with each turn, so that a busy machine
slows both alike. The ratio of a pair is the median over turns of new / old in CPU seconds of one
thread. Printed are the geometric mean of the pairs' ratios and its 95 % interval (Student's t).
"""

import argparse
import json
import os
import subprocess
import sys
from math import exp
from pathlib import Path

import numpy as np

from crystal_data.metrics import seed_interval

PARTS = 40
# Runs under both versions, so it uses only what both have. Each line of input names a part.
WORKER = f"""
import sys, time
from crystal_data.errors import Rejection
from crystal_data.io import parse_records
from crystal_data.sources.public import MP20

records = list(MP20().records())
parse_records(records[:100])
print(len(records), flush=True)
for line in sys.stdin:
    part = records[int(line) :: {PARTS}]
    start = time.process_time()
    parsed = parse_records(part)
    seconds = time.process_time() - start
    print(seconds, sum(isinstance(value, Rejection) for value in parsed), flush=True)
"""


class Worker:
    """A process of one version that reads parts of the rows when it is asked to."""

    def __init__(self, python: str) -> None:
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [python, "-c", WORKER],
            env={**os.environ, **threads},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.num_structures = int(self._answer())
        self.refused = 0

    def read(self, part: int) -> float:
        """CPU seconds of one part."""
        self._process.stdin.write(f"{part}\n")
        self._process.stdin.flush()
        seconds, refused = self._answer().split()
        self.refused += int(refused)
        return float(seconds)

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            sys.exit("a process ended early; its message is above")
        return line


def read_pair(pythons: dict[str, str]) -> dict[str, list[float]]:
    """CPU seconds of each part with each version; prints the pair."""
    workers = {name: Worker(python) for name, python in pythons.items()}
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for part in range(PARTS):
        for name in list(workers) if part % 2 == 0 else reversed(workers):
            seconds[name].append(workers[name].read(part))
    for worker in workers.values():
        worker.stop()
    text = ", ".join(
        f"{name} {worker.num_structures / sum(seconds[name]):.0f}/s ({worker.refused} refused)"
        for name, worker in workers.items()
    )
    count = workers["new"].num_structures
    print(f"{count} structures; {text}; time of new / old {ratio(seconds):.3f}", flush=True)
    return seconds


def ratio(pair: dict[str, list[float]]) -> float:
    """Median over parts."""
    return float(np.median(np.array(pair["new"]) / pair["old"]))


def mean_ratio(pairs: list[dict[str, list[float]]]) -> tuple[float, float | None, float | None]:
    """Geometric mean of new / old over the pairs, and the ends of its 95 % interval."""
    found = seed_interval(np.log([ratio(pair) for pair in pairs]))
    if found.low is None or found.high is None:
        return exp(found.estimate), None, None
    return exp(found.estimate), exp(found.low), exp(found.high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", required=True, help="the Python of the other checkout")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    if not os.environ.get("CRYSTAL_DATA_HOME"):
        sys.exit("set CRYSTAL_DATA_HOME to the folder that holds mp_20")
    pythons = {"old": options.old, "new": sys.executable}
    pairs = [read_pair(pythons) for _ in range(options.pairs)]
    mean, low, high = mean_ratio(pairs)
    bounds = (
        "no interval below three pairs" if low is None else f"95 % interval {low:.3f} to {high:.3f}"
    )
    print(f"time of new / old: {mean:.3f} ({bounds})")
    if options.out:
        content = {"cpu_seconds": pairs, "ratio": mean, "interval": [low, high]}
        options.out.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
