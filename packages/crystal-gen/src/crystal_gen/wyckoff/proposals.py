"""What every source of answers gives: ranked assignments for a composition."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GenerationRequest
from crystal_gen.wyckoff.assignment import WyckoffAssignment
from crystal_gen.wyckoff.relabelings import standard_places


@dataclass(frozen=True)
class Proposal:
    """An answer.

    Args:
        assignment: Canonical, or in the group that was asked.
        score: More is better; of a model the logarithm of its probability.
        source: Where it comes from, such as the identifier of a template; empty for a model.
    """

    assignment: WyckoffAssignment
    score: float
    source: str = ""


@dataclass(frozen=True)
class GroupProposal:
    """A space group.

    Args:
        space_group: 1 to 230; of an enantiomorphic pair the smaller number.
        score: As of a :class:`Proposal`.
    """

    space_group: int
    score: float


class SymmetryProposer(ABC):
    """Proposes space groups and Wyckoff positions for compositions.

    Requests have a formula; z, space group and properties may be given or open. Letters and a start
    are not looked at.
    """

    @abstractmethod
    def propose(
        self,
        requests: Sequence[GenerationRequest],
        limit: int,
        *,
        z_values: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """The best answers for each request, the best first, no two of them equal.

        Args:
            requests: Each with a formula.
            limit: How many answers at most; fewer where no more are known.
            z_values: Formula units of the primitive cell that are considered where a request leaves
                them open; None for any.

        Raises:
            InvalidArgumentError: If a request has no formula.
        """

    def groups(
        self,
        requests: Sequence[GenerationRequest],
        limit: int,
        *,
        z_values: Sequence[int] | None = None,
    ) -> list[list[GroupProposal]]:
        """The best space groups for each request: those of the best answers.

        Args:
            requests: As of :meth:`propose`.
            limit: How many groups at most.
            z_values: As of :meth:`propose`.
        """
        answers = self.propose(requests, _ANSWERS_FOR_A_GROUP * limit, z_values=z_values)
        found = []
        for proposals in answers:
            best: dict[int, float] = {}
            for each in proposals:
                best.setdefault(standard_places(each.assignment.space_group)[0], each.score)
            found.append([GroupProposal(*pair) for pair in list(best.items())[:limit]])
        return found


_ANSWERS_FOR_A_GROUP = 20


def check_formula(request: GenerationRequest) -> None:
    """Refuses a request whose composition is open.

    Raises:
        InvalidArgumentError: If it has no formula.
    """
    if not request.composition:
        raise InvalidArgumentError(
            f"request {request.id} has no formula, for which a symmetry could be proposed",
            "give a formula",
        )


def z_of(request: GenerationRequest, assignment: WyckoffAssignment) -> int:
    """Formula units of the primitive cell."""
    return sum(assignment.cell.values()) // sum(request.composition.values())


def is_asked(
    request: GenerationRequest, assignment: WyckoffAssignment, z_values: Sequence[int] | None
) -> bool:
    """Whether an answer with the right formula has the group and the z that are asked.

    Args:
        request: What is asked.
        assignment: Canonical.
        z_values: As of :meth:`SymmetryProposer.propose`.
    """
    group = request.space_group
    if group is not None and standard_places(group)[0] != assignment.space_group:
        return False
    units, rest = divmod(sum(assignment.cell.values()), sum(request.composition.values()))
    if rest:
        return False
    if request.z is not None:
        return units == request.z
    return z_values is None or units in z_values


def as_asked(request: GenerationRequest, assignment: WyckoffAssignment) -> WyckoffAssignment:
    """A canonical answer in the group of a request, where that is the mirror image."""
    return assignment.in_group(request.space_group) if request.space_group else assignment
