"""Formulas over given elements: the most usual among known crystals, and those that fit wishes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from types import MappingProxyType
from typing import Final

import numpy as np

from crystal_data.elements import ATOMIC_NUMBERS, SYMBOLS
from crystal_data.metrics import is_composition_valid
from crystal_gen.candidates.formula_model import FormulaModel
from crystal_gen.templates.mendeleev import MENDELEEV_NUMBERS
from crystal_gen.templates.search import TemplateSearch
from crystal_gen.wyckoff.assignment import element_order

#: Table of smact that says which formulas can be neutral.
OXIDATION_STATES: Final = "smact14"

_DECAY = 0.7  # of Mendeleev distance, over which a known crystal's weight falls
_NOT_NEUTRAL = 0.1  # weight of a formula that no oxidation states make neutral
_USUAL = 0.01  # weight of formulas among which wishes choose, by the most usual one's
_LOOKED_AT = 40  # formulas that are asked whether they can be neutral and fit wishes

#: Of a request that asks for elements alone.
NO_WISHES: Final[Mapping[str, float]] = MappingProxyType({})

_Formula = tuple[tuple[int, int], ...]  # atomic numbers, each with its number of atoms


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
    With wishes, those of at least a hundredth of the largest weight are looked at, and each weighs
    as much more as it makes the wishes probable (Bayes' rule).

    Args:
        search: In the known crystals.
        model: Of what formulas say of properties; without one wishes do not count.
    """

    def __init__(self, search: TemplateSearch, model: FormulaModel | None = None) -> None:
        self._known = search.elements_by_formula()
        self._model = model

    def propose(
        self, elements: Sequence[str], limit: int, wishes: Mapping[str, float] = NO_WISHES
    ) -> list[FormulaProposal]:
        """Formulas that have all of some elements, the best first.

        Args:
            elements: Symbols.
            limit: How many at most; fewer where the known crystals have no more.
            wishes: Values of properties that the model knows.
        """
        numbers = [ATOMIC_NUMBERS[symbol] for symbol in dict.fromkeys(elements)]
        weights: dict[_Formula, float] = {}
        for counts, known in self._known.items():
            if len(counts) != len(numbers):
                continue
            for order in _orders(numbers, counts):
                steps = np.abs(MENDELEEV_NUMBERS[known] - MENDELEEV_NUMBERS[list(order)])
                distances = steps @ np.array(counts) / sum(counts)
                formula = tuple(zip(order, counts, strict=True))
                weights[formula] = float(np.exp(-distances / _DECAY).sum())
        best = sorted(weights, key=lambda formula: -weights[formula])[: max(_LOOKED_AT, limit)]
        proposals, compositions = [], {}
        for formula in best:
            text = _text(formula)
            compositions[text] = {SYMBOLS[number]: count for number, count in formula}
            is_neutral = is_composition_valid(compositions[text], OXIDATION_STATES)
            weight = weights[formula] * (1.0 if is_neutral else _NOT_NEUTRAL)
            proposals.append(FormulaProposal(text, weight, is_neutral))
        usual = _in_order(proposals)
        return _in_order(self._by_wishes(usual, compositions, wishes))[:limit]

    def _by_wishes(
        self,
        proposals: Sequence[FormulaProposal],
        compositions: Mapping[str, Mapping[str, int]],
        wishes: Mapping[str, float],
    ) -> Sequence[FormulaProposal]:
        if self._model is None or not wishes or not proposals:
            return proposals
        # A wish that nothing usual can meet is no reason for what is unheard of.
        usual = [each for each in proposals if each.weight >= _USUAL]
        own = [compositions[each.formula] for each in usual]
        logs = self._model.log_likelihoods(own, wishes)
        factors = np.exp(logs - logs.max())
        return [
            replace(each, weight=each.weight * factor)
            for each, factor in zip(usual, factors.tolist(), strict=True)
        ]


def _in_order(proposals: Sequence[FormulaProposal]) -> list[FormulaProposal]:
    """The best first, with weights of which the largest is 1."""
    most = max((each.weight for each in proposals), default=1.0)
    scaled = [replace(each, weight=each.weight / most) for each in proposals]
    return sorted(scaled, key=lambda each: -each.weight)


def _orders(numbers: Sequence[int], counts: Sequence[int]) -> set[tuple[int, ...]]:
    """Elements beside counts; those of equal counts by Mendeleev number, as in the templates."""
    orders = set()
    for order in permutations(numbers):
        pairs = zip(counts, order, strict=True)
        by_count = sorted(pairs, key=lambda pair: (pair[0], int(MENDELEEV_NUMBERS[pair[1]])))
        orders.add(tuple(number for _, number in by_count))
    return orders


def _text(formula: _Formula) -> str:
    ordered = sorted(formula, key=lambda pair: element_order(pair[0]))
    return "".join(SYMBOLS[number] + (str(count) if count > 1 else "") for number, count in ordered)
