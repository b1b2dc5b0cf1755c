"""Seconds of a training step with this version and with another checkout's, in one run.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/versions.py --old OTHER/.venv/bin/python
        [--models CGCNN MEGNet ALIGNN CrystalTransformer] [--pairs 5] [--out FILE]

Each pair is one new process of each version. Both make the same batches of MP-20 rows through
``CrystalDataModule``, then take turns: one waits while the other trains on the same batch, and who
is first changes with each turn, so that a busy machine slows both alike. A turn is cutting the
batch from the store, forward, backward and AdamW, in CPU seconds of one thread. The ratio of a pair
is the median over turns of new / old. Printed are the geometric mean of the pairs' ratios and its
95 % interval (Student's t), and whether the losses of all turns are equal to the last bit.
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

MODELS = {
    "CGCNN": "{}",
    "MEGNet": "{}",
    "ALIGNN": "{'num_alignn_layers': 2, 'num_gcn_layers': 2}",
    "CrystalTransformer": "{'geometry': 'periodic', 'num_layers': 2, 'dropout': 0.0}",
}
TURNS = 24
# Runs under both versions, so it uses only what both have. Each line of input asks for a turn.
WORKER = """
import sys, time, torch
import crystal_embed
from crystal_data import MP20, CrystalDataModule

name, arguments = sys.argv[1], eval(sys.argv[2])
torch.manual_seed(0)
model = getattr(crystal_embed, name)(**arguments)
data = CrystalDataModule(MP20(), batch_size=64, train_size=1536)
data.configure(targets=["formation_energy_per_atom"], graph_spec=model.graph_spec)
data.prepare_data()
data.setup("fit")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
batches = iter(data.train_dataloader())

def step():
    batch = next(batches)
    label = batch.targets["formation_energy_per_atom"]
    optimizer.zero_grad()
    loss = (model(batch)[:, 0] - label).square().mean()
    loss.backward()
    optimizer.step()
    return loss.item()

step()
print("ready", flush=True)
for _ in sys.stdin:
    start = time.process_time()
    loss = step()
    print(time.process_time() - start, loss.hex(), flush=True)
"""


class Worker:
    """A process of one version that trains on the next batch when it is asked to."""

    def __init__(self, python: str, model: str) -> None:
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-c", WORKER, model, MODELS[model]],
            env={**os.environ, **threads},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer()

    def step(self) -> tuple[float, str]:
        """CPU seconds of one turn, and the loss as hexadecimal text."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        seconds, loss = self._answer().split()
        return float(seconds), loss

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            sys.exit("a process ended early; run its code by hand to see why")
        return line


def pair_ratio(pythons: dict[str, str], model: str) -> tuple[float, bool]:
    """Median over turns of new / old, and whether all losses are equal."""
    workers = {name: Worker(python, model) for name, python in pythons.items()}
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    losses: dict[str, list[str]] = {name: [] for name in workers}
    for turn in range(TURNS - 1):
        for name in list(workers) if turn % 2 == 0 else reversed(workers):
            took, loss = workers[name].step()
            seconds[name].append(took)
            losses[name].append(loss)
    for worker in workers.values():
        worker.stop()
    ratio = float(np.median(np.array(seconds["new"]) / seconds["old"]))
    text = ", ".join(f"{name} {1000 * np.median(took):.1f} ms" for name, took in seconds.items())
    print(f"{model}: {text}; time of new / old {ratio:.3f}", flush=True)
    return ratio, losses["new"] == losses["old"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", required=True, help="the Python of the other checkout")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    if not os.environ.get("CRYSTAL_DATA_HOME"):
        sys.exit("set CRYSTAL_DATA_HOME to the folder that holds mp_20")
    pythons = {"old": options.old, "new": sys.executable}
    found = {}
    for model in options.models:
        pairs = [pair_ratio(pythons, model) for _ in range(options.pairs)]
        interval = seed_interval(np.log([ratio for ratio, _ in pairs]))
        is_equal = all(equal for _, equal in pairs)
        found[model] = {"pairs": [ratio for ratio, _ in pairs], "losses_equal": is_equal}
        found[model]["mean"] = exp(interval.estimate)
        bounds = ""
        if interval.low is not None and interval.high is not None:
            found[model] |= {"low": exp(interval.low), "high": exp(interval.high)}
            bounds = f" ({exp(interval.low):.3f} to {exp(interval.high):.3f})"
        equal = "equal" if is_equal else "not equal"
        print(f"{model}: new / old {exp(interval.estimate):.3f}{bounds}; losses {equal}")
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
