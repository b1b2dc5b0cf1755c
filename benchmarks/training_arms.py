"""Trains the arms of a comparison alike, and leaves weights, CPU seconds and scores of each."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from crystal_data import CrystalDataModule
from crystal_data.training import EMA, CrystalModule


def fit_arm(
    name: str,
    module: CrystalModule,
    data: CrystalDataModule,
    folder: Path,
    *,
    epochs: int,
    ema: float,
    clip: float,
    validations: int,
    precision: Any = "32-true",
) -> None:
    """Trains one on the CPU; the weights of the last epoch count.

    Args:
        name: Of the arm; what is left are ``name.pt`` and ``name.json``.
        module: What is trained.
        data: What it learns from.
        folder: Of all arms.
        epochs: Passes over the data.
        ema: Decay of the moving average of the weights.
        clip: Greatest norm of a gradient.
        validations: How often the validation crystals are looked at.
        precision: The Trainer's.
    """
    start = time.process_time()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        gradient_clip_val=clip,
        default_root_dir=folder / name,
        check_val_every_n_epoch=max(1, epochs // validations),
        callbacks=[EMA(ema)],
    )
    trainer.fit(module, data)
    seconds = time.process_time() - start
    torch.save(module.model.state_dict(), folder / f"{name}.pt")
    scores = {metric: float(value) for metric, value in trainer.callback_metrics.items()}
    weights = sum(one.numel() for one in module.model.parameters())
    found = {"cpu_s": seconds, "epochs": epochs, "weights": weights, "last epoch": scores}
    (folder / f"{name}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(name, found, flush=True)
