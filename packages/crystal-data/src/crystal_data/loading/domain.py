"""What a model has seen in training, and where a crystal lies beyond it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.elements import SYMBOLS
from crystal_data.store.store import CrystalStore


def training_domain(
    store: CrystalStore, rows: NDArray[np.int64], targets: Sequence[str]
) -> dict[str, Any]:
    """Elements, sizes and labels of the training rows, as an artifact's metadata keeps them.

    Args:
        store: Where the rows are.
        rows: What was trained on.
        targets: Columns with one number for each crystal; others are left out.

    Returns:
        Plain JSON: ``num_crystals``, ``elements`` (symbols), ``max_atoms`` and ``targets``: name
        to ``min``, ``max``, ``mean_absolute_deviation`` and ``num_labels``.
    """
    is_trained = np.zeros(len(store), dtype=bool)
    is_trained[rows] = True
    numbers = np.asarray(store.column("atomic_numbers"))
    seen = np.unique(numbers[np.repeat(is_trained, store.num_atoms)])
    labels = store.targets([name for name in targets if store.kind(name) == "scalar"], rows)
    return {
        "num_crystals": len(rows),
        "elements": [SYMBOLS[z] for z in seen.tolist()],
        "max_atoms": int(store.num_atoms[rows].max()),
        "targets": {name: _spread(values) for name, values in labels.items()},
    }


def _spread(values: NDArray[np.float64]) -> dict[str, Any]:
    known = values[np.isfinite(values)]
    return {
        "min": float(known.min()),
        "max": float(known.max()),
        "mean_absolute_deviation": float(np.abs(known - known.mean()).mean()),
        "num_labels": len(known),
    }


def beyond_training(store: CrystalStore, domain: Mapping[str, Any]) -> list[str]:
    """For each crystal, what a model has never seen of it; empty where there is nothing.

    Args:
        store: The crystals.
        domain: As ``training_domain`` gives it; an empty one says nothing of any crystal.
    """
    notes = [""] * len(store)
    if not domain:
        return notes
    is_seen = np.isin(np.array(SYMBOLS), domain["elements"])
    numbers, offsets = (np.asarray(store.column(name)) for name in ("atomic_numbers", "offsets"))
    strange = np.add.reduceat(~is_seen[numbers], offsets[:-1], dtype=np.int64)
    for row in np.flatnonzero((strange > 0) | (store.num_atoms > domain["max_atoms"])).tolist():
        of_row = numbers[offsets[row] : offsets[row + 1]]
        unseen = [SYMBOLS[z] for z in np.unique(of_row).tolist() if not is_seen[z]]
        parts = [f"{' '.join(unseen)} not in training"] if unseen else []
        if store.num_atoms[row] > domain["max_atoms"]:
            parts.append(f"{store.num_atoms[row]} atoms, at most {domain['max_atoms']} in training")
        notes[row] = "; ".join(parts)
    return notes
