"""ROUGE: how many words, pairs of words and words in order two texts share."""

from collections import Counter
from itertools import pairwise

import numpy as np

#: Names of what :func:`rouge` gives.
ROUGE = ("rouge_1", "rouge_2", "rouge_l")


def rouge(text: str, truth: str) -> dict[str, float]:
    """F1 of single words, of pairs of neighbors, and of the longest common subsequence.

    Words are what blanks and line ends separate.

    Args:
        text: What was answered.
        truth: What should have been.

    Returns:
        By name, as in :data:`ROUGE`; 0 to 1.

    Source:
        Lin, ROUGE: a package for automatic evaluation of summaries (2004).
    """
    found, true = text.split(), truth.split()
    pairs = Counter(pairwise(found)), Counter(pairwise(true))
    return {
        "rouge_1": _f1((Counter(found) & Counter(true)).total(), len(found), len(true)),
        "rouge_2": _f1((pairs[0] & pairs[1]).total(), pairs[0].total(), pairs[1].total()),
        "rouge_l": _f1(_longest_common(found, true), len(found), len(true)),
    }


def _f1(shared: int, num_found: int, num_true: int) -> float:
    """Harmonic mean of the shares of both; 0 where nothing is there to share."""
    return 2 * shared / (num_found + num_true) if shared else 0.0


def _longest_common(found: list[str], true: list[str]) -> int:
    """Length of the longest common subsequence."""
    numbers = {word: number for number, word in enumerate(dict.fromkeys([*found, *true]))}
    other = np.array([numbers[word] for word in true])
    longest = np.zeros(len(true) + 1, dtype=np.int64)
    for word in found:
        after = np.concatenate([[0], longest[:-1] + (other == numbers[word])])
        longest = np.maximum.accumulate(np.maximum(longest, after))
    return int(longest[-1])
