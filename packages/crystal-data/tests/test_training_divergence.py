"""A training whose loss is no number ends with one error, and leaves nothing that looks trained."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from crystal_data import CrystalDataModule
from crystal_data.field import TurnsAs
from crystal_data.io import Record
from crystal_data.sources import CrystalSource
from crystal_data.testing import CrystalTensors, random_crystals
from crystal_data.training import DivergedError, PropertyModule
from crystal_data.training.callbacks import ArtifactExport


class Stresses(CrystalSource):
    """Random crystals with random tensors."""

    name = "stresses"
    turns_as: ClassVar[dict[str, TurnsAs]] = {"stress": "tensor"}

    def fingerprint(self) -> str:
        return "stresses"

    def records(self):
        rng = np.random.default_rng(0)
        for crystal in random_crystals(24, seed=0):
            stress = rng.normal(size=9)
            yield Record(crystal.identifier, crystal, "crystal", {"stress": stress})


def fit(folder, rate: float, *callbacks, **options) -> Trainer:
    module = PropertyModule(
        CrystalTensors(4), "stress", optimizer=lambda weights: torch.optim.SGD(weights, lr=rate)
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=4,
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **options,
    )
    trainer.fit(module, CrystalDataModule(Stresses(), batch_size=4, num_workers=0))
    return trainer


@pytest.mark.parametrize("options", [{}, {"val_check_interval": 2}])
def test_a_loss_that_is_no_number_ends_the_training(tmp_path, options):
    checkpoints = ModelCheckpoint(tmp_path / "checkpoints", save_last=True)
    with pytest.raises(
        DivergedError, match=r"in epoch 1; .* is too large \(it is 1e\+30\)"
    ) as error:
        fit(tmp_path, 1e30, checkpoints, ArtifactExport(), **options)
    assert "model.optimizer.lr" in error.value.remedy
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not (tmp_path / "artifact").exists()


def test_a_training_that_does_not_diverge_goes_to_its_end(tmp_path):
    assert fit(tmp_path, 1e-4, enable_checkpointing=False).current_epoch == 4
