"""What every way to predict relaxed structures promises."""

from collections.abc import Sequence
from typing import Protocol

from crystal_data.crystal import Crystal


class StructureRelaxer(Protocol):
    """Predicts relaxed structures."""

    @property
    def name(self) -> str:
        """For tables."""

    def relax(self, crystals: Sequence[Crystal]) -> list[Crystal]:
        """A relaxed structure of each, in order, with its axes, atoms and identifier."""
