"""The equivariant network on one GPU: speed, share of matrix products, and a pre-training curve.

    python benchmarks/gpu/equiformer.py prepare --cache CACHE    where the public files are
    python benchmarks/gpu/equiformer.py run --cache CACHE --runs RUNS [--seconds 450]

``prepare`` writes the store of MP-20. ``run`` needs only that folder. For each size it measures
training steps of repair on the same batches: in float32, in bfloat16, and in bfloat16 with
``torch.compile``, with the greatest memory and the share of the device's time that operations of
matrix products take. Then it pre-trains the published size until the time is up, and leaves what
each epoch scored on the validation crystals in ``curve.json``, everything else in ``speeds.json``.
What does not run is noted with its message, and the rest goes on.

Training crystals that match validation ones are not left out here, which takes pymatgen: the
curve is of speed, not for comparison with `masked_elements.py`.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from prepared import Deadline, Prepared, quiet_trainer
from torch.profiler import ProfilerActivity, profile
from typing_extensions import override

from crystal_data import CrystalBatch, CrystalDataModule
from crystal_data.store import CrystalStore
from crystal_data.training import EMA, WarmupCosine
from crystal_data.transforms import MaskAtoms, PerturbAtoms, SampleRandom
from crystal_gan import EquiformerSizes, RepairModel, RepairModule

WIDE = EquiformerSizes(
    num_layers=6,
    num_channels=128,
    hidden_channels=32,
    feedforward_channels=256,
    num_heads=8,
    value_channels=16,
    max_degree=4,
    max_order=2,
    edge_width=128,
)
TINY = EquiformerSizes(num_layers=1, num_channels=8, hidden_channels=4, max_degree=1, max_order=1)
# Sizes, batch, and the greatest learning rate of a pre-training. In float32 a forward pass keeps
# 0.45 MB (wide) and 4.2 MB (published) for each edge, of which crystals of MP-20 have 319.
ARMS: dict[str, tuple[EquiformerSizes, int, float]] = {
    "wide": (WIDE, 128, 1e-3),
    "published": (EquiformerSizes.published(), 16, 4e-4),
    "tiny": (TINY, 4, 1e-3),
}
WAYS = ("float32", "bfloat16", "bfloat16, compiled")
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")
NUM_BATCHES, WARM_UP = 4, 3
MEASURED_SHARE = 0.5  # of the time, at most; the rest is the pre-training's


def prepare(cache: Path) -> None:
    from crystal_data import MP20, open_store

    source = MP20()
    open_store(source, on_invalid="skip", cache=cache)
    Prepared.describe(source, cache)


def module_of(arm: str) -> RepairModule:
    """The repair of a size, as `configs/gan/pretrain-mp20.yaml` trains it."""
    sizes, _, rate = ARMS[arm]
    return RepairModule(
        RepairModel(sizes),
        [MaskAtoms(), PerturbAtoms(0.1)],
        optimizer=lambda p: torch.optim.AdamW(p, lr=rate, weight_decay=0.01),
        lr_scheduler=WarmupCosine,
    )


def data_of(options: argparse.Namespace, batch_size: int) -> CrystalDataModule:
    """Batches of the prepared store."""
    return CrystalDataModule(
        Prepared(options.cache),
        batch_size=batch_size,
        length_buckets=True,
        on_invalid="skip",
        cache=options.cache,
        num_workers=options.workers,
        seed=options.seed,
    )


def batches_of(store: CrystalStore, module: RepairModule, size: int) -> list[CrystalBatch]:
    """Corrupted training crystals with their edges."""
    rows = np.random.default_rng(0).permutation(store.rows_of("train"))
    made = []
    for number in range(NUM_BATCHES):
        part = np.sort(rows[number * size : (number + 1) * size])
        batch, rng = store.batch(part), SampleRandom(0, 0, torch.from_numpy(part))
        for corruption in module.corruptions:
            batch = corruption(batch, rng)
        made.append(batch.with_edges(module.model.graph_spec).float32())
    return made


class Steps:
    """Training steps of a module on batches that are on the device already.

    Args:
        module: What is trained.
        batches: Taken in turns.
        way: One of ``WAYS``.
    """

    def __init__(self, module: RepairModule, batches: list[CrystalBatch], way: str) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.module = module.to(self.device).train()
        if way.endswith("compiled"):
            self.module.model.compile(dynamic=True)
        self._batches = [batch.to(self.device) for batch in batches]
        self._half = way.startswith("bfloat16")
        self._optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)
        self._number = 0

    def step(self) -> int:
        """Takes one; returns the crystals of its batch."""
        batch = self._batches[self._number % len(self._batches)]
        self._number += 1
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
            loss = self.module.repair_loss(self.module.sums(batch))
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return batch.num_crystals

    def rate(self, seconds: float) -> float:
        """Crystals in a second."""
        for _ in range(WARM_UP):
            self.step()
        self._wait()
        start, count = time.perf_counter(), 0
        while count == 0 or time.perf_counter() - start < seconds:
            count += sum(self.step() for _ in self._batches)
            self._wait()
        return count / (time.perf_counter() - start)

    def product_share(self) -> float:
        """Share of the device's time that matrix products take."""
        has_gpu = self.device.type == "cuda"
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if has_gpu else [])]
        with profile(activities=kinds) as found:
            self.step()
            self._wait()
        # Times of kernels are those of the operations that launch them; kernels stand there again.
        times = {
            one.key: one.self_device_time_total if has_gpu else one.self_cpu_time_total
            for one in found.key_averages()
            if one.device_type == torch.autograd.DeviceType.CPU
        }
        return sum(times.get(name, 0.0) for name in PRODUCTS) / max(sum(times.values()), 1e-9)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def speed(arm: str, way: str, store: CrystalStore, seconds: float) -> dict[str, Any]:
    """Crystals in a second, memory and share of matrix products of one way."""
    torch._dynamo.reset()
    module = module_of(arm)
    batches = batches_of(store, module, ARMS[arm][1])
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    steps = Steps(module, batches, way)
    found: dict[str, Any] = {"crystals per second": steps.rate(seconds)}
    if has_gpu:
        found["memory, GB"] = torch.cuda.max_memory_allocated() / 1e9
    # Compiled products have other names than those that are counted.
    if not way.endswith("compiled"):
        found["share of matrix products"] = steps.product_share()
    found["weights"] = sum(p.numel() for p in module.parameters())
    found["edges of a batch"] = float(np.mean([len(b.edges().edge_length) for b in batches]))
    return {**found, "seconds, with start": time.perf_counter() - start}


