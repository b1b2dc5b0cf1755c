"""What the discriminator says to the generator: how large its gradient is, and where it points.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/gan_gradients.py RUNS

For each adversarial run of `gan_training.py`, with the weights at its end and on the same corrupted
training crystals: the length of the gradient of the adversarial term in the generator's weights, as
a share of that of the loss of repair, and the cosine of the two; means over batches. Beside them,
from validation, the share of answers of the discriminator that are right; a half is chance.
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from masked_elements import MASKS
from measuring import RESULTS, write

from crystal_data import CrystalBatch, open_store
from crystal_data.processes import global_mean
from crystal_data.sources import MP20
from crystal_data.store import CrystalStore
from crystal_data.transforms import MaskAtoms, PerturbAtoms, SampleRandom
from crystal_gan import AdversarialModule, Equiformer, RepairModel

BATCHES, BATCH, WEIGHT = 8, 32, 0.1


def module_of(folder: Path) -> AdversarialModule:
    """Generator and discriminator at the end of a run."""
    model = RepairModel.from_pretrained(folder / "artifact")
    module = AdversarialModule(
        model, Equiformer(2, model.sizes), [MASKS["element"], PerturbAtoms(0.1)]
    )
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    weights = {
        name: value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith(("model.", "discriminator."))
    }
    module.load_state_dict(weights)
    return module


def batches(store: CrystalStore, noise: float, model: RepairModel) -> list[CrystalBatch]:
    """Training crystals, corrupted as in training."""
    rows = np.random.default_rng(0).permutation(store.rows_of("train"))[: BATCHES * BATCH]
    made = []
    for part in np.split(rows, BATCHES):
        rng = SampleRandom(0, 0, torch.from_numpy(part))
        batch = CrystalBatch.from_crystals([store.crystal(int(row)) for row in part])
        batch = MaskAtoms()(PerturbAtoms(noise)(batch, rng), rng)
        made.append(batch.with_edges(model.graph_spec).float32())
    return made


def gradients(module: AdversarialModule, batch: CrystalBatch) -> tuple[float, float]:
    """Length of the adversarial gradient, as a share of that of repair, and their cosine."""
    repair = module(batch)
    loss = module.repair_loss(module.sums_of(repair, batch))
    distance = 2.0 * (1.0 - module.answers(batch, repair)[:, 1])
    adversarial = WEIGHT * global_mean(distance.sum(), distance.new_tensor(float(len(distance))))
    weights = list(module.model.parameters())
    flat = [
        torch.cat([g.flatten() for g in torch.autograd.grad(one, weights, retain_graph=True)])
        for one in (adversarial, loss)
    ]
    first, second = flat
    cosine = torch.nn.functional.cosine_similarity(first, second, dim=0)
    return float(first.norm() / second.norm()), float(cosine)


def right_answers(folder: Path) -> float:
    """Of the discriminator, at the last validation."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        found = [row["val/discriminator_accuracy"] for row in csv.DictReader(file)]
    return float([text for text in found if text][-1])


def main() -> None:
    """Measures all runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS / "gan-gradients.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(MP20())
    results: dict[str, Any] = {}
    for file in sorted(args.runs.glob("gan-*/cpu_seconds.json")):
        _, noise, seed = file.parent.name.split("-")
        module = module_of(file.parent)
        made = batches(store, float(noise), module.model)
        ratios, cosines = zip(*(gradients(module, batch) for batch in made), strict=True)
        results.setdefault(f"noise {noise}", {})[seed] = {
            "length": float(np.mean(ratios)),
            "cosine": float(np.mean(cosines)),
            "right answers": right_answers(file.parent),
        }
        print(file.parent.name, results[f"noise {noise}"][seed], flush=True)
    write(args.out, results)


if __name__ == "__main__":
    main()
