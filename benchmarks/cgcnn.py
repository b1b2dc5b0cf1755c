"""Seconds of a CGCNN training step, ours against the published layer written out directly.

    [CRYSTAL_DATA_HOME=FOLDER] python benchmarks/cgcnn.py [--source random|mp20] [--crystals 128]
        [--atoms 10] [--threads 1] [--compile] [--out FILE]

Both get the same weights and the same crystals, and must agree to 1e-5. Random crystals (cubic
cells at 0.05 atoms/Å³, the twelve nearest neighbors) have no two atoms alike, so that every atom
and edge is computed; rows of MP-20 (with whole shells) are as symmetric as crystals are. Steps
alternate and the median of their ratios counts, so that a busy machine slows both alike. The
elementwise floor is a step in which ours does everything but multiply matrices: look-ups,
normalization, gate, sum over neighbors, softplus. It bounds what runs operation by operation on
random crystals; a compiled model, which joins operations, may pass it.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import measuring
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from crystal_data import MP20, CrystalDataModule
from crystal_data.crystal import Crystal
from crystal_data.graphs.batch import CrystalBatch
from crystal_embed.models.cgcnn import CGCNN, CGCNNConv


class DirectConv(nn.Module):
    """The published layer: one Linear on the concatenation, torch's own activations."""

    def __init__(self, conv: CGCNNConv) -> None:
        super().__init__()
        self.linear = conv.linear
        self.message_norm = nn.BatchNorm1d(conv.message_norm.num_features)
        self.update_norm = nn.BatchNorm1d(conv.update_norm.num_features)

    @override
    def forward(self, atoms: Tensor, edges: Tensor, edge_index: Tensor) -> Tensor:
        neighbor, center = edge_index
        joined = torch.cat([atoms[center], atoms[neighbor], edges], dim=1)
        opening, core = self.message_norm(self.linear(joined)).chunk(2, dim=1)
        messages = torch.sigmoid(opening) * F.softplus(core)
        total = torch.zeros_like(atoms).index_add(0, center, messages)
        return F.softplus(atoms + self.update_norm(total))


class Direct(nn.Module):
    """CGCNN of direct layers."""

    def __init__(self, model: CGCNN) -> None:
        super().__init__()
        self.model = model
        self.convolutions = nn.ModuleList(DirectConv(conv) for conv in model.convolutions)

    @override
    def forward(self, batch: CrystalBatch) -> Tensor:
        atoms = self.model.input(self.model.atom_embedding(batch.atomic_numbers))
        edges = self.model.basis(batch.edge_length)
        for convolution in self.convolutions:
            atoms = convolution(atoms, edges, batch.edge_index)
        total = atoms.new_zeros(batch.num_crystals, atoms.shape[1]).index_add(0, batch.batch, atoms)
        crystals = F.softplus(total / batch.num_atoms[:, None])
        for layer in self.model.hidden:
            crystals = F.softplus(layer(crystals))
        return self.model.output(crystals)


class Floor(nn.Module):
    """The elementwise part of the convolutions alone, on values that are already there."""

    def __init__(self, model: CGCNN, batch: CrystalBatch, width: int = 64) -> None:
        super().__init__()
        self.norms = nn.ModuleList(
            nn.ModuleList([conv.message_norm, conv.update_norm]) for conv in model.convolutions
        )
        self.center = nn.Parameter(torch.randn(len(batch.batch), 2 * width))
        self.neighbor = nn.Parameter(torch.randn(len(batch.batch), 2 * width))
        self.atoms = nn.Parameter(torch.randn(len(batch.batch), width))

    @override
    def forward(self, batch: CrystalBatch) -> Tensor:
        neighbor, center = batch.edge_index
        atoms = self.atoms
        for message_norm, update_norm in self.norms:
            features = self.center.index_select(0, center) + self.neighbor.index_select(0, neighbor)
            opening, core = message_norm(features).chunk(2, dim=1)
            messages = torch.sigmoid(opening) * F.softplus(core)
            total = torch.zeros_like(atoms).index_add(0, center, messages)
            atoms = F.softplus(atoms + update_norm(total))
        return atoms.new_zeros(batch.num_crystals, atoms.shape[1]).index_add(0, batch.batch, atoms)


def random_batch(crystals: int, atoms: int, model: CGCNN) -> CrystalBatch:
    rng = np.random.default_rng(0)
    edge = (atoms / 0.05) ** (1 / 3)
    made = [
        Crystal(np.eye(3) * edge, rng.random((atoms, 3)), rng.integers(1, 90, atoms))
        for _ in range(crystals)
    ]
    return CrystalBatch.from_crystals(made).with_edges(model.graph_spec).float32()


def mp20_batch(crystals: int, model: CGCNN) -> CrystalBatch:
    data = CrystalDataModule(MP20(), batch_size=crystals).configure((), model.graph_spec)
    data.prepare_data()
    data.setup("fit")
    batch: CrystalBatch = next(iter(data.train_dataloader()))
    return batch


def step(model: nn.Module, batch: CrystalBatch) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), foreach=True)

    def run() -> None:
        optimizer.zero_grad()
        model(batch).abs().mean().backward()
        optimizer.step()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", choices=["random", "mp20"], default="random")
    parser.add_argument("--crystals", type=int, default=128)
    parser.add_argument("--atoms", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--compile", action="store_true", help="also torch.compile; needs g++")
    parser.add_argument("--out", type=Path, help="by default results/cgcnn-SOURCE.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    if arguments.source == "random":
        model = CGCNN.published()
        batch = random_batch(arguments.crystals, arguments.atoms, model)
    else:
        model = CGCNN(aggregation="sum")
        batch = mp20_batch(arguments.crystals, model)
    direct = Direct(model)
    with torch.no_grad():
        difference = float((model(batch) - direct(batch)).abs().max())
    if difference > 1e-5:
        raise SystemExit(f"the two do not compute the same: largest difference {difference:.2g}")

    steps = {"direct": step(direct, batch), "ours": step(model, batch)}
    if arguments.compile:
        steps["ours, compiled"] = step(torch.compile(model, dynamic=True), batch)
    if arguments.source == "random":  # where it bounds ours, which elsewhere computes less
        steps["elementwise floor"] = step(Floor(model, batch), batch)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(arguments.repeats + 2):
        for name, run in steps.items():
            start = time.perf_counter()
            run()
            if repeat >= 2:  # the first ones warm up
                seconds[name].append(time.perf_counter() - start)

    edges = batch.edge_index.shape[1]
    print(f"{arguments.crystals} crystals, {len(batch.batch)} atoms, {edges} edges, "
          f"{arguments.threads} threads, torch {torch.__version__}, "
          f"largest difference {difference:.1e}")  # fmt: skip
    found = {}
    for name, times in seconds.items():
        median, ratio = float(np.median(times)), measuring.ratios(seconds["direct"], times)
        found[name] = {"step_s": measuring.spread(times), "speed_to_direct": ratio}
        print(
            f"{name:18s} {1e3 * median:8.2f} ms  {arguments.crystals / median:7.0f} structures/s  "
            f"{ratio['median']:5.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}) times direct"
        )
    source = arguments.source
    shape = {"crystals": arguments.crystals, "atoms": len(batch.batch), "edges": edges}
    out = arguments.out or measuring.RESULTS / f"cgcnn-{source}.json"
    measuring.write(
        out, {"source": source, **shape, "largest_difference": difference, "variants": found}
    )


if __name__ == "__main__":
    main()
