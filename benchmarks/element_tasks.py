"""Tasks with few labels for tables of elements, and the plainest table that labels give."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from crystal_data import TableSource, open_store
from crystal_data.sources import MP20, CrystalSource, JarvisSupercon, data_home
from crystal_data.store import CrystalStore
from crystal_embed import ElementTable

MAX_ATOMS = 20  # in a cell
NUM_ELEMENTS = 100  # hydrogen to fermium
NUM_VAL, NUM_TEST = 150, 300  # of JARVIS, whose own splits are too small
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """A property, and rows to draw labels from, to choose by and to test on."""

    target: str
    store: CrystalStore
    train: Rows
    val: Rows
    test: Rows


def _oxides() -> CrystalSource:
    folder = data_home() / "mp_oxides"
    files = {split: str(folder / f"{split}.csv.gz") for split in ("train", "val", "test")}
    units = {"formation_energy_per_atom": "eV/atom", "band_gap": "eV"}
    return TableSource(**files, name="mp_oxides", units=units)


def _of_splits(source: Callable[[], CrystalSource], target: str) -> Task:
    """Rows of a source's own splits, at most 500 to validate."""
    store = open_store(source(), on_invalid="skip")
    small = np.flatnonzero(store.num_atoms <= MAX_ATOMS)
    rows = {
        split: np.intersect1d(store.rows_of(split), small) for split in ("train", "val", "test")
    }
    val = np.random.default_rng(0).permutation(rows["val"])[:500]
    return Task(target, store, rows["train"], val, rows["test"])


def _shear_moduli() -> Task:
    """JARVIS's metals, parted so that a formula stands in one part alone."""
    store, target = open_store(JarvisSupercon()), "shear_modulus_gv"
    values = np.array(store.targets([target], np.arange(len(store)))[target])
    rows = np.flatnonzero(np.isfinite(values) & (store.num_atoms <= MAX_ATOMS))
    formulas = np.array([store.crystal(int(row)).formula for row in rows])
    names, of_row = np.unique(formulas, return_inverse=True)
    place = np.random.default_rng(0).permutation(len(names))[of_row]
    order = np.argsort(place, kind="stable")
    rows, place = rows[order], place[order]
    first = np.searchsorted(place, place)  # the first row of the same formula
    val, test = first < NUM_VAL, first < NUM_VAL + NUM_TEST
    return Task(target, store, rows[~test], rows[val], rows[test & ~val])


TASKS: dict[str, Callable[[], Task]] = {
    "energies of MP-20": partial(_of_splits, MP20, "formation_energy_per_atom"),
    "gaps of MP-20": partial(_of_splits, MP20, "band_gap"),
    "energies of oxides": partial(_of_splits, _oxides, "formation_energy_per_atom"),
    "gaps of oxides": partial(_of_splits, _oxides, "band_gap"),
    "shear moduli": _shear_moduli,
}


def label_coefficients() -> ElementTable:
    """What labels say of elements without a network: least squares of labels by shares of elements.

    Three numbers for each element: those of the formation energy, the band gap and the energy above
    the hull of MP-20's training crystals.
    """
    store = open_store(MP20())
    rows = store.rows_of("train")
    batch = store.batch(rows)
    shares = np.zeros((len(rows), NUM_ELEMENTS + 1))
    np.add.at(shares, (batch.batch.numpy(), batch.atomic_numbers.numpy()), 1.0)
    shares = (shares / shares.sum(axis=1, keepdims=True))[:, 1:]
    names = ["formation_energy_per_atom", "band_gap", "e_above_hull"]
    labels = np.stack([np.array(values) for values in store.targets(names, rows).values()], axis=1)
    normal = shares.T @ shares + 1e-2 * np.eye(NUM_ELEMENTS)  # an element that is nowhere gets 0
    found = np.linalg.solve(normal, shares.T @ (labels - labels.mean(axis=0)))
    return ElementTable("coefficients", np.arange(1, NUM_ELEMENTS + 1), found.astype(np.float32))
