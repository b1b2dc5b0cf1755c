"""CrystalDiT and the published model at published width on one GPU, from a prepared store.

    python benchmarks/gpu/structures.py prepare --cache CACHE    where the public files are
    python benchmarks/gpu/structures.py make --cache CACHE --runs RUNS [--seconds 420]
    python benchmarks/gpu/structures.py score --cache CACHE --runs RUNS

``prepare`` writes the store of MP-20 with the orbits of its crystals. ``make`` needs only that
folder: it trains each model for its share of the time, then makes the test crystals from their
symmetry, one sample each, and leaves ``structures.npz`` and the speeds. ``score``, where pymatgen
is, compares them with the truth and writes ``results.json``.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import seed_everything
from prepared import Deadline, Prepared, quiet_trainer
from typing_extensions import override

from crystal_data import CrystalDataModule
from crystal_data.loading import OrbitBatch
from crystal_data.store import CrystalStore, OrbitColumn
from crystal_data.training import EMA, Sums, WarmupCosine
from crystal_data.transforms import SampleRandom
from crystal_gen import CrystalDiT, PublishedDiT, Sampling, StructureModel, StructureModule
from crystal_gen.batches import batch_of

ENERGY = "formation_energy_per_atom"
COLUMN = OrbitColumn(0.1)
# Share of the time, rate of learning, batch, and how many test crystals are made in how many steps.
ARMS: dict[str, dict[str, Any]] = {
    "crystal-dit": {"share": 0.5, "lr": 1e-3, "batch": 512, "rows": 0, "steps": 30, "sharpness": 2},
    "published": {"share": 0.5, "lr": 1e-3, "batch": 256, "rows": 800, "steps": 100},
}


class WithoutMatching(StructureModule):
    """Validation without samples: where pymatgen is not there, nothing can be compared."""

    monitor = "val/loss"
    monitor_mode = "min"

    @override
    def _matches(self, batch: OrbitBatch) -> Sums:
        return {}


def model_of(name: str) -> StructureModel:
    """A model at the width of its kind."""
    if name == "published":
        return PublishedDiT(properties=[ENERGY])
    return CrystalDiT([ENERGY], width=256, num_layers=6)


def prepare(cache: Path) -> None:
    from crystal_data import MP20, open_store

    source = MP20()
    open_store(source, on_invalid="skip", cache=cache).add_column(COLUMN)
    Prepared.describe(source, cache)


def train(name: str, options: argparse.Namespace, seconds: float) -> StructureModel:
    """Trains one model until its time is up; the average of its weights is kept."""
    arm = ARMS[name]
    seed_everything(options.seed)
    module = WithoutMatching(
        model_of(name),
        optimizer=lambda p: torch.optim.AdamW(p, lr=arm["lr"], betas=(0.9, 0.99)),
        lr_scheduler=WarmupCosine,
    )
    data = data_of(options, arm["batch"])
    callbacks = [EMA(0.999), Deadline(seconds)]
    trainer = quiet_trainer(options, options.runs / name, callbacks, clip=1.0)
    start = time.perf_counter()
    trainer.fit(module, data)
    taken = time.perf_counter() - start
    steps = trainer.global_step
    print(f"{name}: {trainer.current_epoch} epochs, {steps} steps in {taken:.0f} s", flush=True)
    note(options, name, epochs=trainer.current_epoch, steps=steps, training_seconds=taken)
    return module.structure_model.eval()


def data_of(options: argparse.Namespace, batch_size: int) -> CrystalDataModule:
    """Batches of the prepared store."""
    return CrystalDataModule(
        Prepared(options.cache),
        batch_size=batch_size,
        length_buckets=True,
        on_invalid="skip",
        cache=options.cache,
        seed=options.seed,
    )


def chosen_rows(store: CrystalStore, most: int) -> np.ndarray:
    """Test rows that have orbits; the first of a shuffle, or all of them."""
    values = store.column_of(COLUMN)
    assert values is not None
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))
    rows = rows[values.arrays["space_group_number"][rows] > 0][: most or None]
    return rows[np.argsort(np.diff(values.offsets)[rows], kind="stable")]


def batches_of(store: CrystalStore, rows: np.ndarray, size: int) -> Iterator[OrbitBatch]:
    """True crystals, with their energies."""
    values = store.column_of(COLUMN)
    assert values is not None
    energies = store.targets((ENERGY,), rows)[ENERGY]
    for first in range(0, len(rows), size):
        part = slice(first, first + size)
        crystals = [each for each in COLUMN.crystals(values.cut(rows[part])) if each is not None]
        yield batch_of(crystals, rows[part].tolist(), {ENERGY: energies[part].tolist()})


def make(name: str, model: StructureModel, options: argparse.Namespace) -> None:
    """Makes the test crystals of one model."""
    arm = ARMS[name]
    store = data_of(options, 1)
    store.prepare_data()
    store.setup("test")
    rows = chosen_rows(store.store, options.rows or arm["rows"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)
    sampling = Sampling(arm["steps"], 1.0, arm.get("sharpness", 0.0))
    cells, points, start = [], [], time.perf_counter()
    for batch in batches_of(store.store, rows, 256):
        moved = batch.to(device)
        made = model.sample(moved, SampleRandom(options.seed, 0, batch.sample_id), sampling)
        cells.append(made.lattice_parameters.cpu().numpy())
        points += list(made.frac_coords[made.mask].cpu().numpy())
    taken = time.perf_counter() - start
    note(options, name, structures=len(rows), sampling_seconds=taken)
    np.savez(
        options.runs / name / "structures.npz",
        rows=rows,
        cells=np.concatenate(cells),
        points=np.array(points),
    )


def note(options: argparse.Namespace, name: str, **values: Any) -> None:
    """Adds to what is known of an arm."""
    file = options.runs / name / "speeds.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**known, **values}, indent=1))


def score(options: argparse.Namespace) -> None:
    """Compares what was made with the truth."""
    from crystal_data import MP20, open_store
    from crystal_data.metrics import match_rate
    from crystal_gen.batches import crystals_of

    store = open_store(MP20(), on_invalid="skip", cache=options.cache)
    results = {}
    for name in ARMS:
        if not (options.runs / name / "structures.npz").is_file():
            continue
        made = np.load(options.runs / name / "structures.npz")
        predictions, first = [], 0
        for place, batch in enumerate(batches_of(store, made["rows"], 256)):
            count = int(batch.mask.sum())
            cells = made["cells"][256 * place : 256 * place + batch.num_crystals]
            batch.lattice_parameters = torch.from_numpy(cells)
            batch.frac_coords[batch.mask] = torch.from_numpy(made["points"][first : first + count])
            first += count
            predictions += [None if x is None else x.to_crystal() for x in crystals_of(batch)]
        references = [store.crystal(row) for row in made["rows"].tolist()]
        found = match_rate(predictions, references)
        speeds = json.loads((options.runs / name / "speeds.json").read_text())
        results[name] = speeds | {each.metric: each.value for each in found.results}
        print(name, results[name])
    (options.runs / "results.json").write_text(json.dumps(results, indent=1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["prepare", "make", "score"])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/gpu-structures"))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seconds", type=float, default=420, help="of all trainings together")
    parser.add_argument("--rows", type=int, help="test crystals of every arm; to try it")
    parser.add_argument("--epochs", type=int, default=1000, help="most; the schedule's length")
    parser.add_argument("--precision", default="bf16-mixed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.cache, options.runs = options.cache.absolute(), options.runs.absolute()
    if options.what == "prepare":
        options.cache.mkdir(parents=True, exist_ok=True)
        prepare(options.cache)
    elif options.what == "score":
        score(options)
    else:
        for name in options.arms:
            make(name, train(name, options, ARMS[name]["share"] * options.seconds), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
