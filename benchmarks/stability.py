"""On the convex hull or not: learned from cubic crystals alone, tested on every crystal system.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/stability.py

Data and class are those of the config ``equiformer-stability-mp20``: a crystal of MP-20 is stable
if its energy above the hull is 0. Two starts have the same batches, epochs and learning rate:
``scratch``, and ``repair``, the shipped model that has learned to repair. The area under the ROC
curve and the accuracy are means over seeds with 95 % bootstrap intervals over test crystals; the
accuracy of the more frequent class of the training set stands beside them.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, write
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from crystal_data import CrystalBatch, ThresholdSource, TrainWithin, open_store
from crystal_data.sources import MP20
from crystal_data.store import CrystalStore
from crystal_data.training import masked_loss
from crystal_gan import Equiformer, RepairModel
from crystal_gan.shipped import REPAIR, SHIPPED

BATCH, RATE = 24, 0.001
GROUP, CUBIC = "spacegroup.number", 195
SYSTEMS = {
    "triclinic": (1, 2),
    "monoclinic": (3, 15),
    "orthorhombic": (16, 74),
    "tetragonal": (75, 142),
    "trigonal": (143, 167),
    "hexagonal": (168, 194),
    "cubic": (CUBIC, 230),
}
STARTS = ("scratch", "repair")
Labelled = list[tuple[CrystalBatch, Tensor]]


def batches(store: CrystalStore, rows: NDArray[np.int64], model: Equiformer) -> Labelled:
    """Crystals of like size together, with edges, and their labels."""
    made = []
    for part in np.split(rows, range(BATCH, len(rows), BATCH)):
        batch = store.batch(np.sort(part)).with_edges(model.graph_spec).float32()
        labels = store.targets(["stable"], np.sort(part))["stable"]
        made.append((batch, torch.tensor(labels, dtype=torch.float32)))
    return made


def started(start: str, seed: int) -> Equiformer:
    """A model of one output before training."""
    torch.manual_seed(seed)
    source = RepairModel.from_pretrained(SHIPPED.find(REPAIR))
    model = Equiformer(sizes=source.sizes)
    if start == "repair":
        model.backbone.load_state_dict(source.backbone.state_dict())
    return model


def trained(start: str, seed: int, data: Labelled, epochs: int) -> Equiformer:
    """The model after training."""
    model = started(start, seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    steps = epochs * len(data)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for epoch in range(epochs):
        for number in np.random.default_rng([seed, epoch]).permutation(len(data)):
            batch, label = data[number]
            loss = masked_loss(model(batch), label[:, None], "cross_entropy")
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            schedule.step()
    return model


@torch.inference_mode()
def probabilities(model: Equiformer, data: Labelled) -> NDArray[np.float64]:
    return torch.cat([model(batch)[:, 0].sigmoid() for batch, _ in data]).double().numpy()


def area(probability: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Under the ROC curve; NaN where all are of one class."""
    if truth.all() or not truth.any():
        return float("nan")
    return float(binary_auroc(torch.from_numpy(probability), torch.from_numpy(truth).long()))


def accuracy(probability: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    return float(((probability > 0.5) == truth).mean())


def scores(found: NDArray[np.float64], truth: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """Means over seeds, with intervals over crystals.

    Args:
        found: Shape ``[num_seeds, num_crystals]``.
        truth: Shape ``[num_crystals]``.
    """
    rng = np.random.default_rng(0)
    draws = [np.arange(len(truth)), *rng.integers(0, len(truth), (500, len(truth)))]
    out = {}
    for name, score in (("auroc", area), ("accuracy", accuracy)):
        values = [np.mean([score(one[d], truth[d]) for one in found]) for d in draws]
        low, high = np.nanpercentile(values[1:], [2.5, 97.5])
        out[name] = {"estimate": float(values[0]), "low": float(low), "high": float(high)}
    return out


def main() -> None:
    """Trains all starts and seeds, and scores each crystal system."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "stability.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(ThresholdSource(MP20(), "e_above_hull", 0.0, "stable"))
    rows = TrainWithin(GROUP, low=CUBIC).split(store)
    train_rows, test_rows = (
        part[np.argsort(store.num_atoms[part], kind="stable")]
        for part in (rows["train"], rows["test"])
    )
    shape = started("scratch", 0)
    train, test = batches(store, train_rows, shape), batches(store, test_rows, shape)
    truth = torch.cat([label for _, label in test]).numpy() > 0
    share = float(torch.cat([label for _, label in train]).mean())
    tested = np.concatenate(
        [np.sort(p) for p in np.split(test_rows, range(BATCH, len(test_rows), BATCH))]
    )
    groups = np.asarray(store.column(GROUP))[tested]
    places = {name: (groups >= low) & (groups <= high) for name, (low, high) in SYSTEMS.items()}
    places["other than cubic"] = groups < CUBIC
    results: dict[str, Any] = {
        name: {
            "crystals": int(place.sum()),
            "stable": float(truth[place].mean()),
            "more frequent class": float((truth[place] == (share >= 0.5)).mean()),
        }
        for name, place in places.items()
    }
    for start in STARTS:
        found = []
        for seed in range(args.seeds):
            found.append(probabilities(trained(start, seed, train, args.epochs), test))
            print(start, seed, area(found[-1], truth), accuracy(found[-1], truth), flush=True)
        for name, place in places.items():
            results[name][start] = scores(np.stack(found)[:, place], truth[place])
    content = {"train": len(train_rows), "epochs": args.epochs, "seeds": args.seeds}
    write(args.out, {**content, "train stable": share, "systems": results})


if __name__ == "__main__":
    main()
