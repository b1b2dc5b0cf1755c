"""Where the time of an epoch goes: the whole training command against the model alone.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/training.py [--rounds 3] [--compile]

Each round trains CGCNN by ``configs/embed/cgcnn-mp20.yaml`` through the command itself, once for
each number of loader workers, and then runs forward, loss and backward over the batches of an epoch
that are in memory already. The first epoch of a training is not counted: it starts workers, opens
files and, with ``--compile``, compiles. Stages are those of Lightning's profiler; what lies within
no stage is its loop and bookkeeping. Rounds take turns, medians count.
"""

import argparse
import contextlib
import io
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import torch
from lightning.pytorch.profilers import SimpleProfiler
from torch import nn
from typing_extensions import override

from crystal_data.graphs.batch import CrystalBatch
from crystal_data.training import masked_loss
from crystal_data.training.cli import CrystalCLI

CONFIG = Path(__file__).parents[1] / "configs" / "embed" / "cgcnn-mp20.yaml"
TARGET = "formation_energy_per_atom"
# Parts of names in Lightning's profiler; the first that fits takes an entry. Those marked None
# hold other entries.
STAGES: tuple[tuple[str, str | None], ...] = (
    ("run_training_epoch", None),
    ("run_training_batch", None),
    ("PropertyModule.optimizer_step", None),
    ("save_checkpoint", None),
    ("transfer_batch_to_device", None),
    ("optimizer_zero_grad", None),  # in the optimizer step
    ("training_step", "forward, loss, training metrics"),
    ("SingleDeviceStrategy.backward", "backward"),
    ("train_dataloader_next", "loading of training batches"),
    ("validation_step", "validation: model and metrics"),
    ("val_next", "validation: loading"),
    ("]EMA", "averaged weights"),
    ("]ModelCheckpoint", "checkpoints"),
    ("", "other hooks and callbacks"),
)


class Stages(SimpleProfiler):
    """Lightning's profiler, which keeps its numbers and prints no table."""

    @override
    def describe(self) -> None: ...


