"""Which classes a config or a command line may name; nothing else is imported or called.

A config is a file that people download and pass on. The parser imports what it names by
``class_path`` and calls it, so without a rule a config could run any function of any library.
"""

import inspect
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from lightning.fabric.plugins import CheckpointIO, ClusterEnvironment
from lightning.pytorch import Callback, LightningDataModule
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.plugins import LayerSync, Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from crystal_data.artifacts.registry import PACKAGES
from crystal_data.training.allowed_paths import LIBRARIES, ROOTS, AllowedPaths, NotAllowedError
from crystal_data.training.jsonargparse_internals import checked_imports
from crystal_data.training.short_names import full_path

# Options without a declared type take any class. Some classes of these libraries start processes
# or read pickles when they are made, so only those are allowed that models and trainers consist of.
_KINDS = (
    nn.Module,  # LightningModule and torchmetrics.Metric too
    Optimizer,
    LRScheduler,
    LightningDataModule,
    Callback,
    Logger,
    Profiler,
    Accelerator,
    Strategy,
    Precision,
    LayerSync,
    CheckpointIO,
    ClusterEnvironment,
)
_PUBLISHED = "published"  # the second constructor that some of our models have


class Allowed(AllowedPaths):
    """The rule for names, and for what they lead to."""

    def check_object(self, path: str, found: Any) -> None:
        """Raises unless what a path led to may be used.

        Raises:
            NotAllowedError: With the path, the reason and the remedy.
        """
        home = str(getattr(found, "__module__", None) or path.rpartition(".")[0])
        root = home.partition(".")[0]
        if self.is_added(home) or _is_published(found):
            return
        if not inspect.isclass(found):
            self.refuse(path, "it is no class; ", home)
        if root not in ROOTS:
            self.refuse(path, f"it is {home}.{found.__qualname__}; ", home)
        if root in LIBRARIES and not issubclass(found, _KINDS):
            self.refuse(path, "models and trainers do not consist of such objects; ", home)

    def check_config(self, config: Any, place: str = "") -> None:
        """Checks every class path in a config, wherever it stands.

        Args:
            config: Mappings and lists.
            place: Dotted option that they are the value of.

        Raises:
            NotAllowedError: With the first that may not be used, and where it stands.
        """
        items: Iterable[tuple[Any, Any]] = ()
        if isinstance(config, Mapping):
            items = config.items()
        elif isinstance(config, list | tuple):
            items = enumerate(config)
        for key, value in items:
            inner = f"{place}.{key}" if place else str(key)
            if key == "class_path" and isinstance(value, str):
                try:
                    self.check_path(value)
                except NotAllowedError as error:
                    raise NotAllowedError(f"{inner}: {error}") from error
            self.check_config(value, inner)

    def in_force(self) -> AbstractContextManager[None]:
        """A block within which the parser imports nothing else."""
        return checked_imports(full_path, self.check_path, self.check_object)


def _is_published(found: Any) -> bool:
    owner = getattr(found, "__self__", None)
    return (
        inspect.ismethod(found)
        and found.__name__ == _PUBLISHED
        and inspect.isclass(owner)
        and {owner.__module__.partition(".")[0], found.__module__.partition(".")[0]} <= {*PACKAGES}
    )
