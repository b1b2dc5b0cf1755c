"""Takes weights over from another model, as far as they fit."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from crystal_data.artifacts.registry import ArtifactError


@dataclass(frozen=True, slots=True)
class StateReport:
    """Which weights a model took over from another.

    Args:
        loaded: Keys with the same name and shape in both.
        skipped: Keys of the given state that found no place, each with the reason.
        initialized: Keys of the model that keep their fresh values.
    """

    loaded: tuple[str, ...]
    skipped: Mapping[str, str]
    initialized: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"loaded {len(self.loaded)} of {len(self.loaded) + len(self.initialized)} tensors",
            *(f"  skipped  {key}: {reason}" for key, reason in self.skipped.items()),
            *(f"  new      {key}" for key in self.initialized),
        ]
        return "\n".join(lines)


def load_state_report(model: torch.nn.Module, state: Mapping[str, Tensor]) -> StateReport:
    """Loads what fits by name and shape, and says what did and did not.

    Raises:
        ArtifactError: If nothing fits.
    """
    own = model.state_dict()
    fitting: dict[str, Tensor] = {}
    skipped: dict[str, str] = {}
    for key, values in state.items():
        if key not in own:
            skipped[key] = "the model has no such weights"
        elif own[key].shape != values.shape:
            skipped[key] = f"shape {list(values.shape)}, the model's is {list(own[key].shape)}"
        else:
            fitting[key] = values
    if not fitting:
        raise ArtifactError(
            f"none of the {len(state)} given tensors fits {type(model).__name__} by name and "
            f"shape; the first given is '{next(iter(state), None)}', the model's first is "
            f"'{next(iter(own), None)}'"
        )
    model.load_state_dict(fitting, strict=False)
    initialized = tuple(key for key in own if key not in fitting)
    return StateReport(tuple(fitting), skipped, initialized)