def command(workers: int, epochs: int, compiled: bool, extra: list[str]) -> CrystalCLI:
    """Trains through the command; its profiler holds the times."""
    with (
        tempfile.TemporaryDirectory() as run,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        arguments = ["fit", "--config", str(CONFIG), "--trainer.max_epochs", str(epochs)]
        arguments += ["--trainer.accelerator", "cpu", "--trainer.default_root_dir", run]
        arguments += [
            "--trainer.profiler",
            "training.Stages",
            "--trainer.num_sanity_val_steps",
            "0",
        ]
        arguments += ["--data.num_workers", str(workers)]
        if compiled:
            arguments += ["--trainer.callbacks+", "crystal_data.training.Compile"]
        return CrystalCLI([*arguments, *extra])


def stages_of(recorded: Mapping[str, list[float]], epochs: int) -> dict[str, float]:
    """Seconds of an epoch by stage; ``epoch`` is all of it."""
    seconds = {"epoch": float(np.median(recorded["run_training_epoch"][1:]))}
    for name, times in recorded.items():
        stage = next(stage for part, stage in STAGES if part in name)
        if stage is None or len(times) < epochs:
            continue  # what happens once belongs to no epoch
        # Of each epoch but the first there are equally many entries.
        share = times[len(times) // epochs :]
        seconds[stage] = seconds.get(stage, 0.0) + sum(share) / (epochs - 1)
    seconds["optimizer step"] = (
        _per_epoch(recorded, "PropertyModule.optimizer_step", epochs)
        - seconds["forward, loss, training metrics"]
        - seconds["backward"]
    )
    known = sum(value for name, value in seconds.items() if name != "epoch")
    seconds["Lightning's loop"] = seconds["epoch"] - known
    return seconds


def _per_epoch(recorded: Mapping[str, list[float]], part: str, epochs: int) -> float:
    (times,) = (times for name, times in recorded.items() if part in name)
    return sum(times[len(times) // epochs :]) / (epochs - 1)


def model_alone(model: nn.Module, batches: list[CrystalBatch]) -> Callable[[], float]:
    """Seconds of forward, loss and backward over batches that are there."""
    model.train()

    def run() -> float:
        start = time.perf_counter()
        for batch in batches:
            model.zero_grad()
            masked_loss(model(batch), batch.targets[TARGET][:, None], "mae").backward()
        return time.perf_counter() - start

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3, help="of each training, the first unused")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--compile", action="store_true", help="also with Compile, without workers")
    parser.add_argument("--train-size", type=int, help="rows to train on; all by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=measuring.RESULTS / "training.json")
    options = parser.parse_args()
    if not os.environ.get("CRYSTAL_DATA_HOME"):
        sys.exit("set CRYSTAL_DATA_HOME to the folder that holds mp_20")
    if options.epochs < 2:
        sys.exit("--epochs must be at least 2: the first is not counted")
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")  # of Lightning, which the command itself leaves out too
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    extra = [] if options.train_size is None else ["--data.train_size", str(options.train_size)]

    variants = [(f"{count} workers", count, False) for count in options.workers]
    variants += [("0 workers, compiled", 0, True)] if options.compile else []
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name, _, _ in variants}
    alone: list[float] = []
    structures = 0
    for number in range(options.rounds):
        for name, workers, compiled in variants:
            cli = command(workers, options.epochs, compiled, extra)
            recorded = cli.trainer.profiler.recorded_durations
            rounds[name].append(stages_of(recorded, options.epochs))
            if not alone:
                structures = len(cli.datamodule.sample_ids("train"))
                cli.datamodule.num_workers = 0
                run = model_alone(cli.model.model, list(cli.datamodule.train_dataloader()))
                run()  # warm
                alone.append(run())
        if number:
            alone.append(run())
    report(rounds, alone, structures, options)


def report(
    rounds: dict[str, list[dict[str, float]]], alone: list[float], structures: int, options: Any
) -> None:
    """Prints the table and writes it as JSON."""
    model = measuring.spread(alone)
    variants = {}
    print(f"{structures} structures an epoch, {options.rounds} rounds, {options.threads} threads")
    print(f"model alone: {model['median']:.2f} s, {structures / model['median']:.0f} structures/s")
    for name, found in rounds.items():
        stages = {stage: measuring.spread([one[stage] for one in found]) for stage in found[0]}
        epoch = [one["epoch"] for one in found]
        shares = [1.0 - first / second for first, second in zip(alone, epoch, strict=True)]
        validation = [sum(v for k, v in one.items() if "validation" in k) for one in found]
        training = [
            1.0 - first / (second - other)
            for first, second, other in zip(alone, epoch, validation, strict=True)
        ]
        variants[name] = {
            "structures_per_s": measuring.spread([structures / seconds for seconds in epoch]),
            "share_outside_model": measuring.spread(shares),
            "share_outside_model_without_validation": measuring.spread(training),
            "speed_to_first": measuring.ratios([one["epoch"] for one in rounds[next(iter(rounds))]],
                                               epoch),
            "stages_s": stages,
        }  # fmt: skip
        rate, share = variants[name]["structures_per_s"], variants[name]["share_outside_model"]
        bare = variants[name]["share_outside_model_without_validation"]
        print(f"\n{name}: {rate['median']:.0f} structures/s ({rate['low']:.0f} to "
              f"{rate['high']:.0f}); outside the model {share['median']:.1%}, "
              f"of an epoch without validation {bare['median']:.1%}")  # fmt: skip
        for stage, seconds in sorted(stages.items(), key=lambda item: -item[1]["median"]):
            part = seconds["median"] / stages["epoch"]["median"]
            print(f"  {stage:34s}{seconds['median']:8.3f} s{part:8.1%}")
    content = {
        "structures": structures,
        "rounds": options.rounds,
        "model_alone_s": model,
        "variants": variants,
    }
    measuring.write(options.out, content)


if __name__ == "__main__":
    main()
