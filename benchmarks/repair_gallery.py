"""Ten test crystals of MP-20 as they are, corrupted and repaired: a picture to look at.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/repair_gallery.py --gan RUNS/gan-0.1-0

The first ten of a shuffle of the test crystals with 3 to 12 atoms; nothing is chosen by its result.
Atoms are displaced by 0.1 of the shortest distance, all atoms of one element are hidden, drawn as
small red dots. Models fill in the likeliest element and move atoms: the shipped one, and a run of
`gan_training.py`. A crystal is a column of four pictures.
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
from crystal_gan.models.repair import centered
from crystal_gan.shipped import REPAIR, SHIPPED

mpl.use("Agg")
import matplotlib.pyplot as plt

NUM = 10
NEAR = 0.08  # of the cell, from a face: atoms are drawn on both sides


class Sketch(NamedTuple):
    """What is drawn of a crystal; hidden atoms have the number 0."""

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]


def sketches(batch: CrystalBatch, moved: torch.Tensor) -> list[Sketch]:
    """The crystals of a batch, hidden atoms and all, without what shifts all atoms alike.

    Args:
        batch: Corrupted or repaired.
        moved: How atoms were displaced, Å; ``[num_atoms, 3]``.
    """
    ends = batch.num_atoms.cumsum(0)[:-1].numpy()
    common = (moved - centered(moved, batch)).double()
    into_cell = torch.linalg.inv(batch.lattice.double())[batch.batch]
    shift = torch.einsum("ni,nij->nj", common, into_cell)
    frac_coords = np.split((batch.frac_coords.double() - shift).numpy(), ends)
    numbers = np.split(batch.atomic_numbers.numpy(), ends)
    return [
        Sketch(*arrays)
        for arrays in zip(batch.lattice.double().numpy(), frac_coords, numbers, strict=True)
    ]


def main() -> None:
    """Repairs, and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gan", required=True, help="a run of gan_training.py")
    parser.add_argument("--out", type=Path, default=RESULTS / "repair-gallery.svg")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(MP20())
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))
    rows = rows[(store.num_atoms[rows] >= 3) & (store.num_atoms[rows] <= 12)][:NUM]
    originals = [store.crystal(int(row)) for row in rows]
    corrupt = corrupted(store, rows, MASKS["element"])
    moved = corrupt.displacement
    assert moved is not None
    pictures = [
        [(crystal, crystal.formula) for crystal in originals],
        [(sketch, "corrupted") for sketch in sketches(corrupt, moved)],
    ]
    for name, kind in ((REPAIR, "pre-trained"), (args.gan, "GAN")):
        model = RepairModel.from_pretrained(SHIPPED.find(name)).eval()
        done, _ = repaired(model, corrupt, whole=True)
        formulas = [crystal.formula for crystal in done.to_crystals()]
        titles = [f"{kind}: {formula}" for formula in formulas]
        pictures.append(list(zip(sketches(done, moved), titles, strict=True)))
        print(kind, *formulas)
    height, across = len(pictures), NUM // 2
    figure, grid = plt.subplots(2 * height, across, figsize=(12, 4.7 * height), squeeze=False)
    for offset, row in enumerate(pictures):
        for place, (sketch, title) in enumerate(row):
            axes = grid[height * (place // across) + offset][place % across]
            drawn(axes, sketch, NEAR)
            axes.set_title(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(args.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
