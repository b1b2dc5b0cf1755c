"""Trains the shipped repairing model on, against a discriminator and without one.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/gan_training.py RUNS

All arms start from ``repair-mp20`` and share the config ``gan-mp20``: crystals, masks, optimizer,
learning rate and batches. ``gan`` is the config; ``on`` is the same without discriminator and its
term, for as many CPU minutes, which is more epochs; ``steps`` is that for as many steps. Runs are
RUNS/ARM-NOISE-SEED; a run that is there already is left as it is, so that the command can be run
again after a kill. The CPU seconds of each are in its ``cpu_seconds.json``. `repair_validity.py`
scores the runs.
"""

import argparse
import json
import resource
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from crystal_gan.shipped import REPAIR, SHIPPED

CONFIG = Path(__file__).parent.parent / "configs" / "gan" / "gan-mp20.yaml"
EPOCHS = {"gan": 2, "on": 5, "steps": 2}
ONLY_ADVERSARIAL = (
    "adversarial_weight",
    "discriminator_every",
    "discriminator",
    "discriminator_optimizer",
)


def config_of(arm: str, noise: float, epochs: int) -> dict[str, Any]:
    """The config of an arm; others than ``gan`` are without what is adversarial."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["trainer"] |= {"max_epochs": epochs, "enable_progress_bar": False}
    arguments = config["model"]["init_args"]
    arguments["corruptions"][1]["init_args"]["sigma"] = noise
    if arm != "gan":
        config["model"]["class_path"] = "crystal_gan.RepairModule"
        for name in ONLY_ADVERSARIAL:
            del arguments[name]
    return config


def train(folder: Path, config: dict[str, Any], seed: int) -> float:
    """Runs one training; returns its CPU seconds."""
    file = folder.parent / f"{folder.name}.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", "-m", "crystal_gan", "fit", "--config", str(file)]
    command += ["--init_from", str(SHIPPED.find(REPAIR)), "--trainer.default_root_dir", str(folder)]
    command += ["--seed_everything", str(seed), "--data.seed", str(seed)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Trains all arms, levels of noise and seeds, whole seeds one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="a folder")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.1, 0.2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=EPOCHS, default=list(EPOCHS))
    args = parser.parse_args()
    args.runs.mkdir(parents=True, exist_ok=True)
    for seed, noise, arm in product(args.seeds, args.noise, args.arms):
        folder = args.runs / f"{arm}-{noise}-{seed}"
        done = folder / "cpu_seconds.json"
        if done.exists():
            continue
        seconds = train(folder, config_of(arm, noise, EPOCHS[arm]), seed)
        done.write_text(json.dumps({"cpu_s": seconds, "epochs": EPOCHS[arm]}), encoding="utf-8")
        print(f"{folder.name}: {EPOCHS[arm]} epochs, {seconds:.0f} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
