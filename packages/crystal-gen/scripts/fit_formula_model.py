"""Trains the model of formulas and puts it into the package.

    CRYSTAL_DATA_HOME=FOLDER python packages/crystal-gen/scripts/fit_formula_model.py

It learns from the training rows of MP-20, a minute of one core. Errors and the share of values
within two deviations are those of validation rows.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from crystal_data import open_store
from crystal_data.sources import MP20
from crystal_data.store import CrystalStore
from crystal_gen.candidates.formula_model import FormulaModel, fit_formula_model, shares_of
from crystal_gen.shipped import FORMULA_MODEL

PRETRAINED = Path(__file__).resolve().parents[1] / "src" / "crystal_gen" / "pretrained"
PROPERTY = "formation_energy_per_atom"  # that the other models of the package know


def main() -> None:
    """Trains, measures and writes the artifact."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    store = open_store(MP20(), on_invalid="skip")
    model = FormulaModel([PROPERTY])
    model.take_units({PROPERTY: store.field(PROPERTY)}, is_fit=True)
    compositions, values = rows_of(store, "train")
    fit_formula_model(model, compositions, {PROPERTY: values})
    metrics = measured(model, *rows_of(store, "val"))
    print(metrics)
    metadata = {
        "data": {"source": "mp_20"},
        "training": described(compositions, values),
        "metrics": metrics,
    }
    print(model.save_pretrained(PRETRAINED / FORMULA_MODEL, metadata=metadata))


def rows_of(store: CrystalStore, split: str) -> tuple[list[dict[str, int]], torch.Tensor]:
    """Compositions and values of a split."""
    rows = store.rows_of(split)
    compositions = [store.crystal(row).composition for row in rows.tolist()]
    return compositions, torch.from_numpy(np.array(store.targets([PROPERTY], rows)[PROPERTY]))


@torch.no_grad()
def measured(
    model: FormulaModel, compositions: list[dict[str, int]], values: torch.Tensor
) -> dict[str, float]:
    """Errors, and how often deviations hold what they promise."""
    value, log_deviation = model(shares_of(compositions))
    misses = (model.normalized({PROPERTY: values}, len(values)) - value)[:, 0]
    within = misses.abs() < 2 * log_deviation.exp()[:, 0]
    return {
        f"val/mae/{PROPERTY}": round(float(misses.abs().mean() * model.property_std[0]), 4),
        "val/within two deviations": round(float(within.double().mean()), 4),
    }


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
