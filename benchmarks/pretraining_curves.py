"""Draws how well networks repair validation crystals after each epoch of their training.

    python benchmarks/pretraining_curves.py MP-20=runs/repair "three sets"=runs/joined

Each run is one of `crystal-gan fit` with ``pretrain-mp20`` or ``pretrain-joined``, whose own
validation crystals are scored. The numbers are those of ``metrics.csv``.
"""

import argparse
import csv
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from measuring import RESULTS

PANELS = {
    "val/masked_accuracy": "hidden elements right",
    "val/masked_top5": "hidden elements among five",
    "val/position_error": "distance from the true position, Å",
}


def curve(run: Path, name: str) -> list[float]:
    """One number after each epoch."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--out", type=Path, default=RESULTS / "pretraining-curves.svg")
    args = parser.parse_args()
    mpl.rcParams["svg.hashsalt"] = "pretraining-curves"
    figure, all_axes = plt.subplots(1, len(PANELS), figsize=(12, 3.6), layout="constrained")
    for axes, (column, label) in zip(all_axes, PANELS.items(), strict=True):
        for name, _, folder in (given.partition("=") for given in args.runs):
            values = curve(Path(folder), column)
            axes.plot(range(1, len(values) + 1), values, label=name)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
    all_axes[0].legend(frameon=False, loc="lower right")
    figure.savefig(args.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
