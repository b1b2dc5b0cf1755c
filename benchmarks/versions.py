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
import sys
from pathlib import Path
from statistics import median

from turns import Worker, answers, mean_ratio, ratio

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


def pair_ratio(pythons: dict[str, str], model: str) -> tuple[float, bool]:
    """Median over turns of new / old, and whether all losses are equal."""
    workers = {
        name: Worker(python, WORKER, model, MODELS[model]) for name, python in pythons.items()
    }
    found = answers(workers, [""] * (TURNS - 1))
    seconds = {name: [float(took) for took, _ in turns] for name, turns in found.items()}
    losses = {name: [loss for _, loss in turns] for name, turns in found.items()}
    ours = ratio(seconds["new"], seconds["old"])
    text = ", ".join(f"{name} {1000 * median(took):.1f} ms" for name, took in seconds.items())
    print(f"{model}: {text}; time of new / old {ours:.3f}", flush=True)
    return ours, losses["new"] == losses["old"]


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
        mean, low, high = mean_ratio([one for one, _ in pairs])
        is_equal = all(equal for _, equal in pairs)
        found[model] = {
            "pairs": [one for one, _ in pairs],
            "ratio": mean,
            "interval": [low, high],
            "losses_equal": is_equal,
        }
        bounds = "" if low is None else f" ({low:.3f} to {high:.3f})"
        equal = "equal" if is_equal else "not equal"
        print(f"{model}: new / old {mean:.3f}{bounds}; losses {equal}")
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
