"""Training steps of the ``alignn`` package, for ``benchmarks/alignn.py``; runs where it is.

    PYTHON benchmarks/references/alignn_step.py FOLDER

Needs alignn, dgl and numpy alone. ``FOLDER`` holds ``batch.npz`` and ``options.json``; weights and
predictions are written there. Then each line on standard input names a variant to make one step
with, and its seconds come back.
"""

import json
import os
import sys
import time
from pathlib import Path

import dgl
import numpy as np
import torch
from alignn.graphs import compute_bond_cosines
from alignn.models.alignn import ALIGNN, ALIGNNConfig
from alignn.models.alignn_atomwise_pure import ALIGNNAtomWisePure, ALIGNNAtomWisePureConfig
from alignn.torch_graph_builder import torchgraph_from_dgl


def graphs(arrays):
    """Graphs and line graphs of single crystals, as the package stores them."""
    atom_ends, edge_ends = np.cumsum(arrays["num_atoms"]), np.cumsum(arrays["num_edges"])
    pairs = []
    for crystal, (last, stop) in enumerate(zip(atom_ends, edge_ends, strict=True)):
        first, start = last - arrays["num_atoms"][crystal], stop - arrays["num_edges"][crystal]
        u, v = torch.tensor(arrays["edge_index"][:, start:stop] - first)
        graph = dgl.graph((u, v), num_nodes=int(last - first))
        graph.ndata["atom_features"] = torch.tensor(arrays["atom_features"][first:last])
        graph.edata["r"] = torch.tensor(arrays["r"][start:stop])
        line_graph = graph.line_graph(shared=True)
        line_graph.apply_edges(compute_bond_cosines)
        pairs.append((graph, line_graph))
    return pairs


def joined(pairs):
    """A batch of graphs, as the package's loader makes it."""
    graph, line_graph = dgl.batch([g for g, _ in pairs]), dgl.batch([lg for _, lg in pairs])
    lattice = torch.zeros(len(pairs), 3, 3)  # which a model without forces does not read
    return graph, line_graph, lattice


def models(options):
    """The published model, and the package's present default, both without forces."""
    sizes = {
        "alignn_layers": options["alignn_layers"],
        "gcn_layers": options["gcn_layers"],
        "atom_input_features": options["atom_features"],
        "embedding_features": options["embedding_width"],
        "hidden_features": options["width"],
    }
    pure = ALIGNNAtomWisePureConfig(
        name="alignn_atomwise_pure", calculate_gradient=False, use_penalty=False,
        gradwise_weight=0.0, **sizes,
    )  # fmt: skip
    torch.manual_seed(0)
    return ALIGNN(ALIGNNConfig(name="alignn", **sizes)), ALIGNNAtomWisePure(pure)


def stepper(predict, model):
    """One training step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def run():
        optimizer.zero_grad()
        predict().abs().mean().backward()
        optimizer.step()

    return run


def main():
    folder = Path(sys.argv[1])
    options = json.loads((folder / "options.json").read_text())
    torch.set_num_threads(options["threads"])
    with np.load(folder / "batch.npz") as file:
        pairs = graphs(file)
    graph, line_graph, lattice = joined(pairs)
    pure_batch = torchgraph_from_dgl(graph), torchgraph_from_dgl(line_graph), lattice
    published, pure = models(options)
    steps = {
        "alignn": stepper(lambda: published((graph, line_graph, lattice)), published),
        "alignn, batch made": stepper(lambda: published(joined(pairs)), published),
        "alignn_atomwise_pure": stepper(lambda: pure(pure_batch)["out"], pure),
    }
    for _ in range(3):
        steps["alignn"]()  # so that norms and their statistics say something
    weights = {name: value.numpy() for name, value in published.state_dict().items()}
    with torch.no_grad():
        predictions = {"eval": published.eval()((graph, line_graph, lattice)).numpy()}
        state = {name: value.clone() for name, value in published.state_dict().items()}
        predictions["train"] = published.train()((graph, line_graph, lattice)).numpy()
        published.load_state_dict(state)
    np.savez(folder / "weights.npz", **weights)
    np.savez(folder / "predictions.npz", **predictions)
    versions = {"torch": torch.__version__, "dgl": dgl.__version__}
    reply = os.fdopen(os.dup(1), "w")
    print(json.dumps({"variants": list(steps), "versions": versions}), file=reply, flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        steps[line.strip()]()
        print(time.perf_counter() - start, file=reply, flush=True)


if __name__ == "__main__":
    main()
