"""Ten made crystals beside the true ones, three of them failures: a picture to look at.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/structure_gallery.py FOLDER_OF_STRUCTURES

Reads what `benchmarks/structures.py` kept of one model: the best of its samples by score. The
choice is made by chance: of each of seven kinds, by crystal system, one that matches, and three
that do not. Both crystals of a pair are drawn in the conventional cell of the truth's symmetry and
of their own, seen a little from above.
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from measuring import RESULTS
from structures import best

from crystal_data import open_store
from crystal_data.crystal import Crystal
from crystal_data.generation import EvaluationSettings, evaluate_generated, read_generated
from crystal_data.metrics import MatchSettings
from crystal_data.sources import MP20
from crystal_data.symmetry import CRYSTAL_SYSTEMS, SymmetricCrystal

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

SYMPREC = 0.1
NUM_FAILURES = 3
VIEW = np.array([[0.94, -0.16, 0.0], [0.08, 0.30, 0.95]])  # rows: right and up on the page


def drawn(axes: Axes, crystal: Crystal, near: float = 1e-6) -> None:
    """Atoms of one cell, those on its faces repeated, and the cell's edges.

    Args:
        axes: Where to.
        crystal: Its lattice, atoms and elements are drawn.
        near: How far atoms may be from a face that are on it, as a share of the cell.
    """
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors

    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 3)
    depth = np.cross(VIEW[0], VIEW[1])
    for first in corners:
        for axis in range(3):
            if first[axis] == 0:
                edge = np.stack([first, first + np.eye(3)[axis]]) @ crystal.lattice @ VIEW.T
                axes.plot(*edge.T, color="0.6", linewidth=0.7, zorder=0)
    frac = crystal.frac_coords % 1.0
    frac = np.where(frac > 1.0 - near, frac - 1.0, frac)
    images = np.concatenate([frac + corner for corner in corners])
    numbers = np.tile(crystal.atomic_numbers, len(corners))
    inside = (images < 1.0 + near).all(1)
    points = images[inside] @ crystal.lattice
    numbers = numbers[inside]
    for place in np.argsort(points @ depth):
        x, y = VIEW @ points[place]
        number = numbers[place]
        circle = plt.Circle(
            (x, y),
            0.45 * covalent_radii[number],
            facecolor=jmol_colors[number],
            edgecolor="0.2",
            linewidth=0.5,
        )
        axes.add_patch(circle)
    axes.set_aspect("equal")
    axes.autoscale_view()
    axes.axis("off")


def standard(crystal: Crystal) -> tuple[Crystal, str]:
    """The conventional cell, and its group's symbol."""
    symmetric = SymmetricCrystal.from_crystal(crystal, SYMPREC)
    return symmetric.to_crystal(), symmetric.space_group_symbol


def main() -> None:
    """Chooses, and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "structures-gallery.svg")
    args = parser.parse_args()
    store = open_store(MP20(), on_invalid="skip")
    crystals = {x.identifier: x for x in map(store.crystal, store.rows_of("test").tolist())}
    chosen = [x for x in best(list(read_generated(args.folder)), 10**6) if x.crystal is not None]
    references = [crystals[each.request] for each in chosen]
    settings = EvaluationSettings(
        num_samples=(1,), filters=("none",), symprec=SYMPREC, matching=MatchSettings(num_workers=0)
    )
    evaluation = evaluate_generated(chosen, references, settings)
    matches, distances = (evaluation.rows[f"{x}@1/none"] for x in ("match_rate", "rmse"))
    order = np.random.default_rng(args.seed).permutation(len(chosen))
    systems = [SymmetricCrystal.from_crystal(x, SYMPREC).crystal_system for x in references]
    shown = []
    for system in CRYSTAL_SYSTEMS:
        shown += [i for i in order if matches[i] and systems[i] == system][:1]
    shown += [i for i in order if not matches[i]][:NUM_FAILURES]
    figure, grid = plt.subplots(4, 5, figsize=(13, 11), squeeze=False)
    for place, i in enumerate(shown):
        row, column = divmod(place, 5)
        made, true = chosen[i].crystal, references[i]
        verdict = f"match, {distances[i]:.3f}" if matches[i] else "no match"
        for offset, (crystal, name) in enumerate(((true, "true"), (made, f"made: {verdict}"))):
            cell, symbol = standard(crystal)
            axes = grid[2 * row + offset][column]
            drawn(axes, cell)
            axes.set_title(f"{name}\n{true.formula}  {symbol}", fontsize=9)
    figure.tight_layout()
    figure.savefig(args.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
