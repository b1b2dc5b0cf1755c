"""What a model can take and has seen in training, and where a crystal lies beyond it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.elements import SYMBOLS
from crystal_data.errors import Reason, Rejection
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


def unsupported(store: CrystalStore, elements: Collection[int] | None) -> dict[int, list[str]]:
    """Rows of crystals that a model cannot take, with the elements that it does not have.

    Args:
        store: The crystals.
        elements: Atomic numbers that the model has; None for all.
    """
    if elements is None:
        return {}
    is_known = np.isin(np.arange(len(SYMBOLS)), list(elements))
    return _with_others(store, is_known)


def rejected_elements(store: CrystalStore, elements: Collection[int] | None) -> list[Rejection]:
    """The crystals that a model cannot take, as rows of ``rejected.csv``."""
    names, files = store.strings("identifier"), store.strings("file")
    return [
        Rejection(names[row], files[row], "predict", Reason.UNSUPPORTED_ELEMENT, without(symbols))
        for row, symbols in unsupported(store, elements).items()
    ]


def without(symbols: Sequence[str]) -> str:
    """Says which elements a model does not have, and what to do."""
    return (
        f"the model does not know {', '.join(symbols)}; predict this structure with a model whose "
        "element table has it"
    )


def _with_others(store: CrystalStore, is_known: NDArray[np.bool_]) -> dict[int, list[str]]:
    """Rows with elements that are not known, and the symbols of these."""
    numbers, offsets = (np.asarray(store.column(name)) for name in ("atomic_numbers", "offsets"))
    strange = np.add.reduceat(~is_known[numbers], offsets[:-1], dtype=np.int64)
    found = {}
    for row in np.flatnonzero(strange).tolist():
        of_row = np.unique(numbers[offsets[row] : offsets[row + 1]])
        found[row] = [SYMBOLS[z] for z in of_row.tolist() if not is_known[z]]
    return found


def beyond_training(store: CrystalStore, domain: Mapping[str, Any]) -> list[str]:
    """For each crystal, what a model has never seen of it; empty where there is nothing.

    Args:
        store: The crystals.
        domain: As ``training_domain`` gives it; an empty one says nothing of any crystal.
    """
    notes = [""] * len(store)
    if not domain:
        return notes
    unseen = _with_others(store, np.isin(np.array(SYMBOLS), domain["elements"]))
    larger = np.flatnonzero(store.num_atoms > domain["max_atoms"]).tolist()
    for row in sorted({*unseen, *larger}):
        parts = [f"{' '.join(unseen[row])} not in training"] if row in unseen else []
        if store.num_atoms[row] > domain["max_atoms"]:
            parts.append(f"{store.num_atoms[row]} atoms, at most {domain['max_atoms']} in training")
        notes[row] = "; ".join(parts)
    return notes
