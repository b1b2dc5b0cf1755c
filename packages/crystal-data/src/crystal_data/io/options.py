"""How structures are read: one value that every reader, store and command takes."""

from dataclasses import dataclass, fields
from typing import Literal, get_args

from crystal_data.errors import InvalidArgumentError

OnDisorder = Literal["error", "skip", "majority", "order"]
OnFormula = Literal["error", "note"]

MIN_DISTANCE = 0.5  # Å; the bound that the generative literature calls structural validity


@dataclass(frozen=True)
class ReadOptions:
    """How structures are read.

    Args:
        on_disorder: What becomes of partly occupied sites. ``error`` and ``skip`` refuse the
            structure (``skip`` does so even where other faults raise); ``majority`` and ``order``
            make it ordered, see ``resolve_disorder``.
        min_distance: Atoms closer than this overlap, Å; 0 allows all.
        on_formula: What becomes of a file whose atoms cannot be brought into agreement with its
            own chemical formula. ``error`` refuses it; ``note`` reads it by its symmetry and atoms
            alone, and notes the difference.

    Raises:
        InvalidArgumentError: If a choice is none of those known, or the distance is negative.
    """

    on_disorder: OnDisorder = "error"
    min_distance: float = MIN_DISTANCE
    on_formula: OnFormula = "error"

    def __post_init__(self) -> None:
        for name, choices in (("on_disorder", OnDisorder), ("on_formula", OnFormula)):
            if getattr(self, name) not in get_args(choices):
                raise InvalidArgumentError(
                    f"{name} is {getattr(self, name)!r}, expected one of {get_args(choices)}"
                )
        if not self.min_distance >= 0.0:
            raise InvalidArgumentError(f"min_distance is {self.min_distance}, expected 0 Å or more")

    def as_dict(self) -> dict[str, str | float]:
        """Plain values by name, for fingerprints and manifests."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


DEFAULT = ReadOptions()
UNCHECKED = ReadOptions(min_distance=0.0)  # for what is checked later, under its own options
