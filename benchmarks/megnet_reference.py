"""The other side of ``megnet.py``: matgl's MEGNet, in the environment that matgl lives in.

    REFERENCE_PYTHON benchmarks/megnet_reference.py FOLDER

Reads batches from ``FOLDER/batch-<number>.npz``, trains a little so that predictions differ, writes
its weights and predictions to ``FOLDER/reference.npz``, says ``ready`` with its versions, and from
then on answers each number of a batch with the CPU seconds of a training step. Needs nothing of
this project.
"""

import json
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

warnings.filterwarnings("ignore")  # of PyG and matgl, about newer versions of torch

from matgl.models import MEGNet  # noqa: E402
from torch_geometric.data import Data  # noqa: E402


def read(path: Path) -> tuple[Data, Tensor, Tensor]:
    """Graph, state and target of a batch; matgl sums over the first row of ``edge_index``."""
    arrays = {name: torch.from_numpy(array) for name, array in np.load(path).items()}
    graph = Data(
        node_type=arrays["atomic_numbers"] - 1,
        pos=arrays["positions"],
        edge_index=arrays["edge_index"].flip(0).contiguous(),
        pbc_offshift=arrays["edge_offset"],
        batch=arrays["batch"],
        num_nodes=len(arrays["batch"]),
    )
    graph.num_graphs = len(arrays["target"])
    return graph, torch.zeros(len(arrays["target"]), 2), arrays["target"]


def save(model: MEGNet, graph: Data, state: Tensor, path: Path) -> None:
    """Weights, what its input layers make of elements and state, and predictions."""
    with torch.no_grad():
        np.savez(
            path,
            **{name: value.numpy() for name, value in model.state_dict().items()},
            encoded_elements=model.node_encoder(model.embedding.layer_node_embedding.weight),
            encoded_state=model.state_encoder(torch.zeros(2)),
            prediction=model(graph, state),
        )


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    symbols = json.loads((folder / "symbols.json").read_text(encoding="utf-8"))
    model = MEGNet(element_types=tuple(symbols), cutoff=4.0)
    paths = sorted(folder.glob("batch-*.npz"), key=lambda path: int(path.stem.split("-")[1]))
    batches = [read(path) for path in paths]
    optimizer = torch.optim.Adam(model.parameters(), foreach=True)

    def step(index: int) -> float:
        graph, state, target = batches[index]
        start = time.process_time()
        optimizer.zero_grad()
        nn.functional.mse_loss(model(graph, state), target).backward()
        optimizer.step()
        return time.process_time() - start

    for _ in range(20):
        step(0)
    save(model, *batches[0][:2], folder / "reference.npz")
    names = ("matgl", "torch", "torch_geometric")
    print("ready", json.dumps({name: version(name) for name in names}), flush=True)
    for line in sys.stdin:
        print(step(int(line)), flush=True)


if __name__ == "__main__":
    main()
