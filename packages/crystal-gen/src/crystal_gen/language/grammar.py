"""The text of an answer: a chain of pieces, some of them chosen, the others forced.

``z 2``, ``group 227``, ``positions 8a 8b …`` (all positions of the group, which is no choice), then
a line for each element with the positions that are chosen for it::

    z 2
    group 227
    positions 8a 8b 16c 16d 32e 48f 96g 96h 192i
    Li 8a
    Mn 16d
    O 32e

A choice is one piece. What the question fixes, z or the group, stands in the answer all the same,
as a choice of one: so a model that has learned answers with everything open can be asked any
question. No piece that may be chosen is the beginning of another one, so that a text is read in one
way only, also token by token with a tokenizer that splits pieces.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from crystal_data.elements import SYMBOLS
from crystal_data.errors import InvalidArgumentError
from crystal_data.symmetry import wyckoff_positions
from crystal_gen.wyckoff.assignment import Places, WyckoffAssignment, canonical_places
from crystal_gen.wyckoff.legal import Progress, legal_groups, legal_places
from crystal_gen.wyckoff.questions import SymmetryQuestion


class Part(NamedTuple):
    """The choices of an answer that are made.

    Attributes:
        z: Units of the reduced formula; 0 where they are not chosen.
        progress: None where the group is not chosen.
        places: Of each element that has any, the last one perhaps not complete.
    """

    z: int = 0
    progress: Progress | None = None
    places: Places = ()

    @property
    def is_complete(self) -> bool:
        """Whether all choices are made."""
        return self.progress is not None and self.progress.is_complete

    @property
    def is_canonical(self) -> bool:
        """Whether canonical answers may begin with it."""
        if self.progress is None or not self.places:
            return True
        return canonical_places(self.progress.space_group, self.places)[1] == self.places


@dataclass(frozen=True)
class AnswerGrammar:
    """Which pieces may come next in an answer.

    Args:
        lists_positions: The answer names all positions of the group before it chooses.
    """

    lists_positions: bool = True

    def can_answer(self, question: SymmetryQuestion) -> bool:
        """Whether there is a legal answer."""
        return bool(_legal_z(question))

    def start(self, question: SymmetryQuestion) -> Part:
        """The beginning of the answers.

        Raises:
            InvalidArgumentError: If no z that is asked has a legal answer.
        """
        if not self.can_answer(question):
            asked = ", ".join(map(str, question.z_values))
            raise InvalidArgumentError(
                f"no choice of Wyckoff positions of space group {question.space_group} holds "
                f"these atoms with z = {asked}",
                "ask another z or another group, or leave one of them open",
            )
        return Part()

    def lead(self, question: SymmetryQuestion, part: Part) -> tuple[str, ...]:
        """The forced pieces between a choice and the next one, or the end."""
        if not part.z:
            return ("z",)
        progress = part.progress
        if progress is None:
            return ("group",)
        if progress.is_complete:
            return ("\n",)
        turn = len(question.elements) - len(progress.left)
        symbol = SYMBOLS[question.elements[turn]]
        if not part.places:
            return (*self._listed(progress.space_group), symbol)
        return () if turn < len(part.places) else ("\n", symbol)

    def options(self, question: SymmetryQuestion, part: Part) -> Mapping[str, int]:
        """The legal next choices: what each piece chooses, z, a group, or a place.

        Args:
            question: What is asked.
            part: Not complete.
        """
        if not part.z:
            return {f" {z}\n": z for z in _legal_z(question)}
        if part.progress is None:
            return _group_pieces(self._atoms(question, part), question.space_group)
        # Later elements are told apart by nothing but their number of atoms.
        first, *later = part.progress.left
        return _place_pieces(part.progress._replace(left=(first, *sorted(later))))

    def after(self, question: SymmetryQuestion, part: Part, choice: int) -> Part:
        """The part with one more choice."""
        if not part.z:
            return Part(choice)
        if part.progress is None:
            return Part(part.z, Progress(choice, self._atoms(question, part)))
        turn = len(question.elements) - len(part.progress.left)
        own = (*part.places[turn], choice) if turn < len(part.places) else (choice,)
        return Part(part.z, part.progress.after(choice), (*part.places[:turn], own))

    def pieces(self, question: SymmetryQuestion, assignment: WyckoffAssignment) -> list[str]:
        """The answer that is an assignment.

        Args:
            question: Whose answer it is.
            assignment: In the order of its places, which is that of the choices.

        Raises:
            InvalidArgumentError: If it is no answer to the question.
        """
        units = sum(assignment.cell.values()) // sum(question.counts)
        chosen = (place for own in assignment.places for place in own)
        choices = (units, assignment.space_group, *chosen)
        part, pieces = self.start(question), []
        for choice in choices:
            named = {} if part.is_complete else self.options(question, part)
            piece = next((text for text, each in named.items() if each == choice), None)
            if piece is None:
                break
            pieces += [*self.lead(question, part), piece]
            part = self.after(question, part, choice)
        if self.assignment(question, part) != assignment:
            raise InvalidArgumentError(f"{assignment} is no answer to the question")
        return [*pieces, *self.lead(question, part)]

    def read(self, question: SymmetryQuestion, text: str) -> WyckoffAssignment | None:
        """The assignment that a text is; None if it is no legal answer."""
        part = self.start(question)
        while True:
            lead = "".join(self.lead(question, part))
            if not text.startswith(lead):
                return None
            text = text[len(lead) :]
            if part.is_complete:
                return None if text else self.assignment(question, part)
            options = self.options(question, part)
            piece = next((each for each in options if text.startswith(each)), None)
            if piece is None:
                return None
            text = text[len(piece) :]
            part = self.after(question, part, options[piece])

    def assignment(self, question: SymmetryQuestion, part: Part) -> WyckoffAssignment | None:
        """The assignment of a complete part; None of another one."""
        if part.progress is None or not part.is_complete:
            return None
        return WyckoffAssignment(part.progress.space_group, question.elements, part.places)

    def _atoms(self, question: SymmetryQuestion, part: Part) -> tuple[int, ...]:
        return tuple(count * part.z for count in question.counts)

    def _listed(self, space_group: int) -> tuple[str, ...]:
        if not self.lists_positions:
            return ()
        labels = (f" {position.label}" for position in wyckoff_positions(space_group))
        return ("positions", *labels, "\n")


@lru_cache(maxsize=65_536)
def _legal_z(question: SymmetryQuestion) -> tuple[int, ...]:
    group = question.space_group
    return tuple(
        z
        for z in question.z_values
        if group is None or legal_groups([count * z for count in question.counts])[group]
    )


@lru_cache(maxsize=16_384)
def _group_pieces(atoms: tuple[int, ...], asked: int | None) -> Mapping[str, int]:
    legal = np.flatnonzero(legal_groups(atoms)).tolist()
    return {f" {group}\n": group for group in legal if asked in (None, group)}


@lru_cache(maxsize=65_536)
def _place_pieces(progress: Progress) -> Mapping[str, int]:
    positions = wyckoff_positions(progress.space_group)
    legal = np.flatnonzero(legal_places(progress)).tolist()
    return {f" {positions[place].label}": place for place in legal}
