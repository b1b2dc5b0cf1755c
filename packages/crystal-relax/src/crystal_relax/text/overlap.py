"""How far one text repeats another: ROUGE and BLEU, on tokens."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import exp, log
from typing import NamedTuple

_LONGEST = 4  # of BLEU's n-grams


class Overlap(NamedTuple):
    """Scores of a text against one reference, from 0 to 1.

    Args:
        rouge_1: F1 of single tokens.
        rouge_2: F1 of pairs of neighbors.
        rouge_l: F1 of the longest common subsequence.
        bleu: Geometric mean of the precisions of 1 to 4 tokens, times the penalty of short texts;
            from 2 tokens on one is added to both counts, so that no zero decides alone.
    """

    rouge_1: float
    rouge_2: float
    rouge_l: float
    bleu: float

    @property
    def mean(self) -> float:
        """Of all four."""
        return sum(self) / len(self)


def overlap(text: Sequence[int], reference: Sequence[int]) -> Overlap:
    """Scores of a text.

    Args:
        text: Tokens that were written, without padding.
        reference: Those that should have been.

    Source:
        Lin, ROUGE: a package for automatic evaluation of summaries (2004). Papineni et al., BLEU
        (2002), smoothed as by Lin and Och, ORANGE (2004).
    """
    longest = _longest_common(text, reference)
    return Overlap(
        _f1(_shared(text, reference, 1), len(text), len(reference)),
        _f1(_shared(text, reference, 2), len(text) - 1, len(reference) - 1),
        _f1(longest, len(text), len(reference)),
        _bleu(text, reference),
    )


def _grams(tokens: Sequence[int], length: int) -> Iterable[tuple[int, ...]]:
    return zip(*(tokens[first:] for first in range(length)), strict=False)


def _shared(text: Sequence[int], reference: Sequence[int], length: int) -> int:
    return (Counter(_grams(text, length)) & Counter(_grams(reference, length))).total()


def _f1(shared: int, found: int, expected: int) -> float:
    return 2 * shared / (found + expected) if shared else 0.0


def _bleu(text: Sequence[int], reference: Sequence[int]) -> float:
    if not text:
        return 0.0
    logarithm = 0.0
    for length in range(1, _LONGEST + 1):
        added = int(length > 1)
        shared = _shared(text, reference, length) + added
        if not shared:
            return 0.0
        logarithm += log(shared / (max(len(text) - length + 1, 0) + added)) / _LONGEST
    return exp(logarithm + min(0.0, 1 - len(reference) / len(text)))


def _longest_common(text: Sequence[int], reference: Sequence[int]) -> int:
    """Length of the longest common subsequence; a column of the table is the bits of a number."""
    places: dict[int, int] = {}
    for place, token in enumerate(text):
        places[token] = places.get(token, 0) | 1 << place
    full = (1 << len(text)) - 1
    column = full
    for token in reference:
        matched = column & places.get(token, 0)
        column = ((column + matched) | (column - matched)) & full
    return len(text) - column.bit_count()
