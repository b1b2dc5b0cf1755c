"""The run that a Trainer belongs to, and what its processes may do in it."""

from pathlib import Path

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer

from crystal_data.run_folder import RunFolder


def is_first_process() -> bool:
    """Whether this process prints and writes, known before the processes have met."""
    return getattr(rank_zero_only, "rank", 0) == 0


def run_of(trainer: Trainer) -> RunFolder:
    """Folder of the run, the same on all processes; all of them must ask."""
    return RunFolder(Path(trainer.strategy.broadcast(str(trainer.default_root_dir))))
