"""The answers of the known crystals whose compositions are the nearest."""

from collections.abc import Sequence
from dataclasses import dataclass

from crystal_data.generation import GenerationRequest
from crystal_gen.templates.library import TemplateLibrary
from crystal_gen.templates.search import TemplateSearch
from crystal_gen.wyckoff.assignment import WyckoffAssignment
from crystal_gen.wyckoff.proposals import check_formula, is_asked


@dataclass(frozen=True)
class Neighbor:
    """The answer of one known crystal.

    Args:
        assignment: Canonical, with the elements that are asked.
        distance: Mean over atoms of the difference of Mendeleev numbers.
        identifier: Of the crystal.
    """

    assignment: WyckoffAssignment
    distance: float
    identifier: str


@dataclass(frozen=True)
class Neighbors:
    """The nearest of a request.

    Args:
        answers: The nearest first; crystals may have the same answer.
        are_all: No more are known.
    """

    answers: list[Neighbor]
    are_all: bool


def neighbors_of(
    search: TemplateSearch,
    request: GenerationRequest,
    number: int,
    z_values: Sequence[int] | None = None,
) -> Neighbors:
    """The answers of the nearest crystals that have the z and the group that are asked.

    Args:
        search: Of known crystals.
        request: With a formula.
        number: Of crystals that are looked at.
        z_values: As of :meth:`SymmetryProposer.propose`.

    Raises:
        InvalidArgumentError: If the request has no formula.
    """
    check_formula(request)
    composition = GenerationRequest(formula=request.formula, z=request.z)
    candidates, answers = search.find(composition, number), []
    for each in candidates:
        template = assignment_of(search.library, each.row)
        if template is None:
            continue
        assignment = template.exchanged(each.elements).canonical()
        if is_asked(request, assignment, z_values):
            name = search.library.identifiers[each.row]
            answers.append(Neighbor(assignment, each.distance, name))
    return Neighbors(answers, are_all=len(candidates) < number)


def assignment_of(library: TemplateLibrary, row: int) -> WyckoffAssignment | None:
    """The canonical assignment of a template; None without a space group."""
    if not library.space_group_number[row]:
        return None
    orbits = library.orbits_of(row)
    pairs = zip(
        library.atomic_numbers[orbits].tolist(), library.wyckoff[orbits].tolist(), strict=True
    )
    group = int(library.space_group_number[row])
    return WyckoffAssignment.from_orbits(group, list(pairs)).canonical()
