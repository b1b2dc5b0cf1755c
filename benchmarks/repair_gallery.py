"""Ten test crystals of MP-20 as they are, corrupted and repaired: a picture to look at.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/repair_gallery.py

The first ten of a shuffle of the test crystals with 3 to 12 atoms; nothing is chosen by its result.
Atoms are displaced by 0.1 of the shortest distance, all atoms of one element are hidden, drawn as
small red dots. The shipped model fills in the likeliest element and moves atoms.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from masked_elements import MASKS, corrupted
from measuring import RESULTS
from numpy.typing import NDArray
from repair_validity import repaired
from structure_gallery import drawn

from crystal_data import CrystalBatch, open_store
from crystal_data.sources import MP20
from crystal_gan import RepairModel
from crystal_gan.shipped import REPAIR, SHIPPED

mpl.use("Agg")
import matplotlib.pyplot as plt

NUM = 10


class Sketch(NamedTuple):
    """What is drawn of a crystal; hidden atoms have the number 0."""

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]


def sketches(batch: CrystalBatch) -> list[Sketch]:
    """The crystals of a batch, hidden atoms and all."""
    ends = batch.num_atoms.cumsum(0)[:-1].numpy()
    frac_coords = np.split(batch.frac_coords.double().numpy(), ends)
    numbers = np.split(batch.atomic_numbers.numpy(), ends)
    return [
        Sketch(*arrays)
        for arrays in zip(batch.lattice.double().numpy(), frac_coords, numbers, strict=True)
    ]


def main() -> None:
    """Repairs, and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS / "repair-gallery.svg")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(MP20())
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))
    rows = rows[(store.num_atoms[rows] >= 3) & (store.num_atoms[rows] <= 12)][:NUM]
    model = RepairModel.from_pretrained(SHIPPED.find(REPAIR)).eval()
    corrupt = corrupted(store, rows, MASKS["element"])
    done, _ = repaired(model, corrupt, whole=True)
    originals = [store.crystal(int(row)) for row in rows]
    figure, grid = plt.subplots(6, 5, figsize=(12, 14), squeeze=False)
    for place, (original, before, after, made) in enumerate(
        zip(originals, sketches(corrupt), sketches(done), done.to_crystals(), strict=True)
    ):
        top, column = 3 * (place // 5), place % 5
        for offset, (sketch, name) in enumerate(
            ((original, original.formula), (before, "corrupted"), (after, made.formula))
        ):
            axes = grid[top + offset][column]
            drawn(axes, sketch)
            axes.set_title(name, fontsize=9)
    figure.tight_layout()
    figure.savefig(args.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
