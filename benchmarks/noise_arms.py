"""Free coordinates or projected Cartesian noise: CrystalDiT and its rival, trained alike.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/noise_arms.py RUNS

``free`` is the default, ``cartesian`` the variant of `projected_noise.py`. Each is trained on MP-20
as by ``crystal-dit-mp20``, in fewer epochs, with one seed, in bfloat16; the weights of the last
epoch count. Then each makes one sample from noise for the same test rows, whose space group,
Wyckoff letters, elements and formation energy are given: with the default sampler, with steps no
longer than learned (``sharpness 0``), and with more steps. Match rates are unfiltered; differences
are paired by row, with 95 % bootstrap intervals over rows. Weights, CPU seconds and structures are
left in RUNS, and made once.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import seed_everything
from measuring import RESULTS, mean_over_seeds, write
from projected_noise import ProjectedNoise
from structures import ENERGY, Context, Found, compared, made
from training_arms import fit_arm

from crystal_data import CrystalDataModule, open_store
from crystal_data.sources import MP20
from crystal_data.training import WarmupCosine
from crystal_gen import CrystalDiT, Sampling, StructureGenerator, StructureModule

ARMS: dict[str, type[CrystalDiT]] = {"cartesian": ProjectedNoise, "free": CrystalDiT}
DEFAULT = CrystalDiT.default_sampling
SAMPLINGS: dict[str, Sampling] = {
    "default": DEFAULT,
    "sharpness 0": replace(DEFAULT, sharpness=0.0),
    "100 steps": replace(DEFAULT, num_steps=100),
}


def train(arm: str, epochs: int, folder: Path) -> None:
    """Trains one, and leaves its weights and what it took."""
    seed_everything(0)
    model = ARMS[arm]([ENERGY])
    module = StructureModule(
        model,
        max_val_samples=200,
        optimizer=lambda p: torch.optim.AdamW(p, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01),
        lr_scheduler=WarmupCosine,
    )
    data = CrystalDataModule(MP20(), batch_size=128, length_buckets=True, on_invalid="skip", seed=0)
    fit_arm(
        arm,
        module,
        data,
        folder,
        epochs=epochs,
        ema=0.999,
        clip=1.0,
        validations=3,
        precision="bf16-mixed",
    )


def trained(arm: str, folder: Path) -> CrystalDiT:
    """What ``train`` left."""
    model = ARMS[arm]([ENERGY])
    model.load_state_dict(torch.load(folder / f"{arm}.pt", weights_only=True))
    return model.eval()


def summary(rates: np.ndarray, distances: np.ndarray, context: Context) -> dict[str, Any]:
    """Means over rows, all and in each stratum; both are ``[num_rows]``."""
    results = {"match_rate": mean_over_seeds(rates[None]), "rmse": mean_over_seeds(distances[None])}
    for name, inside in context.all_strata.items():
        results[f"match_rate/{name}"] = mean_over_seeds(rates[None, inside])
        results[f"rmse/{name}"] = mean_over_seeds(distances[None, inside])
    return results


def main() -> None:
    """Trains and compares both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="a folder")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--rows", type=int, default=800, help="of the test rows, 0 for all")
    parser.add_argument("--out", type=Path, default=RESULTS / "projected-noise.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.runs.mkdir(parents=True, exist_ok=True)
    for arm in ARMS:
        if not (args.runs / f"{arm}.pt").is_file():
            train(arm, args.epochs, args.runs)
    store = open_store(MP20(), on_invalid="skip")
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))[: args.rows or None]
    work = args.runs / f"{len(rows)}-rows"
    shared = argparse.Namespace(set="mp_20", library="own", work=work)
    context = Context(store, np.sort(rows), shared)
    found: dict[str, Found] = {"retrieval": compared(context.copies, context, 1)}
    results: dict[str, Any] = {
        "rows": len(rows),
        "training": {
            arm: json.loads((args.runs / f"{arm}.json").read_text(encoding="utf-8")) for arm in ARMS
        },
        "cpu_seconds": context.seconds,
    }
    results["retrieval"] = summary(*found["retrieval"], context)
    for name, sampling in SAMPLINGS.items():
        for arm in ARMS:
            generator = StructureGenerator(trained(arm, args.runs), sampling=sampling)
            folder = work / f"{arm}-{name.replace(' ', '-')}"
            structures = made(generator, context.requests(1), folder, context.seconds)
            found[arm] = compared(structures, context, 1)
            own = results[f"{arm}, {name}"] = summary(*found[arm], context)
            print(arm, name, own["match_rate"], own["rmse"], flush=True)
        results[f"cartesian over free, {name}"] = summary(
            found["cartesian"].rates - found["free"].rates,
            found["cartesian"].distances - found["free"].distances,
            context,
        )
        write(args.out, results)


if __name__ == "__main__":
    main()
