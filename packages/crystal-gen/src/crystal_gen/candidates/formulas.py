"""Formulas over given elements, the most usual among known crystals first."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

import numpy as np

from crystal_data.elements import ATOMIC_NUMBERS, SYMBOLS
from crystal_data.metrics import is_composition_valid
from crystal_gen.templates.mendeleev import MENDELEEV_NUMBERS
from crystal_gen.templates.search import TemplateSearch
from crystal_gen.wyckoff.assignment import element_order

#: Table of smact that says which formulas can be neutral.
OXIDATION_STATES: Final = "smact14"

_DECAY = 0.7  # of Mendeleev distance, over which a known crystal's weight falls
_NOT_NEUTRAL = 0.1  # weight of a formula that no oxidation states make neutral
_LOOKED_AT = 5  # times as many formulas as wanted are asked whether they can be neutral


@dataclass(frozen=True)
class FormulaProposal:
    """A formula.

    Args:
        formula: Reduced, the least electronegative element first.
        weight: How usual it is; of all formulas of some elements the best has 1.
        is_neutral: Whether oxidation states make it neutral.
    """

    formula: str
    weight: float
    is_neutral: bool


class FormulaProposer:
    """Proposes formulas by the anonymous formulas of known crystals.

    A formula weighs the sum over the known crystals of its anonymous formula, each the less the
    further its elements are away by Mendeleev numbers; one that cannot be neutral weighs a tenth.

    Args:
        search: In the known crystals.
    """

    def __init__(self, search: TemplateSearch) -> None:
        self._known = search.elements_by_formula()

    def propose(self, elements: Sequence[str], limit: int) -> list[FormulaProposal]:
        """Formulas that have all of some elements, the best first.

        Args:
            elements: Symbols.
            limit: How many at most; fewer where the known crystals have no more.
        """
        numbers = [ATOMIC_NUMBERS[symbol] for symbol in dict.fromkeys(elements)]
        weights: dict[tuple[tuple[int, int], ...], float] = {}
        for counts, known in self._known.items():
            if len(counts) != len(numbers):
                continue
            for order in _orders(numbers, counts):
                steps = np.abs(MENDELEEV_NUMBERS[known] - MENDELEEV_NUMBERS[list(order)])
                distances = steps @ np.array(counts) / sum(counts)
                formula = tuple(zip(order, counts, strict=True))
                weights[formula] = float(np.exp(-distances / _DECAY).sum())
        best = sorted(weights, key=lambda formula: -weights[formula])[: _LOOKED_AT * limit]
        proposals = []
        for formula in best:
            composition = {SYMBOLS[number]: count for number, count in formula}
            is_neutral = is_composition_valid(composition, OXIDATION_STATES)
            weight = weights[formula] * (1.0 if is_neutral else _NOT_NEUTRAL)
            proposals.append(FormulaProposal(_text(formula), weight, is_neutral))
        proposals.sort(key=lambda each: -each.weight)
        most = proposals[0].weight if proposals else 1.0
        return [
            FormulaProposal(each.formula, each.weight / most, each.is_neutral)
            for each in proposals[:limit]
        ]


def _orders(numbers: Sequence[int], counts: Sequence[int]) -> set[tuple[int, ...]]:
    """Elements beside counts; those of equal counts by Mendeleev number, as in the templates."""
    orders = set()
    for order in permutations(numbers):
        pairs = zip(counts, order, strict=True)
        by_count = sorted(pairs, key=lambda pair: (pair[0], int(MENDELEEV_NUMBERS[pair[1]])))
        orders.add(tuple(number for _, number in by_count))
    return orders


def _text(formula: Sequence[tuple[int, int]]) -> str:
    ordered = sorted(formula, key=lambda pair: element_order(pair[0]))
    return "".join(SYMBOLS[number] + (str(count) if count > 1 else "") for number, count in ordered)
