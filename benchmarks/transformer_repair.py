"""Trains networks that are not equivariant to repair crystals, for `masked_elements.py`.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/transformer_repair.py RUNS

The crystal transformer of `crystal-embed` has about as many weights as ``repair-mp20``, the same
head for elements, and the same crystals, masks, displacements and loss. ``periodic`` sees distances
to all images: its vectors of atoms are invariant, so that elements alone can be repaired.
``cartesian`` sees positions, in random orientations, and repairs them too. As ``repair-mp20``, each
trains for about twelve minutes of one core, its learning rate ending at zero; weights, CPU seconds
and scores on the validation crystals of each epoch are left in RUNS.
"""

import argparse
from pathlib import Path

import torch
from lightning.pytorch import seed_everything
from torch import Tensor, nn
from training_arms import fit_arm
from typing_extensions import override

from crystal_data import CrystalBatch, CrystalDataModule
from crystal_data.sources import MP20
from crystal_data.training import WarmupCosine
from crystal_data.transforms import (
    MaskAtoms,
    PerturbAtoms,
    RandomReflection,
    RandomRotation,
    RandomTranslation,
)
from crystal_embed import CrystalTransformer
from crystal_gan import RepairModule
from crystal_gan.equiformer import NUM_SPECIES
from crystal_gan.models.repair import Repair, centered

# Epochs that take as long as those of repair-mp20 did.
EPOCHS = {"periodic": 72, "cartesian": 115}
RATE, BATCH = 0.002, 48


class TransformerRepair(CrystalTransformer):
    """The crystal transformer with the heads of ``crystal_gan.RepairModel``.

    Args:
        geometry: ``periodic`` or ``cartesian``.
    """

    strain_head = condition = None

    def __init__(self, geometry: str) -> None:
        super().__init__(
            element_width=32,
            num_layers=3,
            num_heads=4,
            feedforward_width=64,
            dropout=0.0,
            geometry=geometry,
        )
        self.heads = nn.ModuleList()
        self.element_head = nn.Sequential(
            nn.Linear(self.width, self.width), nn.SiLU(), nn.Linear(self.width, NUM_SPECIES - 1)
        )
        self.repairs_positions = geometry == "cartesian"
        self.displacement_head = nn.Linear(self.width, 3) if self.repairs_positions else None

    @override
    def forward(self, batch: CrystalBatch) -> Repair:
        atoms = self.encode_atoms(batch)
        return Repair(self.element_head(atoms), self._displacement(atoms, batch))

    def _displacement(self, atoms: Tensor, batch: CrystalBatch) -> Tensor:
        if self.displacement_head is None:
            return torch.zeros_like(batch.frac_coords)
        return centered(0.2 * self.displacement_head(atoms), batch)

    @classmethod
    def load(cls, folder: Path, geometry: str) -> "TransformerRepair":
        """What ``main`` left."""
        model = cls(geometry)
        model.load_state_dict(torch.load(folder / f"{geometry}.pt", weights_only=True))
        return model.eval()


def train(geometry: str, epochs: int, folder: Path) -> None:
    """Trains one, and leaves its weights and what it took."""
    seed_everything(0)
    model = TransformerRepair(geometry)
    module = RepairModule(
        model,
        [MaskAtoms(), PerturbAtoms(0.1)],
        optimizer=lambda p: torch.optim.AdamW(p, lr=RATE, weight_decay=0.01),
        lr_scheduler=WarmupCosine,
    )
    moves = [RandomTranslation(), RandomRotation(), RandomReflection()]
    data = CrystalDataModule(
        MP20(),
        exclude=["val", "test"],
        batch_size=BATCH,
        length_buckets=True,
        transforms=moves if model.repairs_positions else [],
        seed=0,
    )
    fit_arm(geometry, module, data, folder, epochs=epochs, ema=0.995, clip=10.0, validations=4)


def main() -> None:
    """Trains both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="a folder")
    parser.add_argument("--geometries", nargs="+", choices=EPOCHS, default=list(EPOCHS))
    parser.add_argument("--epochs", type=int, help="in place of those that take twelve minutes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.runs.mkdir(parents=True, exist_ok=True)
    for geometry in args.geometries:
        train(geometry, args.epochs or EPOCHS[geometry], args.runs)


if __name__ == "__main__":
    main()
