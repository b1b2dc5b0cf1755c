"""What a formula alone says of the formation energy: the model of formulas on MP-20.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/formula_model.py

Mean absolute errors on validation and test rows, with 95 % bootstrap intervals, of
`formula-energy-mp20` and of the mean of the training rows, and the share of rows within two of its
deviations.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, write

from crystal_data import open_store
from crystal_data.metrics import bootstrap_interval
from crystal_data.sources import MP20
from crystal_gen import FormulaModel
from crystal_gen.candidates.formula_model import shares_of
from crystal_gen.shipped import FORMULA_MODEL, SHIPPED


def interval(values: np.ndarray) -> dict[str, float]:
    """Mean and 95 % bootstrap interval."""
    found = bootstrap_interval(values, rng=np.random.default_rng(0))
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


def main() -> None:
    """Measures it on validation and test rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS / "formula-model.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(MP20(), on_invalid="skip")
    model = FormulaModel.from_pretrained(SHIPPED.find(FORMULA_MODEL)).eval()
    [name] = model.properties
    mean = float(np.mean(store.targets([name], store.rows_of("train"))[name]))
    results: dict[str, Any] = {"property": name}
    for split in ("val", "test"):
        rows = store.rows_of(split)
        true = np.array(store.targets([name], rows)[name])
        with torch.no_grad():
            shares = shares_of([store.crystal(row).composition for row in rows.tolist()])
            value, log_deviation = (each[:, 0].double().numpy() for each in model(shares))
        scale = float(model.property_std[0])
        errors = np.abs(value * scale + float(model.property_mean[0]) - true)
        within = errors < 2 * np.exp(log_deviation) * scale
        results[split] = {
            "rows": len(rows),
            "mae": interval(errors),
            "mae of the training mean": interval(np.abs(true - mean)),
            "within two deviations": interval(within.astype(float)),
        }
        print(split, results[split])
    write(args.out, results)


if __name__ == "__main__":
    main()
