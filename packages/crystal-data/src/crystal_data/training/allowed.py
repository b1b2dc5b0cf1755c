"""Which classes a config or a command line may name; nothing else is imported or called.

A config is a file that people download and pass on. The parser imports what it names by
``class_path`` and calls it, so without a rule a config could run any function of any library.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn

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
from crystal_data.errors import CrystalError
from crystal_data.training.jsonargparse_internals import checked_imports

OPTION = "--allow-module"
_LIBRARIES = ("torch", "lightning", "torchmetrics")
_ROOTS = (*PACKAGES, "crystal_apps", *_LIBRARIES)
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


class NotAllowedError(CrystalError, ImportError, ValueError):
    """A class path that a config or a command line may not name.

    The parser takes both kinds of error for those of a value that does not fit.
    """


class Allowed:
    """The rule, with the modules that the user has added to it.

    Args:
        modules: Names of modules, such as ``my_models``; all that is defined in or below one of
            them may be named.

    Attributes:
        refusals: Message to each class path that was refused.
    """

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self._modules = tuple(modules)
        self.refusals: dict[str, str] = {}

    def check_path(self, path: str) -> None:
        """Raises unless the module that a path names may be imported; to be called before that.

        Raises:
            NotAllowedError: With the path, the reason and the remedy.
        """
        root, dot, _ = path.partition(".")
        if dot and root not in _ROOTS and not self._is_added(path):
            self._refuse(path, "", root)

    def check_object(self, path: str, found: Any) -> None:
        """Raises unless what a path led to may be used.

        Raises:
            NotAllowedError: With the path, the reason and the remedy.
        """
        home = str(getattr(found, "__module__", None) or path.rpartition(".")[0])
        root = home.partition(".")[0]
        if self._is_added(home) or _is_published(found):
            return
        if not inspect.isclass(found):
            self._refuse(path, "it is no class; ", home)
        if root not in _ROOTS:
            self._refuse(path, f"it is {home}.{found.__qualname__}; ", home)
        if root in _LIBRARIES and not issubclass(found, _KINDS):
            self._refuse(path, "models and trainers do not consist of such objects; ", home)

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

    def refusal_in(self, message: str) -> str | None:
        """The refusal that a message of the parser was made from; None if it has another cause."""
        return next((one for one in self.refusals.values() if one in message), None)

    def in_force(self) -> AbstractContextManager[None]:
        """A block within which the parser imports nothing else."""
        return checked_imports(self.check_path, self.check_object)

    def _is_added(self, path: str) -> bool:
        return any(f"{path}.".startswith(f"{name}.") for name in self._modules)

    def _refuse(self, path: str, reason: str, module: str) -> NoReturn:
        message = (
            f"'{path}' is not used: {reason}configs name classes of the crystal packages, torch, "
            f"lightning and torchmetrics; if you trust {module}, give {OPTION} {module} on the "
            "command line"
        )
        self.refusals[path] = message
        raise NotAllowedError(message)


def split_modules(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Takes ``--allow-module NAME`` out of arguments, so that no config file can set it.

    Returns:
        The names, and the other arguments.
    """
    left, names, others = list(args), list[str](), list[str]()
    while left:
        arg = left.pop(0)
        if arg == OPTION and left:
            names.append(left.pop(0))
        elif arg.startswith(f"{OPTION}="):
            names.append(arg.partition("=")[2])
        else:
            others.append(arg)
    return names, others


def _is_published(found: Any) -> bool:
    owner = getattr(found, "__self__", None)
    return (
        inspect.ismethod(found)
        and found.__name__ == _PUBLISHED
        and inspect.isclass(owner)
        and {owner.__module__.partition(".")[0], found.__module__.partition(".")[0]} <= {*PACKAGES}
    )
