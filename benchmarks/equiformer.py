"""A layer of messages in frames along edges, beside the same layer as e3nn's tensor product.

    python benchmarks/equiformer.py

Both take coefficients of each edge's neighbor, scaled by numbers of the edge, to coefficients of
each atom: by an `OrderLinear` in the frame of the edge, or by `FullyConnectedTensorProduct` with
the harmonics of its direction up to twice the degree. Without cut orders the two have as many
weights and are the same maps (`test_order_linear_is_a_tensor_product`). `frames` also shows what
the default cut at order 2 saves. Frames and harmonics are computed anew in each step, though a
network shares them among its layers. Times are CPU seconds on one thread, in turns; `saved` is what
the forward pass keeps for the backward pass.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from e3nn.o3 import FullyConnectedTensorProduct, Irreps, spherical_harmonics
from measuring import RESULTS, ratios, spread, write
from torch import Tensor, nn

from crystal_data import CrystalBatch, GraphSpec
from crystal_data.graphs import edge_vectors
from crystal_data.testing import random_crystals
from crystal_gan.equiformer.coefficients import Coefficients
from crystal_gan.equiformer.frames import EdgeFrames
from crystal_gan.equiformer.linear import OrderLinear
from crystal_gan.equiformer.radial import by_degree


class Frames(nn.Module):
    """In frames along edges."""

    def __init__(self, coefficients: Coefficients, channels: int) -> None:
        super().__init__()
        self._channels = channels
        self.frames = EdgeFrames(coefficients)
        self.linear = OrderLinear(coefficients, channels, channels)
        self.register_buffer("degree", coefficients.degree_at_atoms(), persistent=False)

    def forward(self, atoms: Tensor, edges: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Sums of messages at atoms."""
        edge_index, direction, weights = edges
        frames = self.frames(direction)
        message = atoms[edge_index[0]] * by_degree(weights, self.degree, self._channels)
        values = frames.transpose(1, 2) @ self.linear(frames @ message)[0]
        return torch.zeros_like(atoms).index_add(0, edge_index[1], values)


class TensorProduct(nn.Module):
    """By Clebsch–Gordan coefficients, as e3nn does it; channels come first within an irrep."""

    def __init__(self, coefficients: Coefficients, channels: int) -> None:
        super().__init__()
        irreps = coefficients.irreps(channels)
        self._degrees = list(range(2 * coefficients.max_degree + 1))
        self._ends = [d**2 for d in range(coefficients.num_degrees + 1)]
        harmonics = Irreps.spherical_harmonics(self._degrees[-1])
        self.product = FullyConnectedTensorProduct(irreps, harmonics, irreps)

    def forward(self, atoms: Tensor, edges: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Sums of messages at atoms."""
        edge_index, direction, weights = edges
        num_channels = atoms.shape[2]
        harmonics = spherical_harmonics(self._degrees, direction, True)
        parts = zip(self._ends, self._ends[1:], weights.split(num_channels, 1), strict=False)
        message = atoms[edge_index[0]]
        flat = [
            (message[:, start:end] * scale[:, None]).transpose(1, 2).flatten(1)
            for start, end, scale in parts
        ]
        values = self.product(torch.cat(flat, 1), harmonics)
        total = values.new_zeros(len(atoms), values.shape[1])
        return total.index_add(0, edge_index[1], values)


def edges_of(channels: int, num_degrees: int) -> tuple[int, tuple[Tensor, Tensor, Tensor]]:
    """Atoms and edges of random crystals: indices, directions, and numbers for each degree."""
    spec = GraphSpec(cutoff=5.0, max_neighbors=None)
    batch = CrystalBatch.from_crystals(random_crystals(16, seed=0)).with_edges(spec).float32()
    edge_index, edge_shift, length = batch.edges()
    vectors = edge_vectors(
        batch.lattice, batch.frac_coords, edge_index, edge_shift.to(length), batch.batch
    )
    weights = torch.randn(len(length), num_degrees * channels)
    return batch.num_nodes, (edge_index, vectors / length[:, None], weights)


def saved_megabytes(task: Callable[[], Tensor]) -> float:
    """What a forward pass keeps, each piece of memory once."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = task()
    total = sum(kept.values()) / 1e6
    del result
    return total


def seconds(task: Callable[[], object]) -> float:
    start = time.process_time()
    task()
    return time.process_time() - start


def measured(degree: int, channels: int, rounds: int) -> dict[str, object]:
    """Both layers, and that with cut orders, at one degree."""
    torch.manual_seed(0)
    whole = Coefficients(degree, degree)
    layers: dict[str, nn.Module] = {
        "tensor product": TensorProduct(whole, channels),
        "frames": Frames(whole, channels),
    }
    if degree > 2:
        layers["frames, order 2"] = Frames(Coefficients(degree, 2), channels)
    num_atoms, edges = edges_of(channels, whole.num_degrees)
    atoms = torch.randn(num_atoms, whole.num_at_atoms, channels, requires_grad=True)

    def train(layer: nn.Module) -> None:
        layer(atoms, edges).square().sum().backward()

    @torch.no_grad()
    def infer(layer: nn.Module) -> None:
        layer(atoms, edges)

    times = {name: {"training step": [], "inference": []} for name in layers}
    for turn in range(rounds + 2):
        for name, layer in layers.items():
            step, one = (seconds(lambda do=do, la=layer: do(la)) for do in (train, infer))
            if turn > 1:  # e3nn compiles in the first two
                times[name]["training step"].append(step)
                times[name]["inference"].append(one)
    reference = times["tensor product"]
    return {
        "edges": len(edges[2]),
        "weights": {name: sum(p.numel() for p in x.parameters()) for name, x in layers.items()},
        "seconds": {n: {what: spread(t) for what, t in own.items()} for n, own in times.items()},
        "times as fast as the tensor product": {
            name: {what: ratios(reference[what], own[what]) for what in own}
            for name, own in times.items()
            if name != "tensor product"
        },
        "saved, MB": {
            name: saved_megabytes(lambda la=layer: la(atoms, edges))
            for name, layer in layers.items()
        },
    }


def main() -> None:
    """Measures degrees 2 and 4."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS / "equiformer.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = {
        f"degree {degree}": measured(degree, args.channels, args.rounds) for degree in (2, 4)
    }
    write(args.out, {"channels": args.channels, **results})
    for name, own in results.items():
        print(name, own["times as fast as the tensor product"], own["saved, MB"])


if __name__ == "__main__":
    main()
