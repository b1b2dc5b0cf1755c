"""What the models of this package share: starts in, relaxed structures out."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from crystal_data.artifacts import PretrainedModel
from crystal_data.crystal import Crystal


class Prediction(NamedTuple):
    """What a model makes of a start.

    Args:
        crystal: With the start's axes, atoms, images and identifier.
        note: Why it is the start itself; empty where it is a prediction.
    """

    crystal: Crystal
    note: str = ""


class RelaxationModel(PretrainedModel):
    """A model that predicts relaxed structures."""

    @abstractmethod
    def relaxed(self, starts: Sequence[Crystal]) -> list[Prediction]:
        """A relaxed structure of each start, all at once; on the device of the model."""
