"""Seconds of an ALIGNN training step, ours against the ``alignn`` package's at equal weights.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/alignn.py --reference-python PYTHON
        [--crystals 64] [--width 64] [--layers 2] [--threads 1] [--compile] [--out FILE]

``PYTHON`` is the interpreter of an environment with ``alignn`` and ``dgl``. Both models get the
same rows of MP-20, the same edges (those of ``ALIGNN().graph_spec``) and the same weights: the
package's are carried over into ours, and predictions must agree to 1e-4, with the statistics of
the batch as well as with those of the training, once both see the same angles: a bond from an atom
to its own image meets itself at the next image, as other bonds do, which DGL leaves out. A doubled
cell has these angles, so ours has them; how far predictions then differ is written beside.

A step is forward, backward and AdamW on one batch. Steps take turns between the two processes, one
of which always waits, and the median of ratios within a round counts, so that a busy machine slows
all alike. "batch made" puts what a loader does into the step: ours cuts crystals and edges from
columns and builds the line graph anew; the package joins stored graphs and stored line graphs.
``alignn_atomwise_pure`` is the package's model without DGL, which has LayerNorm for BatchNorm and
is another function.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_data import MP20, CrystalBatch, CrystalDataModule
from crystal_data.graphs import edge_vectors
from crystal_embed import ALIGNN

WORKER = Path(__file__).parent / "references" / "alignn_step.py"
# The package's names and ours.
INPUTS = {
    "atom_embedding.layer": "input",
    "edge_embedding.1.layer": "bond_input.first",
    "edge_embedding.2.layer": "bond_input.second",
    "angle_embedding.1.layer": "angle_input.first",
    "angle_embedding.2.layer": "angle_input.second",
}
UPDATES = {"node_update": "bond_layers", "edge_update": "angle_layers"}
PARTS = {
    "0": "linear",
    "1": "norm",
    "src_gate": "neighbor_gate",
    "dst_gate": "center_gate",
    "edge_gate": "edge_gate",
    "src_update": "center_update",
    "dst_update": "neighbor_update",
    "bn_nodes": "node_norm",
    "bn_edges": "edge_norm",
    "fc": "output",
}


class Reference:
    """The worker in the other environment, asked step by step."""

    def __init__(self, python: str, folder: Path, threads: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "DGLBACKEND": "pytorch"}
        environment.pop("PYTHONPATH", None)
        self._process = subprocess.Popen(
            [python, str(WORKER), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.ready = json.loads(self._answer())

    def seconds(self, variant: str) -> float:
        """What one step takes."""
        self._process.stdin.write(f"{variant}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _answer(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"the reference's process ended with {self._process.wait()}")
        return line


def carried_over(weights: dict[str, NDArray[np.float32]]) -> dict[str, Tensor]:
    """The package's weights under our names; its three biases of a gate are one of ours."""
    ours: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name.endswith((".centers", "num_batches_tracked")):
            continue
        layer, part, kind = name.rsplit(".", 2) if name.count(".") > 1 else ("", *name.split("."))
        if part.endswith("_gate") and kind == "bias":
            part = "dst_gate"
        key = ".".join([_layer(layer), PARTS[part], kind]).lstrip(".")
        ours[key] = ours.get(key, 0) + torch.tensor(value)
    return ours


def _layer(name: str) -> str:
    """Our name of a layer, such as ``angle_layers.0`` for ``alignn_layers.0.edge_update``."""
    if name in INPUTS or not name.startswith("alignn_layers"):
        return INPUTS.get(name, name)
    _, number, update = name.split(".")
    return f"{UPDATES[update]}.{number}"


