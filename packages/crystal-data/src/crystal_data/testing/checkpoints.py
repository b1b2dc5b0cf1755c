"""Checkpoints without a training."""

from pathlib import Path
from typing import Any

import lightning
import torch

from crystal_data.training.crystal_module import CrystalModule


def write_checkpoint(module: CrystalModule, path: Path) -> Path:
    """Writes what a Trainer would save of a module, but for the state of the training.

    Returns:
        The file.
    """
    checkpoint: dict[str, Any] = {
        "state_dict": module.state_dict(),
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": lightning.__version__,
    }
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)
    return path
