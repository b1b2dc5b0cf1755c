"""Crystals in memory whose properties are linear in the composition: they can be learned."""

from typing import ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from crystal_data.graphs.batch import CrystalBatch


def make_batch(rows: NDArray[np.int64]) -> CrystalBatch:
    """The crystals of some rows, each made from its number alone."""
    numbers, counts, energy = [], [], []
    for row in rows:
        rng = np.random.default_rng(int(row))
        z = rng.integers(1, 9, size=rng.integers(2, 6))
        numbers.append(z)
        counts.append(len(z))
        energy.append(float(np.mean(z**1.5)) - 30.0)
    total = sum(counts)
    labels = np.array(energy)
    gap = np.where(rows % 3 == 0, np.nan, 0.01 * labels)
    return CrystalBatch.from_arrays(
        lattice=np.tile(5.0 * np.eye(3), (len(rows), 1, 1)),
        frac_coords=np.zeros((total, 3)),
        atomic_numbers=np.concatenate(numbers),
        num_atoms=np.array(counts),
        sample_id=np.asarray(rows),
        identifier=[f"toy-{row}" for row in rows],
        targets={"energy": labels, "gap": gap},
    )


class ToyData(LightningDataModule):
    """Splits of 96, 24 and 20 rows.

    Args:
        batch_size: Rows of a batch.
    """

    SPLITS: ClassVar = {
        "train": (0, 96),
        "val": (96, 120),
        "test": (120, 140),
        "predict": (120, 140),
    }
    units: ClassVar = {"energy": "eV/atom", "gap": "eV"}
    metadata: ClassVar = {"source": "toy", "fingerprint": "0" * 64}

    def __init__(self, batch_size: int = 16) -> None:
        super().__init__()
        self.batch_size = batch_size

    def sample_ids(self, split: str) -> NDArray[np.int64]:
        return np.arange(*self.SPLITS[split])

    def train_targets(self) -> dict[str, NDArray[np.float64]]:
        batch = make_batch(self.sample_ids("train"))
        return {name: values.numpy().astype(float) for name, values in batch.targets.items()}

    def _loader(self, split: str) -> DataLoader:
        rows = torch.arange(*self.SPLITS[split]).split(self.batch_size)
        batches = [make_batch(part.numpy()) for part in rows]
        return DataLoader(batches, batch_size=None)

    def train_dataloader(self) -> DataLoader:
        return self._loader("train")

    def val_dataloader(self) -> DataLoader:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader:
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader:
        return self._loader("predict")
