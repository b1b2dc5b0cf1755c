"""Universal atomic embeddings at published width on one GPU, from a store that is prepared already.

    python benchmarks/gpu/uae_mp20.py prepare --cache CACHE     where the public files are
    python benchmarks/gpu/uae_mp20.py train --cache CACHE --runs RUNS [--seconds 540]

``prepare`` reads MP-20 below CRYSTAL_DATA_HOME into a store with CGCNN's edges and writes down what
the source is. ``train`` needs only that folder, no pymatgen and no public files: it pre-trains
CrystalTransformer, then CGCNN with each element table. It stops itself after so many seconds; the
same command again goes on from the last checkpoints and skips arms that have finished.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from prepared import Deadline, Prepared

from crystal_data import CrystalDataModule, GraphSpec
from crystal_data.training import EMA, OneCycle, PropertyModule, WarmupCosine
from crystal_data.transforms import RandomReflection, RandomRotation, RandomTranslation
from crystal_embed import CGCNN, CrystalTransformer

TARGET = "formation_energy_per_atom"
PRETRAINED = "transformer"
ARMS = {"atom_init": "atom_init", "one_hot": "one_hot", "uae": PRETRAINED}


def prepare(cache: Path) -> None:
    from crystal_data import MP20

    source = MP20()
    data = CrystalDataModule(source, cache=cache)
    for spec in (GraphSpec(max_neighbors=12), None):
        data.configure(targets=[TARGET], graph_spec=spec).prepare_data()
    Prepared.describe(source, cache)


def transformer(_: str) -> PropertyModule:
    return PropertyModule(
        CrystalTransformer(), [TARGET], loss="mae",
        optimizer=lambda p: torch.optim.AdamW(p, lr=3e-4, weight_decay=0.01),
        lr_scheduler=WarmupCosine,
    )  # fmt: skip


def cgcnn(table: str) -> PropertyModule:
    return PropertyModule(
        CGCNN(element_table=table), [TARGET], loss="mae",
        optimizer=lambda p: torch.optim.AdamW(p, lr=0.006, weight_decay=0.01),
        lr_scheduler=OneCycle,
    )  # fmt: skip


def train(name: str, module: PropertyModule, epochs: int, seconds: float, options: Any) -> bool:
    """Trains or goes on training one arm; whether it has finished."""
    run = options.runs / name
    seed_everything(options.seed)
    moves = [RandomTranslation(), RandomRotation(), RandomReflection()]
    data = CrystalDataModule(
        Prepared(options.cache),
        batch_size=128,
        transforms=moves if name == PRETRAINED else [],
        cache=options.cache,
        seed=options.seed,
        num_workers=options.workers,
    )
    best = ModelCheckpoint(
        run, "best", monitor="val/mae", save_last=True, enable_version_counter=False
    )
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        gradient_clip_val=1.0 if name == PRETRAINED else None,
        default_root_dir=run,
        callbacks=[EMA(0.995), best, Deadline(seconds)],
    )
    last = run / "last.ckpt"
    start = time.perf_counter()
    trainer.fit(module, data, ckpt_path=last if last.is_file() else None, weights_only=True)
    print(f"{name}: epoch {trainer.current_epoch} of {epochs}, "
          f"{time.perf_counter() - start:.0f} s", flush=True)  # fmt: skip
    if trainer.current_epoch < epochs:
        return False
    (metrics,) = trainer.test(
        module, data, ckpt_path=best.best_model_path, verbose=False, weights_only=True
    )
    module.save_pretrained(run / "artifact", metadata={"metrics": metrics})
    result = {"epochs": epochs, "seed": options.seed, "device": str(trainer.strategy.root_device)}
    (run / "result.json").write_text(json.dumps({**result, **metrics}), encoding="utf-8")
    print(f"{name}: {metrics}", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["prepare", "train"])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument(
        "--pretrain-epochs", type=int, default=500, help="those of the paper's code"
    )
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.cache, options.runs = options.cache.absolute(), options.runs.absolute()
    if options.what == "prepare":
        options.cache.mkdir(parents=True, exist_ok=True)
        prepare(options.cache)
        return 0
    end = time.monotonic() + options.seconds
    plan = [(PRETRAINED, transformer, "", options.pretrain_epochs)]
    plan += [(f"cgcnn-{arm}", cgcnn, table, options.epochs) for arm, table in ARMS.items()]
    for name, build, table, epochs in plan:
        if (options.runs / name / "result.json").is_file():
            continue
        left = end - time.monotonic()
        source = str(options.runs / PRETRAINED / "artifact") if table == PRETRAINED else table
        if left < 10 or not train(name, build(source), epochs, left, options):
            print("time is up; the same command goes on from here", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
