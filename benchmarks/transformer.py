"""Seconds of a CrystalTransformer's training step: how much is spent on padding.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/transformer.py [--steps 12] [--rounds 5]

Ours lays atoms end to end and makes rectangles for attention alone; torch's own encoder layers,
with the same weights, multiply padding too. Both run on the same batches of MP-20, once drawn at
random and once with crystals of like sizes together (``length_buckets``). They must agree to 1e-5
without dropout; the steps are timed with it, as it is trained. Batches take turns between variants,
so that a busy machine slows all alike.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import measuring
import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data import MP20, CrystalBatch, CrystalDataModule
from crystal_data.layers import mean_over_atoms
from crystal_data.loading import CrystalSampler
from crystal_embed import CrystalTransformer

TARGET = "formation_energy_per_atom"


class Padded(nn.Module):
    """The same network of torch's own encoder layers, on rectangles from end to end."""

    def __init__(self, model: CrystalTransformer, heads: int, width: int, dropout: float) -> None:
        super().__init__()
        self.model = model
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                2 * len(model.position.bias), heads, width, dropout, batch_first=True
            )
            for _ in model.layers
        )
        self.layers.load_state_dict(model.layers.state_dict())

    @override
    def forward(self, batch: CrystalBatch) -> Tensor:
        padded = batch.padded()
        position = self.model.position(padded.frac_coords @ padded.lattice)
        atoms = torch.cat([self.model.species(padded.atomic_numbers), position], dim=-1)
        for layer in self.layers:
            atoms = layer(atoms, src_key_padding_mask=~padded.node_mask)
        crystals = mean_over_atoms(atoms[padded.node_mask], batch.batch, batch.num_atoms)
        return torch.cat([head(crystals) for head in self.model.heads], dim=1)


def batches_of(data: CrystalDataModule, size: int, steps: int, buckets: bool) -> list[CrystalBatch]:
    rows = data.sample_ids("train")
    sampler = CrystalSampler(
        rows,
        batch_size=size,
        is_training=True,
        bucket_sizes=data.store.num_atoms[rows] if buckets else None,
    )
    requests = [request for request, _ in zip(sampler, range(steps), strict=False)]
    return [data.store.batch(request.rows, [TARGET]).float32() for request in requests]


def step(model: nn.Module, batch: CrystalBatch) -> float:
    start = time.perf_counter()
    model.zero_grad()
    (model(batch)[:, 0] - batch.targets[TARGET]).abs().mean().backward()
    return time.perf_counter() - start


def agreement(ours: nn.Module, padded: nn.Module, batch: CrystalBatch) -> float:
    with torch.no_grad():
        difference = float((ours.eval()(batch) - padded.eval()(batch)).abs().max())
    if difference > 1e-5:
        sys.exit(f"the two do not compute the same: largest difference {difference:.2g}")
    return difference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=12, help="batches of each kind")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--element-width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--out", type=Path, default=measuring.RESULTS / "transformer.json")
    options = parser.parse_args()
    if not os.environ.get("CRYSTAL_DATA_HOME"):
        sys.exit("set CRYSTAL_DATA_HOME to the folder that holds mp_20")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    data = CrystalDataModule(MP20()).configure(targets=[TARGET])
    data.prepare_data()
    data.setup()
    batches = {
        name: batches_of(data, options.batch_size, options.steps, buckets)
        for name, buckets in (("random", False), ("length_buckets", True))
    }
    ours = CrystalTransformer(element_width=options.element_width, num_layers=options.layers)
    padded = Padded(ours, heads=8, width=512, dropout=0.1)
    difference = agreement(ours, padded, batches["random"][0])
    networks = {"padded": padded.train(), "ours": ours.train()}

    # One entry for each round: seconds of all batches of a kind.
    seconds = {(kind, name): [0.0] * options.rounds for kind in batches for name in networks}
    for network in networks.values():
        step(network, batches["random"][0])
    for number in range(options.rounds):
        for index in range(options.steps):
            for (kind, name), times in seconds.items():
                times[number] += step(networks[name], batches[kind][index])
    report(seconds, batches, difference, options)


def report(
    seconds: dict[tuple[str, str], list[float]],
    batches: dict[str, list[CrystalBatch]],
    difference: float,
    options: Any,
) -> None:
    """Prints the table and writes it as JSON."""
    reference = seconds["random", "padded"]
    found = {}
    print(f"{options.steps} batches of {options.batch_size}, {options.rounds} rounds, "
          f"largest difference {difference:.1e}")  # fmt: skip
    for (kind, name), times in seconds.items():
        atoms = sum(len(batch.batch) for batch in batches[kind])
        places = sum(batch.num_crystals * int(batch.num_atoms.max()) for batch in batches[kind])
        ratio = measuring.ratios(reference, times)
        each = measuring.spread([time / options.steps for time in times])
        found[f"{kind}, {name}"] = {
            "step_s": each,
            "speed_to_random_padded": ratio,
            "atoms_per_s": measuring.spread([atoms / time for time in times]),
            "atoms": atoms,
            "places_with_padding": places,
        }
        print(f"{kind:15s}{name:8s}{1e3 * each['median']:9.1f} ms a step  {ratio['median']:5.2f} "
              f"({ratio['low']:.2f} to {ratio['high']:.2f}) times random, padded;  "
              f"{atoms / min(times):.0f} atoms/s; {atoms} atoms in {places} places")  # fmt: skip
    shape = {name: getattr(options, name) for name in ("batch_size", "element_width", "layers")}
    measuring.write(options.out, {**shape, "largest_difference": difference, "variants": found})


if __name__ == "__main__":
    main()