def load(model: ALIGNN, weights: dict[str, NDArray[np.float32]]) -> None:
    """Loads all that ours has; it lacks the norms whose results nothing reads."""
    missing, unused = model.load_state_dict(carried_over(weights), strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing != ["atom_embedding.vectors"] or any(".edge_norm." not in name for name in unused):
        sys.exit(f"weights do not fit: missing {missing}, unused {unused}")


def write_batch(folder: Path, batch: CrystalBatch, model: ALIGNN, options: dict[str, Any]) -> None:
    """What the package needs to build its own graphs of the same edges."""
    edge_vec = edge_vectors(
        batch.lattice, batch.frac_coords, batch.edge_index, batch.edge_shift, batch.batch
    )
    np.savez(
        folder / "batch.npz",
        num_atoms=batch.num_atoms.numpy(),
        num_edges=torch.bincount(batch.batch[batch.edge_index[1]]).numpy(),
        edge_index=batch.edge_index.numpy(),
        r=-edge_vec.float().numpy(),  # from source to target
        atom_features=model.atom_embedding(batch.atomic_numbers).detach().numpy(),
    )
    (folder / "options.json").write_text(json.dumps(options), encoding="utf-8")


def step(
    model: ALIGNN, batch: Callable[[], CrystalBatch], compiled: bool = False
) -> Callable[[str], float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    predict = torch.compile(model, dynamic=True) if compiled else model

    def run(_: str) -> float:
        start = time.perf_counter()
        optimizer.zero_grad()
        predict(batch()).abs().mean().backward()
        optimizer.step()
        return time.perf_counter() - start

    return run


def differences(
    model: ALIGNN, batch: CrystalBatch, expected: dict[str, NDArray[np.float32]]
) -> dict[str, float]:
    """Largest differences of predictions, by the mode of the norms and the angles seen."""
    first, second = batch.line_graph_index
    without = replace(batch, line_graph_index=batch.line_graph_index[:, first != second])
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = {}
    for angles, seen in (("same angles", without), ("all angles", batch)):
        for mode, values in expected.items():
            model.load_state_dict(state)
            with torch.no_grad():
                ours = model.train(mode == "train")(seen)[:, 0]
            found[f"{mode}, {angles}"] = float((ours - torch.tensor(values)).abs().max())
    model.load_state_dict(state)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference-python", required=True, help="an interpreter with alignn")
    parser.add_argument("--crystals", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2, help="of each kind")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--compile", action="store_true", help="also torch.compile; needs g++")
    parser.add_argument("--out", type=Path, default=measuring.RESULTS / "alignn.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    model = ALIGNN(
        width=arguments.width, num_alignn_layers=arguments.layers, num_gcn_layers=arguments.layers
    )
    data = CrystalDataModule(MP20()).configure(graph_spec=model.graph_spec)
    data.prepare_data()
    data.setup("fit")
    rows = data.sample_ids("train")[: arguments.crystals]

    def made() -> CrystalBatch:
        return data.store.batch(rows, graph_spec=model.graph_spec).float32()

    batch = made()
    options = {
        "width": arguments.width,
        "embedding_width": 64,
        "alignn_layers": arguments.layers,
        "gcn_layers": arguments.layers,
        "atom_features": model.atom_embedding.width,
        "threads": arguments.threads,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_batch(folder, data.store.batch(rows, graph_spec=model.graph_spec), model, options)
        reference = Reference(arguments.reference_python, folder, arguments.threads)
        load(model, dict(np.load(folder / "weights.npz")))
        difference = differences(model, batch, dict(np.load(folder / "predictions.npz")))
    if max(difference["eval, same angles"], difference["train, same angles"]) > 1e-4:
        sys.exit(f"the two do not compute the same: largest differences {difference}")

    steps = dict.fromkeys(reference.ready["variants"], reference.seconds)
    steps["ours"] = step(model, lambda: batch)
    steps["ours, batch made"] = step(model, made)
    if arguments.compile:
        steps["ours, compiled"] = step(model, lambda: batch, compiled=True)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(arguments.repeats + 2):
        for name, run in steps.items():
            if repeat < 2:  # the first ones warm up
                run(name)
            else:
                seconds[name].append(run(name))
    reference.close()

    shape = {
        "crystals": batch.num_crystals,
        "atoms": len(batch.batch),
        "edges": batch.edge_index.shape[1],
        "angles": batch.line_graph_index.shape[1],
    }
    print(f"{shape}, width {arguments.width}, {arguments.layers} + {arguments.layers} layers, "
          f"{arguments.threads} threads, largest differences {difference}")  # fmt: skip
    variants = {}
    for name, times in seconds.items():
        against = "alignn, batch made" if "batch made" in name else "alignn"
        ratio = measuring.ratios(seconds[against], times)
        fastest = min(seconds[against]) / min(times)
        variants[name] = {
            "step_s": measuring.spread(times),
            "fastest_step_s": min(times),
            f"speed_to_{against}": ratio,
            f"fastest_to_fastest_{against}": fastest,
        }
        print(f"{name:22s}{1e3 * np.median(times):9.1f} ms {ratio['median']:6.2f} "
              f"({ratio['low']:.2f} to {ratio['high']:.2f}) times {against}, "
              f"fastest {1e3 * min(times):.1f} ms, {fastest:.2f} times")  # fmt: skip
    content = {
        **shape,
        "width": arguments.width,
        "layers": [arguments.layers] * 2,
        "largest_difference": difference,
        "reference": reference.ready["versions"],
        "variants": variants,
    }
    measuring.write(arguments.out, content)


if __name__ == "__main__":
    main()
