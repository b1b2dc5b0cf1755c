"""Peak memory of a training on MP-20 with 0, 1 and 2 loader workers, all processes together.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/memory.py [--epochs 1] [--workers 0 1 2]

Each training is the command itself in a process of its own, sampled from outside. RSS counts pages
that processes share, such as the store's, once for each of them; PSS divides them among those that
share, so that its sum is what the machine gives. The peak is that of the sum. Linux only; PSS where
the kernel shows ``/proc/<pid>/smaps_rollup``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measuring

CONFIG = Path(__file__).parents[1] / "configs" / "embed" / "cgcnn-mp20.yaml"


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:  # it has ended
                continue
    return found


def kilobytes(pid: int) -> dict[str, int]:
    """RSS and, where it is shown, PSS of a process; nothing of one that has ended."""
    for name in ("smaps_rollup", "status"):
        try:
            lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
        except OSError:
            continue
        fields = {"Rss:": "rss", "VmRSS:": "rss", "Pss:": "pss"}
        parts = [line.split() for line in lines]
        return {fields[part[0]]: int(part[1]) for part in parts if part and part[0] in fields}
    return {}


def peak(arguments: list[str], pause: float) -> dict[str, Any]:
    """Runs a training; the largest sums, in MB, and the largest number of processes."""
    command = [sys.executable, "-m", "crystal_embed", "fit", *arguments]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        found = {"rss": 0, "pss": 0, "processes": 0, "samples": 0}
        while process.poll() is None:
            sizes = [size for pid in family(process.pid) if (size := kilobytes(pid))]
            for kind in ("rss", "pss"):
                found[kind] = max(found[kind], sum(size.get(kind, 0) for size in sizes))
            found["processes"] = max(found["processes"], len(sizes))
            found["samples"] += 1
            time.sleep(pause)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{output.read()[-4000:]}")
    return {
        "rss_mb": found["rss"] / 1024,
        "pss_mb": found["pss"] / 1024 if found["pss"] else None,
        "processes": found["processes"],
        "samples": found["samples"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--train-size", type=int, help="rows to train on; all by default")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two samples")
    parser.add_argument("--out", type=Path, default=measuring.RESULTS / "memory.json")
    options = parser.parse_args()
    if not os.environ.get("CRYSTAL_DATA_HOME"):
        sys.exit("set CRYSTAL_DATA_HOME to the folder that holds mp_20")
    found = {}
    for workers in options.workers:
        with tempfile.TemporaryDirectory() as run:
            arguments = ["--config", str(CONFIG), "--trainer.accelerator", "cpu"]
            arguments += ["--trainer.max_epochs", str(options.epochs)]
            arguments += ["--trainer.default_root_dir", run, "--data.num_workers", str(workers)]
            if options.train_size is not None:
                arguments += ["--data.train_size", str(options.train_size)]
            one = found[f"{workers} workers"] = peak(arguments, options.pause)
        shared = "" if one["pss_mb"] is None else f", PSS {one['pss_mb']:.0f} MB"
        print(f"{workers} workers: RSS {one['rss_mb']:.0f} MB{shared}, at most "
              f"{one['processes']} processes, {one['samples']} samples")  # fmt: skip
    measuring.write(options.out, {"epochs": options.epochs, "peaks": found})


if __name__ == "__main__":
    main()
