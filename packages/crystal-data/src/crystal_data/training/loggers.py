"""Loggers of Lightning whose libraries do not come with these packages."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

# Class to the extra of crystal-data that brings its library, and modules of which one is enough.
_EXTRAS = {
    "TensorBoardLogger": ("tensorboard", ("tensorboard", "tensorboardX")),
    "WandbLogger": ("wandb", ("wandb",)),
}


def missing_logger(given: Any) -> str | None:
    """What to install for the first logger whose library is not there; None if all are.

    Args:
        given: The option ``trainer.logger``: one, several, or something else.
    """
    for one in given if isinstance(given, Sequence) and not isinstance(given, str) else [given]:
        name = str(_class_path(one)).rpartition(".")[2]
        extra, modules = _EXTRAS.get(name, ("", ()))
        if extra and not any(find_spec(module) for module in modules):
            return (
                f"{name} needs {modules[0]}, which is not installed; "
                f"pip install 'crystal-data[{extra}]'"
            )
    return None


def _class_path(given: Any) -> Any:
    try:
        return given["class_path"]
    except (KeyError, TypeError):
        return None
