"""Parts of a model that training leaves as they are."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError
from crystal_data.training.crystal_module import crystal_module


class Freeze(Callback):
    """Keeps the parameters of the model whose names match, and what hangs on them.

    A module with nothing but frozen parameters works as in evaluation: batch statistics stay, and
    nothing is dropped.

    Args:
        patterns: Of names as the load report has them, such as ``convolutions.*``; ``*`` stands
            for any characters.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Before the optimizer asks which parameters there are to train.
        if stage == "fit":
            freeze(crystal_module(pl_module).model, self._patterns)

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning puts the modes back after a validation, and sets none at the start of an epoch.
        for module in crystal_module(pl_module).model.modules():
            parameters = list(module.parameters())
            if parameters and not any(one.requires_grad for one in parameters):
                module.eval()


def freeze(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Stops the training of all parameters whose name matches one of the patterns.

    Returns:
        Their names.

    Raises:
        InvalidArgumentError: If a pattern matches nothing, or nothing is left to train.
    """
    parameters = dict(model.named_parameters())
    frozen: list[str] = []
    for pattern in patterns:
        found = [name for name in parameters if fnmatchcase(name, pattern)]
        if not found:
            parts = sorted({name.partition(".")[0] for name in parameters})
            raise InvalidArgumentError(
                f"--freeze: no parameter of {type(model).__name__} matches '{pattern}'; the names "
                f"start with {', '.join(parts)}; such as '{next(iter(parameters))}' or "
                f"'{parts[0]}.*'"
            )
        frozen += found
    for name in frozen:
        parameters[name].requires_grad = False
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise InvalidArgumentError(f"--freeze: nothing of {type(model).__name__} is left to train")
    return frozen
