"""Which elements the repairing model would put in the place of which: a matrix, and its likeness.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/substitutions.py

In each of 1,000 test crystals of MP-20, displaced by 0.1 of the shortest distance, all atoms of one
element are hidden. A row of the matrix is the mean probability that the model gives the elements in
the place of one element. For each row with at least five crystals, the other elements are ranked by
it, and Spearman's rank correlation is measured with pymatgen's substitution probabilities, with
nearness in the periodic table (minus the distance in groups and periods), and with how frequent
elements are in the training crystals, which any model learns first. Means over rows, with 95 %
bootstrap intervals. The picture has the elements by group, then by period.
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from masked_elements import BATCH, MASKS, NUM_ELEMENTS, corrupted, substitution_matrix
from measuring import RESULTS, write
from numpy.typing import NDArray
from scipy.stats import spearmanr

from crystal_data import SYMBOLS, open_store
from crystal_data.metrics import bootstrap_interval
from crystal_data.sources import MP20
from crystal_data.store import CrystalStore
from crystal_gan import RepairModel
from crystal_gan.shipped import REPAIR, SHIPPED

mpl.use("Agg")
import matplotlib.pyplot as plt

LEAST = 5  # crystals of a row


@torch.inference_mode()
def probabilities(
    store: CrystalStore, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The hidden element of each crystal, and the model's probabilities of all, ``[n, 118]``."""
    model = RepairModel.from_pretrained(SHIPPED.find(REPAIR)).eval()
    elements, values = [], []
    for part in np.split(rows, range(BATCH, len(rows), BATCH)):
        batch = corrupted(store, part, MASKS["element"]).with_edges(model.graph_spec).float32()
        hidden = batch.masked_sites
        logs = model(batch).logits.log_softmax(1)[hidden]
        crystal = batch.batch[hidden]
        total = torch.zeros(len(part), NUM_ELEMENTS).index_add(0, crystal, logs)
        count = torch.bincount(crystal, minlength=len(part))
        values.append((total / count[:, None]).softmax(1).double().numpy())
        first = torch.searchsorted(crystal, torch.arange(len(part)))
        elements.append(batch.true_atomic_numbers[hidden][first].numpy())
    return np.concatenate(elements), np.concatenate(values)


def places() -> NDArray[np.float64]:
    """Group and period of each element, lanthanides and actinides in group 3; ``[118, 2]``."""
    from pymatgen.core import Element

    elements = [Element(symbol) for symbol in SYMBOLS[1:]]
    return np.array([(element.group, element.row) for element in elements], dtype=float)


def main() -> None:
    """Measures, and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000, help="of the test split, drawn by a seed")
    parser.add_argument("--out", type=Path, default=RESULTS / "substitutions.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(MP20())
    test = np.random.default_rng(0).permutation(store.rows_of("test"))[: args.rows]
    elements, values = probabilities(store, test)
    train = [np.unique(store.crystal(int(r)).atomic_numbers) for r in store.rows_of("train")]
    frequency = np.bincount(np.concatenate(train) - 1, minlength=NUM_ELEMENTS)
    seen = np.flatnonzero(frequency)
    shown = [z - 1 for z in np.unique(elements).tolist() if (elements == z).sum() >= LEAST]
    matrix = np.stack([values[elements == row + 1].mean(0) for row in shown])

    place, known = places(), substitution_matrix()
    distance = np.linalg.norm(place[:, None] - place[None], axis=2)
    correlations: dict[str, list[float]] = {"pymatgen": [], "periodic table": [], "frequency": []}
    for row, given in zip(shown, matrix, strict=True):
        others = seen[seen != row]
        for name, like in (
            ("pymatgen", known[row]),
            ("periodic table", -distance[row]),
            ("frequency", frequency),
        ):
            # pymatgen knows nothing of some elements, among them the noble gases.
            if np.ptp(like[others]) > 0:
                correlations[name].append(spearmanr(given[others], like[others]).statistic)
    rng = np.random.default_rng(0)
    results: dict[str, Any] = {"crystals": len(test), "rows": len(shown)}
    for name, own in correlations.items():
        interval = bootstrap_interval(own, rng=rng)
        results[name] = [interval.estimate, interval.low, interval.high]
    results["likeliest"] = {
        SYMBOLS[row + 1]: [SYMBOLS[z + 1] for z in np.argsort(-own)[:5]]
        for row, own in zip(shown, matrix, strict=True)
    }
    write(args.out, results)
    print(results)
    drawn(matrix, np.array(shown), place, args.out.with_suffix(".svg"))


def drawn(
    matrix: NDArray[np.float64], shown: NDArray[np.int64], place: NDArray[np.float64], path: Path
) -> None:
    """The matrix by group, then by period."""
    order = np.lexsort((shown, place[shown, 1], place[shown, 0]))
    names = [SYMBOLS[z + 1] for z in shown[order]]
    figure, axes = plt.subplots(figsize=(11, 10))
    logs = np.log10(matrix[order][:, shown[order]].clip(min=1e-4))
    image = axes.imshow(logs, cmap="viridis", interpolation="none")
    axes.set_xticks(range(len(names)), names, fontsize=6, rotation=90)
    axes.set_yticks(range(len(names)), names, fontsize=6)
    axes.set_xlabel("element that the model puts there")
    axes.set_ylabel("element that was hidden")
    figure.colorbar(image, label="log10 of the mean probability", shrink=0.8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
