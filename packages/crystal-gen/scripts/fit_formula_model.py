"""Trains the model of formulas and puts it into the package.

    CRYSTAL_DATA_HOME=FOLDER python packages/crystal-gen/scripts/fit_formula_model.py

It learns from the training rows of MP-20, half a minute of one core. Its errors are measured by
`benchmarks/formula_model.py`; `scripts/cards.py` writes them into the card.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from crystal_data import open_store
from crystal_data.sources import MP20
from crystal_data.store import CrystalStore
from crystal_gen.candidates.formula_model import FormulaModel, fit_formula_model
from crystal_gen.shipped import FORMULA_MODEL

PRETRAINED = Path(__file__).resolve().parents[1] / "src" / "crystal_gen" / "pretrained"
PROPERTY = "formation_energy_per_atom"  # that the other models of the package know


def main() -> None:
    """Trains and writes the artifact."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    store = open_store(MP20(), on_invalid="skip")
    model = FormulaModel([PROPERTY])
    model.take_units({PROPERTY: store.field(PROPERTY)}, is_fit=True)
    compositions, values = rows_of(store, "train")
    fit_formula_model(model, compositions, {PROPERTY: values})
    metadata = {
        "data": {"source": "mp_20"},
        "training": described(compositions, values),
    }
    print(model.save_pretrained(PRETRAINED / FORMULA_MODEL, metadata=metadata))


def rows_of(store: CrystalStore, split: str) -> tuple[list[dict[str, int]], torch.Tensor]:
    """Compositions and values of a split."""
    rows = store.rows_of(split)
    compositions = [store.crystal(row).composition for row in rows.tolist()]
    return compositions, torch.from_numpy(np.array(store.targets([PROPERTY], rows)[PROPERTY]))


def described(compositions: list[dict[str, int]], values: torch.Tensor) -> dict[str, Any]:
    """The training data, as artifacts describe them."""
    known = values.double()
    return {
        "num_crystals": len(compositions),
        "elements": sorted({symbol for each in compositions for symbol in each}),
        "max_atoms": max(sum(each.values()) for each in compositions),
        "targets": {
            PROPERTY: {
                "min": float(known.min()),
                "max": float(known.max()),
                "mean_absolute_deviation": float((known - known.mean()).abs().mean()),
                "num_labels": len(known),
            }
        },
    }


if __name__ == "__main__":
    main()
