"""Random numbers of an epoch that do not depend on the epochs before it."""

import os
import random

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

_SEED = "PL_GLOBAL_SEED"  # environment variable that seed_everything leaves


class EpochSeed(Callback):
    """Seeds torch, NumPy and Python for each epoch, by ``seed_everything``, epoch and process.

    So dropout and all else that draws from global generators is the same in a training that was
    resumed. Without ``seed_everything`` nothing is seeded.
    """

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seed = os.environ.get(_SEED)
        if seed is None:
            return
        words = np.random.SeedSequence([int(seed), trainer.current_epoch, trainer.global_rank])
        state = words.generate_state(8)
        torch.manual_seed(int.from_bytes(state[:2].tobytes(), "little", signed=True))
        np.random.seed(state[2:6])  # noqa: NPY002 - the generator that libraries share
        random.seed(int.from_bytes(state[6:].tobytes(), "little"))
