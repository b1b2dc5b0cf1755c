"""100 labels of three properties, from weights that have learned to repair and from others.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/few_labels.py --all-labels SCRATCH REPAIR

Each of five folds trains on 100 crystals, 97 at least; a reduced formula is in one fold alone.
Formation energies are those of MP-20: folds of the validation split, which pre-training used only
to choose a checkpoint, without labels; 1,000 crystals of the test split are the test. Shear moduli
and phonon densities of states are those of JARVIS: the test are 150 crystals whose formula no
training crystal of MP-20 has, so that no pre-training has seen them, and folds are of the other
formulas.

All starts of the Equiformer have the same batches, epochs and learning rate: ``scratch``;
``repair``, the shipped model that has learned to repair; ``repair, frozen``, whose backbone stays;
``energy``, the shipped model of formation energies, for the other properties alone. ``CGCNN`` is
that of `crystal-embed` with the shipped table ``uae:multi-task``, which has seen the formation
energies of MP-20's training crystals, at the learning rate of its own config for few crystals.
``mean`` predicts the mean label of the fold. Errors are mean absolute errors, of a spectrum over
its numbers, with 95 % intervals over folds and crystals; gains are of the paired errors, as a share
of the mean error from scratch. SCRATCH and REPAIR are folders of runs of the config
``equiformer-mp20``, with all labels of formation energies and as many epochs, from either start;
their intervals are over all test crystals, of one seed.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, write
from numpy.typing import NDArray
from torch import Tensor, nn

from crystal_data import CrystalBatch, GraphSpec, open_store
from crystal_data.inference import Predictor
from crystal_data.metrics import (
    Interval,
    bootstrap_interval,
    paired_bootstrap_interval,
    seed_interval,
)
from crystal_data.sources import MP20, JarvisSupercon
from crystal_data.store import CrystalStore
from crystal_embed import CGCNN
from crystal_gan import Equiformer, RepairModel
from crystal_gan.shipped import REPAIR, SHIPPED

FOLDS, LABELS, BATCH = 5, 100, 20
STARTS = ("scratch", "repair", "repair, frozen", "energy", "CGCNN")
RATES = dict.fromkeys(STARTS, 0.002) | {"CGCNN": 0.003}
ENERGY, ENERGIES, TABLE = (
    "formation_energy_per_atom",
    "equiformer-formation-energy",
    "uae:multi-task",
)
NUM_NEW = 150
Rows = NDArray[np.int64]
Labelled = list[tuple[CrystalBatch, Tensor]]


@dataclass(frozen=True)
class Task:
    """A property, its test rows, and the rows that folds are taken from."""

    target: str
    store: CrystalStore
    test: Rows
    others: Rows


def tasks() -> list[Task]:
    """All three properties."""
    mp20, jarvis = open_store(MP20()), open_store(JarvisSupercon())
    rng = np.random.default_rng(0)
    test = np.sort(rng.permutation(mp20.rows_of("test"))[:1000])
    found = [Task(ENERGY, mp20, test, rng.permutation(mp20.rows_of("val")))]
    known = {mp20.crystal(int(row)).formula for row in mp20.rows_of("train")}
    formulas = np.array([jarvis.crystal(row).formula for row in range(len(jarvis))])
    for target in ("shear_modulus_gv", "phonon_dos"):
        rows = np.random.default_rng(0).permutation(len(jarvis))
        labels = jarvis.targets([target], rows)[target].reshape(len(rows), -1)
        rows = rows[np.isfinite(labels).all(1)]
        new = [row for row in rows if formulas[row] not in known][:NUM_NEW]
        others = [row for row in rows if formulas[row] not in set(formulas[new])]
        found.append(Task(target, jarvis, np.sort(np.array(new)), np.array(others)))
    return found


def folds(task: Task) -> list[Rows]:
    """Rows of each fold, of whole groups of a reduced formula as far as they fit."""
    formulas = [task.store.crystal(int(row)).formula for row in task.others]
    of_formula = {f: n for n, f in enumerate(dict.fromkeys(formulas))}
    fold = np.array([of_formula[f] % FOLDS for f in formulas])
    return [task.others[fold == number][:LABELS] for number in range(FOLDS)]


def batches(task: Task, rows: Rows, graph_spec: GraphSpec | None, size: int) -> Labelled:
    """Crystals with edges, and their labels, ``[num_crystals, width]``."""
    assert graph_spec is not None
    labels = torch.tensor(task.store.targets([task.target], rows)[task.target]).float()
    labels = labels.reshape(len(rows), -1)
    parts = [slice(start, start + size) for start in range(0, len(rows), size)]
    made = []
    for part in parts:
        batch = CrystalBatch.from_crystals([task.store.crystal(int(row)) for row in rows[part]])
        made.append((batch.with_edges(graph_spec).float32(), labels[part]))
    return made


def started(start: str, width: int) -> Equiformer | CGCNN:
    """A model before fine-tuning; heads are new."""
    torch.manual_seed(0)
    if start == "CGCNN":
        return CGCNN(width, element_table=TABLE, missing_elements="random")
    source = RepairModel.from_pretrained(SHIPPED.find(REPAIR))
    model = Equiformer(width, sizes=source.sizes)
    if start == "energy":
        source = Equiformer.from_pretrained(SHIPPED.find(ENERGIES))
    if start != "scratch":
        model.backbone.load_state_dict(source.backbone.state_dict())
    if start.endswith("frozen"):
        model.backbone.requires_grad_(False)
    return model


def trained(start: str, data: Labelled, epochs: int) -> tuple[nn.Module, Tensor, Tensor]:
    """The model after training, the mean label, and the deviation of all numbers from it."""
    labels = torch.cat([label for _, label in data])
    mean = labels.mean(0)
    deviation = (labels - mean).square().mean().sqrt()
    model = started(start, labels.shape[1]).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    rate = RATES[start]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    steps = epochs * len(data)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(len(data))
        for number in order:
            batch, label = data[number]
            loss = (model(batch) - (label - mean) / deviation).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 10.0)
            optimizer.step()
            schedule.step()
    return model.eval(), mean, deviation


@torch.inference_mode()
def errors(
    model: nn.Module, data: Labelled, mean: Tensor, deviation: Tensor
) -> NDArray[np.float64]:
    """Absolute error of each crystal, mean over its numbers, in the unit of the labels."""
    made = [(model(batch) * deviation + mean - label).abs().mean(1) for batch, label in data]
    return torch.cat(made).double().numpy()


def summary(values: Sequence[NDArray[np.float64]]) -> list[float | None]:
    """Mean over folds and crystals, with its interval."""
    interval = seed_interval(np.stack(values))
    return [interval.estimate, interval.low, interval.high]


def measured(task: Task, epochs: int) -> dict[str, Any]:
    """Errors of all starts on all folds."""
    starts = [start for start in STARTS if start != "energy" or task.target != ENERGY]
    specs = {start: started(start, 1).graph_spec for start in starts}
    tests = {start: batches(task, task.test, spec, 50) for start, spec in specs.items()}
    truth = torch.cat([label for _, label in tests["scratch"]])
    found: dict[str, list[NDArray[np.float64]]] = {start: [] for start in [*starts, "mean"]}
    for rows in folds(task):
        for start in starts:
            data = batches(task, rows, specs[start], BATCH)
            model, mean, deviation = trained(start, data, epochs)
            found[start].append(errors(model, tests[start], mean, deviation))
            print(task.target, start, found[start][-1].mean(), flush=True)
        found["mean"].append((truth - mean).abs().mean(1).double().numpy())
    scratch = found["scratch"]
    average = float(np.mean(scratch))
    return {
        "test crystals": len(task.test),
        **{
            start: {
                "error": summary(own),
                "gain": summary([(b - a) / average for a, b in zip(own, scratch, strict=True)]),
            }
            for start, own in found.items()
        },
    }


def with_all_labels(scratch: Path, repair: Path) -> dict[str, Any]:
    """Errors of two trained models on MP-20's test crystals, and the gain of the second."""
    store = open_store(MP20())
    rows = store.rows_of("test")
    truth = store.targets([ENERGY], rows)[ENERGY]
    crystals = [store.crystal(int(row)) for row in rows]
    first, second = (
        np.abs(Predictor.from_pretrained(run).predict(crystals)[ENERGY] - truth)
        for run in (scratch, repair)
    )
    gain = paired_bootstrap_interval(first, second, rng=np.random.default_rng(0))
    average = first.mean()
    return {
        "test crystals": len(rows),
        "scratch": {"error": bounds(bootstrap_interval(first, rng=np.random.default_rng(0)))},
        "repair": {
            "error": bounds(bootstrap_interval(second, rng=np.random.default_rng(0))),
            "gain": [value / average for value in bounds(gain)],
        },
    }


def bounds(interval: Interval) -> list[float]:
    """An estimate and its interval."""
    return [interval.estimate, interval.low, interval.high]


def main() -> None:
    """Fine-tunes all starts on all folds of all properties."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--all-labels", nargs=2, type=Path, metavar=("SCRATCH", "REPAIR"))
    parser.add_argument("--out", type=Path, default=RESULTS / "few-labels.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = {task.target: measured(task, args.epochs) for task in tasks()}
    if args.all_labels:
        results["all labels"] = with_all_labels(*args.all_labels)
    write(args.out, {"labels": LABELS, "folds": FOLDS, "epochs": args.epochs, **results})
    print(results)


if __name__ == "__main__":
    main()
