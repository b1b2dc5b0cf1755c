"""ROUGE and BLEU against figures made by hand and by a table."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystal_relax.text.overlap import overlap

TOKENS = st.lists(st.integers(0, 3), max_size=12)


def longest_by_table(text: list[int], reference: list[int]) -> int:
    table = [[0] * (len(reference) + 1) for _ in range(len(text) + 1)]
    for i, one in enumerate(text):
        for j, other in enumerate(reference):
            table[i + 1][j + 1] = (
                table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
            )
    return table[-1][-1]


@given(TOKENS, TOKENS)
def test_bounds_and_the_longest_common_subsequence(text: list[int], reference: list[int]) -> None:
    found = overlap(text, reference)
    assert all(0 <= one <= 1 for one in found)
    longest = longest_by_table(text, reference)
    expected = 2 * longest / (len(text) + len(reference)) if longest else 0.0
    assert found.rouge_l == pytest.approx(expected)
    # Whatever is in the order of both is in both.
    assert found.rouge_l <= found.rouge_1 + 1e-12


def test_by_hand() -> None:
    found = overlap([1, 2, 3, 4], [1, 2, 4, 3])
    assert found.rouge_1 == 1.0
    assert found.rouge_2 == pytest.approx(1 / 3)
    assert found.rouge_l == 0.75
    assert found.bleu == pytest.approx((1 * (2 / 4) * (1 / 3) * (1 / 2)) ** 0.25)
    assert found.mean == pytest.approx(sum(found) / 4)
    assert overlap([1, 2, 3], [1, 2, 3]) == (1, 1, 1, 1)
    # A text that stops early is right in all that it says.
    short = overlap([1, 2], [1, 2, 3, 4])
    assert short.bleu == pytest.approx(math.exp(-1))
    assert overlap([], [1]).mean == 0
