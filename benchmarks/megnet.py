"""Seconds of a MEGNet training step on MP-20, ours against matgl's own.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/megnet.py --reference-python PYTHON [--compile]

PYTHON is the interpreter of an environment with matgl (4.1 was used). Its model stays in a process
of its own and only steps when it is told to, so the two take turns, batch after batch, and never
run at once. Both have one thread, the same rows, all edges within 4 Å, the same widths, squared
error and Adam. Seconds are those of the CPU, so that other users of the machine count little.

``ours`` is set to what matgl computes, which is not quite the published network: broader Gaussians,
``exp(-0.5 d²)``, and a readout of 2 steps and width 32. With the weights of matgl's network after
20 steps both must predict the same to 1e-4. What then still differs in a step: matgl trains 16
numbers for each element and two layers behind, and two such layers on zeros for the state, where
ours trains what comes out of them; ours has a linear layer in front of the readout, set to one for
the comparison; and matgl finds the edges' lengths from positions in its step, where ours has them
in its batch.

``ours, published`` is ``MEGNet.published``, ``ours, default`` has the default's edges and sizes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import torch
from torch import Tensor, nn

from crystal_data import MP20, SYMBOLS, CrystalBatch, CrystalDataModule, GraphSpec
from crystal_data.loading import CrystalSampler
from crystal_embed import MEGNet
from crystal_embed.layers.mlp import MLP

TARGET = "formation_energy_per_atom"
WITHIN_4 = GraphSpec(cutoff=4.0, max_neighbors=None)


class Reference:
    """matgl's model in its process."""

    def __init__(self, python: str, folder: Path) -> None:
        script = Path(__file__).with_name("megnet_reference.py")
        # The path of this environment's packages is not for the other one.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [python, str(script), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        word, _, versions = self._read().partition(" ")
        if word != "ready":
            sys.exit(f"{python}: the reference did not start; is matgl installed there?")
        self.versions: dict[str, str] = json.loads(versions)

    def step(self, index: int) -> float:
        """Seconds of a training step on a batch."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{index}\n")
        self._process.stdin.flush()
        return float(self._read())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def like_matgl() -> MEGNet:
    return MEGNet(
        element_table="one_hot",
        trainable_table=True,
        readout_width=32,
        readout_steps=2,
        num_gaussians=100,
        gaussian_stop=5.0,
        gaussian_width=2**0.5,
        graph_spec=WITHIN_4,
    )


@torch.no_grad()
def carry_over(weights: dict[str, Tensor], model: MEGNet) -> None:
    """Gives ``model`` the weights of matgl's network, which orders some columns differently."""

    def copy(name: str, layer: nn.Module, order: tuple[int, ...] = ()) -> None:
        weight = weights[f"{name}.weight"]
        if order:
            parts = weight.chunk(len(order), dim=1)
            weight = torch.cat([parts[part] for part in order], dim=1)
        layer.weight.copy_(weight)
        layer.bias.copy_(weights[f"{name}.bias"])

    def copy_mlp(name: str, mlp: MLP, first: int = 0) -> None:
        for number, layer in enumerate(mlp.layers, start=first):
            copy(f"{name}.layers.{2 * number}", layer)  # activations lie between

    model.atom_embedding.vectors.copy_(
        weights["encoded_elements"][model.atom_embedding.atomic_numbers - 1]
    )
    model.state.copy_(weights["encoded_state"])
    copy_mlp("edge_encoder", model.edge_input)
    for number, block in enumerate(model.blocks):
        for ours, theirs in (("edge", "edge"), ("atom", "node"), ("state", "state")):
            if number:
                copy_mlp(f"blocks.{number}.{theirs}_func", block.dense[ours])
            copy_mlp(f"blocks.{number}.conv.{theirs}_func", block.update[ours], first=1)
        name = f"blocks.{number}.conv"
        copy(f"{name}.edge_func.layers.0", block.edge_input)
        copy(f"{name}.node_func.layers.0", block.atom_input, order=(1, 0, 2))
        copy(f"{name}.state_func.layers.0", block.state_input, order=(1, 2, 0))
    for readout, name in ((model.read_atoms, "node_s2s"), (model.read_edges, "edge_s2s")):
        nn.init.eye_(readout.memory.weight)
        nn.init.zeros_(readout.memory.bias)
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(readout.lstm, part).copy_(weights[f"{name}.lstm.{part}_l0"])
    copy_mlp("output_proj", model.hidden)
    copy(f"output_proj.layers.{2 * len(model.hidden.layers)}", model.output)


def agreement(folder: Path, model: MEGNet, batch: CrystalBatch) -> tuple[float, float]:
    """Largest difference between predictions of the two with the same weights, and their spread."""
    weights = {
        name: torch.from_numpy(array) for name, array in np.load(folder / "reference.npz").items()
    }
    carry_over(weights, model)
    with torch.no_grad():
        difference = float((model(batch)[:, 0] - weights["prediction"]).abs().max())
    if difference > 1e-4:
        sys.exit(f"the two do not compute the same: largest difference {difference:.2g}")
    return difference, float(weights["prediction"].std())


