"""100 labels: formation energy from weights that have learned to repair, and from scratch.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/few_labels.py

Each of five folds trains on 100 crystals of MP-20's validation split, which pre-training used only
to choose a checkpoint, without labels; a reduced formula is in one fold alone. All starts have the
same batches, epochs and learning rate: ``scratch``; ``repair``, the shipped model that has learned
to repair; ``repair, frozen``, whose backbone stays. Errors are mean absolute errors on 1,000
crystals of the test split, eV/atom, with 95 % intervals over folds and crystals; gains are of the
paired errors, as a share of the mean error from scratch.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, write
from numpy.typing import NDArray
from torch import Tensor

from crystal_data import CrystalBatch, open_store
from crystal_data.metrics import seed_interval
from crystal_data.sources import MP20
from crystal_data.store import CrystalStore
from crystal_gan import Equiformer, RepairModel
from crystal_gan.shipped import REPAIR, SHIPPED

TARGET = "formation_energy_per_atom"
FOLDS, LABELS = 5, 100
BATCH, RATE = 20, 0.002
STARTS = ("scratch", "repair", "repair, frozen")
Labelled = list[tuple[CrystalBatch, Tensor]]


def folds(store: CrystalStore, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Rows of each fold, of whole groups of a reduced formula as far as they fit."""
    rows = rng.permutation(store.rows_of("val"))
    formulas = [store.crystal(int(row)).formula for row in rows]
    of_formula = {f: n for n, f in enumerate(dict.fromkeys(formulas))}
    fold = np.array([of_formula[f] % FOLDS for f in formulas])
    return [rows[fold == number][:LABELS] for number in range(FOLDS)]


def batches(store: CrystalStore, rows: NDArray[np.int64], model: Equiformer, size: int) -> Labelled:
    """Crystals with edges, and their labels."""
    labels = torch.tensor(store.targets([TARGET], rows)[TARGET], dtype=torch.float32)
    parts = [slice(start, start + size) for start in range(0, len(rows), size)]
    made = []
    for part in parts:
        batch = CrystalBatch.from_crystals([store.crystal(int(row)) for row in rows[part]])
        made.append((batch.with_edges(model.graph_spec).float32(), labels[part]))
    return made


def started(start: str) -> Equiformer:
    """A model of one output before fine-tuning; heads are new."""
    torch.manual_seed(0)
    source = RepairModel.from_pretrained(SHIPPED.find(REPAIR))
    model = Equiformer(sizes=source.sizes)
    if start.startswith("repair"):
        model.backbone.load_state_dict(source.backbone.state_dict())
    if start.endswith("frozen"):
        model.backbone.requires_grad_(False)
    return model


def trained(start: str, data: Labelled, epochs: int) -> tuple[Equiformer, float, float]:
    """The model after training, and mean and deviation of the labels."""
    model = started(start)
    labels = torch.cat([label for _, label in data])
    mean, deviation = float(labels.mean()), float(labels.std())
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.01)
    steps = epochs * len(data)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(len(data))
        for number in order:
            batch, label = data[number]
            loss = (model(batch)[:, 0] - (label - mean) / deviation).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 10.0)
            optimizer.step()
            schedule.step()
    return model, mean, deviation


@torch.inference_mode()
def errors(model: Equiformer, data: Labelled, mean: float, deviation: float) -> NDArray[np.float64]:
    """Absolute error of each crystal, eV/atom."""
    made = [(model(batch)[:, 0] * deviation + mean - label).abs() for batch, label in data]
    return torch.cat(made).double().numpy()


def summary(values: Sequence[NDArray[np.float64]]) -> list[float | None]:
    """Mean over folds and crystals, with its interval."""
    interval = seed_interval(np.stack(values))
    return [interval.estimate, interval.low, interval.high]


def main() -> None:
    """Fine-tunes all starts on all folds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=RESULTS / "few-labels.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store, rng = open_store(MP20()), np.random.default_rng(0)
    test_rows = rng.permutation(store.rows_of("test"))[:1000]
    shape = started("scratch")
    test = batches(store, np.sort(test_rows), shape, 50)
    found: dict[str, list[NDArray[np.float64]]] = {start: [] for start in STARTS}
    for rows in folds(store, rng):
        data = batches(store, rows, shape, BATCH)
        for start in STARTS:
            model, mean, deviation = trained(start, data, args.epochs)
            found[start].append(errors(model, test, mean, deviation))
            print(start, found[start][-1].mean(), flush=True)
    scratch = found["scratch"]
    average = float(np.mean(scratch))
    results: dict[str, Any] = {
        start: {
            "error": summary(own),
            "gain": summary([(b - a) / average for a, b in zip(own, scratch, strict=True)]),
        }
        for start, own in found.items()
    }
    write(args.out, {"labels": LABELS, "folds": FOLDS, "epochs": args.epochs, **results})
    print(results)


if __name__ == "__main__":
    main()
