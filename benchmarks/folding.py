"""How many atoms and edges stand for one that is computed, on training rows of public sets.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/folding.py

512 rows of each set, their twelve nearest neighbors and the rest of the last one's shell, four
rounds of color refinement, as CGCNN folds them.
"""

import numpy as np
import torch
from measuring import RESULTS, write

from crystal_data import CrystalBatch, GraphSpec, open_store
from crystal_data.graphs import fold
from crystal_data.sources import MP20, CrystalSource, JarvisSupercon, Perov5

SOURCES = {"mp_20": MP20, "jarvis_supercon": JarvisSupercon, "perov_5": Perov5}
ROWS, NEIGHBORS, ROUNDS = 512, 12, 4


def folded(source: CrystalSource) -> dict[str, float]:
    """Atoms and edges, and how many stand for each that is computed."""
    store = open_store(source, on_invalid="skip")
    rows = np.random.default_rng(0).permutation(store.rows_of("train"))[:ROWS]
    crystals = [store.crystal(row) for row in np.sort(rows).tolist()]
    batch = CrystalBatch.from_crystals(crystals).with_edges(GraphSpec(max_neighbors=NEIGHBORS))
    graph = fold(batch, ROUNDS)
    atoms, edges = batch.num_nodes, batch.edges().edge_index.shape[1]
    return {
        "atoms": atoms,
        "edges": edges,
        "atoms for each": atoms / len(graph.atomic_numbers),
        "edges for each": edges / len(graph.edge_length),
    }


def main() -> None:
    torch.set_num_threads(1)
    found = {name: folded(source()) for name, source in SOURCES.items()}
    for name, numbers in found.items():
        print(name, numbers)
    write(RESULTS / "folding.json", {"rows": ROWS, "rounds": ROUNDS, "sets": found})


if __name__ == "__main__":
    main()