def batches_of(size: int, count: int) -> list[CrystalBatch]:
    """Random rows of the training part, without edges, in float64."""
    data = CrystalDataModule(MP20()).configure(targets=[TARGET])
    data.prepare_data()
    data.setup()
    sampler = CrystalSampler(
        data.sample_ids("train"), batch_size=size, is_training=True, bucket_sizes=None
    )
    requests = [request for request, _ in zip(sampler, range(count), strict=False)]
    return [data.store.batch(request.rows, [TARGET]) for request in requests]


def hand_over(batches: list[CrystalBatch], folder: Path) -> None:
    """Writes batches with the edges within 4 Å for the other environment."""
    (folder / "symbols.json").write_text(json.dumps(SYMBOLS[1:]), encoding="utf-8")
    for number, bare in enumerate(batches):
        batch = bare.with_edges(WITHIN_4)
        lattice = batch.lattice[batch.batch]
        positions = torch.einsum("ni,nij->nj", batch.frac_coords, lattice)
        offset = torch.einsum("ni,nij->nj", batch.edge_shift.double(), lattice[batch.edge_index[1]])
        np.savez(
            folder / f"batch-{number}.npz",
            atomic_numbers=batch.atomic_numbers,
            positions=positions.float(),
            edge_index=batch.edge_index,
            edge_offset=offset.float(),
            batch=batch.batch,
            target=batch.targets[TARGET].float(),
        )


def stepper(
    model: nn.Module, batches: list[CrystalBatch], spec: GraphSpec
) -> Callable[[int], float]:
    """Seconds of a training step on a batch."""
    ready = [batch.with_edges(spec).float32() for batch in batches]
    optimizer = torch.optim.Adam(model.parameters(), foreach=True)

    def run(index: int) -> float:
        batch = ready[index]
        start = time.process_time()
        optimizer.zero_grad()
        nn.functional.mse_loss(model(batch)[:, 0], batch.targets[TARGET]).backward()
        optimizer.step()
        return time.process_time() - start

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference-python", required=True, help="interpreter that has matgl")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="also torch.compile; needs g++")
    parser.add_argument("--out", type=Path, default=measuring.RESULTS / "megnet.json")
    options = parser.parse_args()
    if not os.environ.get("CRYSTAL_DATA_HOME"):
        sys.exit("set CRYSTAL_DATA_HOME to the folder that holds mp_20")
    torch.set_num_threads(1)
    torch.manual_seed(0)

    batches = batches_of(options.batch_size, options.batches)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        hand_over(batches, folder)
        reference = Reference(options.reference_python, folder)
        ours = like_matgl()
        difference, spread = agreement(folder, ours, batches[0].with_edges(WITHIN_4).float32())

    steps = {"matgl": reference.step, "ours": stepper(ours, batches, WITHIN_4)}
    if options.compile:
        compiled = torch.compile(like_matgl(), dynamic=True)
        steps["ours, compiled"] = stepper(compiled, batches, WITHIN_4)
    steps["ours, published"] = stepper(MEGNet.published(), batches, WITHIN_4)
    default = MEGNet()
    steps["ours, default"] = stepper(default, batches, default.graph_spec)
    # One entry for each step; the first batches warm up.
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for run in steps.values():
        run(0), run(1)
    for _ in range(options.rounds):
        for index in range(options.batches):
            for name, run in steps.items():
                seconds[name].append(run(index))
    reference.close()
    found = {"largest_difference": difference, "spread_of_predictions": spread}
    report(seconds, batches, {**found, "reference_versions": reference.versions}, options)


def report(
    seconds: dict[str, list[float]],
    batches: list[CrystalBatch],
    comparison: dict[str, Any],
    options: Any,
) -> None:
    """Prints the table and writes it as JSON."""
    edges = [batch.with_edges(WITHIN_4).edge_index.shape[1] for batch in batches]
    print(f"{options.batches} batches of {options.batch_size}, {np.mean(edges):.0f} edges each, "
          f"{options.rounds} rounds, {comparison}")  # fmt: skip
    found = {}
    for name, times in seconds.items():
        ratio = measuring.ratios(seconds["matgl"], times)
        found[name] = {"step_s": measuring.spread(times), "speed_to_matgl": ratio}
        print(f"{name:18s}{1e3 * float(np.median(times)):8.1f} ms  {ratio['median']:5.2f} "
              f"({ratio['low']:.2f} to {ratio['high']:.2f}) times matgl")  # fmt: skip
    content = {
        "crystals": options.batch_size,
        "edges": float(np.mean(edges)),
        "batches": options.batches,
        "rounds": options.rounds,
        **comparison,
        "variants": found,
    }
    measuring.write(options.out, content)


if __name__ == "__main__":
    main()