def speeds(options: argparse.Namespace, end: float) -> dict[str, Any]:
    """Of all sizes and ways for which there is time."""
    data = data_of(options, 1)
    data.prepare_data()
    data.setup("fit")
    results: dict[str, Any] = {}
    for arm in options.arms:
        for way in WAYS[: len(WAYS) if options.compile else -1]:
            if time.monotonic() > end:
                found: dict[str, Any] = {"left out": "no time"}
            else:
                try:
                    found = speed(arm, way, data.store, options.seconds_each)
                # One way that fails, for want of memory or of a compiler, leaves the others.
                except Exception as error:
                    found = {"failed": f"{type(error).__name__}: {error}"[:500]}
            results[f"{arm}, {way}"] = found
            print(arm, way, found, flush=True)
            save(options, "speeds.json", {"device": device_name(), **results})
    return results


class Curve(Callback):
    """Keeps what each epoch scored, with the seconds since the start."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self._start = options, time.perf_counter()
        self.points: list[dict[str, float]] = []

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        scores = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        seconds = time.perf_counter() - self._start
        self.points.append({"epoch": trainer.current_epoch + 1, "seconds": seconds, **scores})
        save(self._options, "curve.json", {"device": device_name(), "epochs": self.points})


def pretrain(arm: str, options: argparse.Namespace, seconds: float) -> None:
    """Pre-trains one size until its time is up."""
    seed_everything(options.seed)
    callbacks = [EMA(0.995), Curve(options), Deadline(seconds)]
    trainer = quiet_trainer(options, options.runs, callbacks, clip=10.0)
    trainer.fit(module_of(arm), data_of(options, ARMS[arm][1]))


def device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def save(options: argparse.Namespace, name: str, content: dict[str, Any]) -> None:
    """Leaves a file in the folder of the runs."""
    options.runs.mkdir(parents=True, exist_ok=True)
    (options.runs / name).write_text(json.dumps(content, indent=1), encoding="utf-8")


def main() -> int:
    """Prepares, or measures and pre-trains."""
    start = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["prepare", "run"])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/gpu-equiformer"))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["wide", "published"])
    parser.add_argument("--pretrain", choices=ARMS, default="published")
    parser.add_argument("--seconds", type=float, default=450, help="of everything together")
    parser.add_argument("--seconds-each", type=float, default=10, help="of one measurement")
    parser.add_argument("--epochs", type=int, default=20, help="most; the schedule's length")
    parser.add_argument("--precision", default="bf16-mixed")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    options = parser.parse_args()
    options.cache, options.runs = options.cache.absolute(), options.runs.absolute()
    if options.what == "prepare":
        options.cache.mkdir(parents=True, exist_ok=True)
        prepare(options.cache)
        return 0
    speeds(options, start + MEASURED_SHARE * options.seconds)
    pretrain(options.pretrain, options, options.seconds - (time.monotonic() - start))
    return 0


if __name__ == "__main__":
    sys.exit(main())
