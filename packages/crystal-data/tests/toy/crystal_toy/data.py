"""Crystals whose properties are linear in the composition: they can be learned."""

import math
from collections.abc import Iterator

import numpy as np

from crystal_data.crystal import Crystal
from crystal_data.io.record import Record
from crystal_data.loading.datamodule import CrystalDataModule
from crystal_data.sources.base import CrystalSource

SPLITS = {"train": range(96), "val": range(96, 120), "test": range(120, 140)}


def crystal(row: int) -> Crystal:
    """A chain of atoms, made from its number alone."""
    rng = np.random.default_rng(row)
    numbers = rng.integers(1, 9, size=rng.integers(2, 6))
    coords = np.outer(np.arange(len(numbers)), [0.2, 0.0, 0.0])
    return Crystal(5.0 * np.eye(3), coords, numbers, f"toy-{row}")


class ToySource(CrystalSource):
    """An energy for each crystal, a gap for two of three."""

    @property
    def name(self) -> str:
        return "toy"

    @property
    def units(self) -> dict[str, str]:
        return {"energy": "eV/atom", "gap": "eV"}

    def fingerprint(self) -> str:
        return "0" * 64

    def records(self) -> Iterator[Record]:
        for split, rows in SPLITS.items():
            for row in rows:
                one = crystal(row)
                energy = float(np.mean(one.atomic_numbers**1.5)) - 30.0
                gap = math.nan if row % 3 == 0 else 0.01 * energy
                yield Record(one.identifier, one, "crystal", {"energy": energy, "gap": gap}, split)


class ToyData(CrystalDataModule):
    """The test rows are those that are predicted too.

    Args:
        batch_size: Rows of a batch.
    """

    def __init__(self, batch_size: int = 16) -> None:
        super().__init__(ToySource(), batch_size=batch_size, predict_split="test")
