"""What CrystalDiT costs beside the published model: training steps, evaluations, samples.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/structure_models.py

Both have one width, one number of layers and one thread, and take turns on the same batches of
MP-20. The published model is written with scatters on the fully connected atoms of conventional
cells. Times are CPU seconds; ratios are of the medians. A sample of the published model has a
thousand steps of two evaluations, one of CrystalDiT thirty of one. Then both evaluate crystals of
four orbits each on general positions, in groups that make 4 to 192 atoms of them.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, write
from templates import SYMPREC

from crystal_data import open_store
from crystal_data.loading import OrbitBatch
from crystal_data.sources import MP20
from crystal_data.store import OrbitColumn
from crystal_data.symmetry import SymmetricCrystal, wyckoff_positions
from crystal_data.transforms import SampleRandom
from crystal_gen import CrystalDiT, PublishedDiT, Sampling, StructureModel
from crystal_gen.batches import batch_of

ENERGY = "formation_energy_per_atom"
STEPS = 3  # of a sample that is timed
EVALUATIONS = {"crystal-dit": 1, "published": 2}  # of the network, in a step
# Primitive groups of 1, 2, 4, 8, 16, 24 and 48 operations.
GROUPS = (1, 2, 10, 47, 123, 191, 221)
NUM_ORBITS, NUM_CRYSTALS = 4, 8


def batches(size: int, count: int) -> list[OrbitBatch]:
    """Training crystals in random order."""
    store, column = open_store(MP20(), on_invalid="skip"), OrbitColumn(SYMPREC)
    rows = np.random.default_rng(0).permutation(store.rows_of("train"))[: 2 * size * count]
    found = column.crystals(store.add_column(column).cut(rows))
    known = [each for each in found if each is not None][: size * count]
    return [
        batch_of(known[i : i + size], range(size), {ENERGY: np.linspace(-3.0, 0.0, size).tolist()})
        for i in range(0, size * count, size)
    ]


def training_step(model: StructureModel, batch: OrbitBatch) -> None:
    """Loss and gradients."""
    sums = model.train().losses(batch, SampleRandom(0, 0, batch.sample_id))
    sum(total / count for total, count in sums.values()).backward()


def samples(model: StructureModel, batch: OrbitBatch) -> None:
    """A few steps of a sampler."""
    model.eval().sample(batch, SampleRandom(0, 0, batch.sample_id), Sampling(num_steps=STEPS))


def seconds(task: Callable[[], None]) -> float:
    start = time.process_time()
    task()
    return time.process_time() - start


def crystals_of_group(number: int) -> OrbitBatch:
    """Crystals with all atoms on general positions."""
    rng = np.random.default_rng(number)
    letter = wyckoff_positions(number)[-1].letter
    return batch_of(
        [
            SymmetricCrystal(
                space_group_number=number,
                lattice=10.0 * np.eye(3),
                atomic_numbers=rng.integers(3, 60, NUM_ORBITS),
                wyckoff_letters=(letter,) * NUM_ORBITS,
                frac_coords=rng.random((NUM_ORBITS, 3)),
            )
            for _ in range(NUM_CRYSTALS)
        ],
        range(NUM_CRYSTALS),
        {ENERGY: [-1.0] * NUM_CRYSTALS},
    )


def growth(models: dict[str, StructureModel], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of an evaluation, by model and atoms of the cell."""
    found: dict[str, dict[str, float]] = {name: {} for name in models}
    for number in GROUPS:
        batch = crystals_of_group(number)
        atoms = str(int(batch.multiplicity[0].sum()))
        for name, model in models.items():
            samples(model, batch)  # fills tables and caches
            times = [seconds(lambda m=model, b=batch: samples(m, b)) for _ in range(rounds)]
            found[name][atoms] = float(np.median(times)) / (STEPS * EVALUATIONS[name])
    return found


def main() -> None:
    """Measures both models in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "structure-models.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"width": args.width, "num_layers": args.layers}
    models: dict[str, StructureModel] = {
        "crystal-dit": CrystalDiT([ENERGY], **sizes),
        "published": PublishedDiT(properties=[ENERGY], **sizes),
    }
    times: dict[str, dict[str, list[float]]] = {
        name: {"training_step": [], "evaluation": []} for name in models
    }
    chosen = batches(args.batch_size, args.rounds + 1)
    for model in models.values():
        model.fit_scales(chosen[0])
    for turn, batch in enumerate(chosen):
        for name, model in models.items():
            step = seconds(lambda m=model, b=batch: training_step(m, b))
            made = seconds(lambda m=model, b=batch: samples(m, b))
            if turn:  # the first fills tables and caches
                times[name]["training_step"].append(step)
                times[name]["evaluation"].append(made / (STEPS * EVALUATIONS[name]))
    medians = {
        name: {what: float(np.median(each)) for what, each in own.items()}
        for name, own in times.items()
    }
    for name, own in medians.items():
        steps = models[name].default_sampling.num_steps * EVALUATIONS[name]
        own["sample"] = own["evaluation"] * steps
    ratios = {
        what: medians["published"][what] / medians["crystal-dit"][what]
        for what in medians["published"]
    }
    results: dict[str, Any] = {"options": {k: str(v) for k, v in vars(args).items() if k != "out"}}
    results |= {"seconds_of_a_batch": medians, "published / crystal-dit": ratios}
    results["seconds_of_an_evaluation_by_atoms"] = growth(models, args.rounds)
    write(args.out, results)
    print(results)


if __name__ == "__main__":
    main()
