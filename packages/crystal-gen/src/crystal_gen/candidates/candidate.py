"""One candidate for a request, and where it comes from."""

from dataclasses import dataclass
from math import exp, nan
from typing import Literal

from crystal_data.elements import SYMBOLS
from crystal_data.symmetry import SymmetricCrystal, space_group_symbol
from crystal_gen.templates.search import Candidate
from crystal_gen.wyckoff.assignment import WyckoffAssignment

Origin = Literal["template", "warm start", "noise"]


@dataclass(frozen=True, eq=False)
class PoolCandidate:
    """A crystal that may be what is asked.

    Args:
        crystal: With its symmetry.
        origin: ``"template"``, a copy; ``"warm start"``, a copy with a little noise taken up and
            away again; ``"noise"``, made by a model for a space group and Wyckoff positions.
        template: What was copied; None for one from noise.
        known: Identifier and formula of the template.
        assignment: Group and positions that were proposed; None for copies.
        log_probability: Of the assignment, by the symmetry model; NaN where it is not known.
        level: Of noise that a warm start got.
        num_templates: Copies that are alike, itself included.
        num_made: Crystals of the structure model that are alike, itself included.
    """

    crystal: SymmetricCrystal
    origin: Origin
    template: Candidate | None = None
    known: str = ""
    assignment: WyckoffAssignment | None = None
    log_probability: float = nan
    level: float = 0.0
    num_templates: int = 0
    num_made: int = 0

    @property
    def is_known(self) -> bool:
        """Whether it is a known crystal as it is, with its own elements."""
        if self.template is None or self.origin != "template":
            return False
        return all(old == new for old, new in self.template.elements.items())

    @property
    def source(self) -> str:
        """In a few words, without spaces where a table is to be filtered by it."""
        origin = "known" if self.is_known else self.origin
        return f"{origin} {self.known}".strip()

    @property
    def why(self) -> str:
        """A sentence for people."""
        group = space_group_symbol(self.crystal.space_group_number)
        if self.assignment is not None:
            text = f"made from noise for {self.assignment}"
            if self.log_probability == self.log_probability:
                text += f", which has probability {100 * exp(self.log_probability):.1f} %"
        elif self.template is not None:
            exchanged = [
                f"{SYMBOLS[new]} for {SYMBOLS[old]}"
                for old, new in self.template.elements.items()
                if new != old
            ]
            text = f"known crystal {self.known}, {group}"
            if exchanged:
                text = f"copy of {self.known}, {group}, with {', '.join(exchanged)}"
                text += f", at Mendeleev distance {self.template.distance:.1f}"
            if self.origin == "warm start":
                text += f"; made anew from noise level {self.level:g}"
        else:
            text = f"made in {group}"
        alike = self.num_templates + self.num_made - 1
        return f"{text}; {alike} more alike" if alike > 0 else text
