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
import sys
from pathlib import Path

from turns import Worker, answers, mean_ratio, ratio

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


def read_pair(pythons: dict[str, str]) -> dict[str, list[float]]:
    """CPU seconds of each part with each version; prints the pair."""
    workers = {name: Worker(python, WORKER) for name, python in pythons.items()}
    counts = {name: int(worker.first_answer) for name, worker in workers.items()}
    found = answers(workers, [str(part) for part in range(PARTS)])
    seconds = {name: [float(took) for took, _ in turns] for name, turns in found.items()}
    refused = {name: sum(int(number) for _, number in turns) for name, turns in found.items()}
    text = ", ".join(
        f"{name} {counts[name] / sum(seconds[name]):.0f}/s ({refused[name]} refused)"
        for name in workers
    )
    ours = ratio(seconds["new"], seconds["old"])
    print(f"{counts['new']} structures; {text}; time of new / old {ours:.3f}", flush=True)
    return seconds


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
    mean, low, high = mean_ratio([ratio(pair["new"], pair["old"]) for pair in pairs])
    bounds = (
        "no interval below three pairs" if low is None else f"95 % interval {low:.3f} to {high:.3f}"
    )
    print(f"time of new / old: {mean:.3f} ({bounds})")
    if options.out:
        content = {"cpu_seconds": pairs, "ratio": mean, "interval": [low, high]}
        options.out.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
