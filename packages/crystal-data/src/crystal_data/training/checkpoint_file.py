"""Reads the file of a checkpoint; what is damaged, or could run code, is refused."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from crystal_data.run_folder import RunError

# What every checkpoint of Lightning holds, and what a training goes on from.
_ALWAYS = ("state_dict", "epoch", "global_step", "pytorch-lightning_version")
_TO_RESUME = ("optimizer_states", "lr_schedulers", "loops", "callbacks")


def read_checkpoint(
    path: str | Path, map_location: Any = None, *, to_resume: bool = False
) -> dict[str, Any]:
    """Content of a checkpoint: tensors and plain values, never pickled objects.

    Args:
        path: The file.
        map_location: Device of the tensors, as ``torch.load`` takes it.
        to_resume: Whether all that a training goes on from has to be there.

    Raises:
        RunError: If it is no checkpoint, something is missing, or one byte is not what was written.
    """
    try:
        # torch.load does not compare the checksums that torch.save writes.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise _refusal(path, "the file is damaged or no checkpoint") from error
    if damaged is not None:
        raise _refusal(path, f"the file is damaged: {damaged} has another checksum")
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of many kinds, by what the archive holds instead
        raise _refusal(path, "it holds more than tensors and plain values") from error
    if not isinstance(content, dict):
        raise _refusal(path, "it is no checkpoint of a training")
    for name in (*_ALWAYS, *(_TO_RESUME if to_resume else ())):
        if name not in content:
            raise _refusal(path, f"it has no {name}")
    return content


def _refusal(path: str | Path, reason: str) -> RunError:
    return RunError(
        f"{path}: not used: {reason}",
        "give another one with --ckpt_path best, last or FILE, or train anew",
    )
