"""Which crystals copying could find, and which have polymorphs among the templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.generation import GenerationRequest
from crystal_data.metrics import MatchSettings, Outcome, match_pairs
from crystal_data.processes.progress import progress
from crystal_data.symmetry import SymmetryError, primitive_cell
from crystal_gen.templates.copying import copy_template
from crystal_gen.templates.search import NOTHING, Candidate, Exclusion, TemplateSearch

_SYMPREC = 0.1  # Å, as of the templates
# Most references match one of the first candidates, so the others are compared later.
_FIRST_OF_ROUND = (0, 1, 5)


def have_template(
    search: TemplateSearch,
    references: Sequence[Crystal],
    *,
    num_candidates: int = 20,
    settings: MatchSettings | None = None,
) -> NDArray[np.bool_]:
    """Whether one of the nearest templates of a composition, copied, matches each reference.

    Structures are compared, so that the choice of origin, cell and Wyckoff letters does not matter.
    A template with the identifier of a reference is not used for it.

    Args:
        search: In the templates.
        references: The true structures.
        num_candidates: How many templates of a reference are copied, the nearest first.
        settings: Tolerances, time-out and number of processes of the comparison.

    Returns:
        ``[num_references]``.
    """
    wanted = [_wanted(search, each, num_candidates) for each in references]
    found = np.zeros(len(references), dtype=np.bool_)
    firsts = [first for first in _FIRST_OF_ROUND if first < num_candidates]
    with progress("comparing copies") as advance:
        for start, end in pairwise((*firsts, num_candidates)):
            copies = [
                (row, copy_template(search.library.crystal(each.row), each, request).to_crystal())
                for row in np.flatnonzero(~found).tolist()
                for request in [wanted[row].request]
                for each in wanted[row].candidates[start:end]
            ]
            pairs = [(copy, references[row]) for row, copy in copies]
            matches = match_pairs(pairs, settings or MatchSettings(), advance)
            for (row, _), result in zip(copies, matches, strict=True):
                found[row] |= result.outcome is Outcome.MATCH
    return found


def have_polymorph(search: TemplateSearch, references: Sequence[Crystal]) -> NDArray[np.bool_]:
    """Whether a template has the reduced formula of each reference; ``[num_references]``.

    Args:
        search: In the templates.
        references: A template with the identifier of one is that crystal, not another.
    """
    names = search.library.identifiers
    rows = [search.rows_of_formula(each.formula) for each in references]
    pairs = zip(references, rows, strict=True)
    return np.array([any(names[x] != each.identifier for x in own) for each, own in pairs])


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for a reference, and the nearest templates."""

    request: GenerationRequest
    candidates: Sequence[Candidate]


def _wanted(search: TemplateSearch, reference: Crystal, limit: int) -> _Wanted:
    try:
        cell = primitive_cell(reference, _SYMPREC)
    except SymmetryError:
        cell = reference
    formula = "".join(f"{symbol}{count}" for symbol, count in cell.composition.items())
    request = GenerationRequest(formula=formula, z=1)
    own = Exclusion(ids=(reference.identifier,)) if reference.identifier else NOTHING
    return _Wanted(request, search.find(request, limit, exclude=own))
