"""ROUGE against what is counted by hand, and against the definition."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystal_gen.language.rouge import rouge

WORDS = st.lists(st.sampled_from("abcd"), max_size=9).map(tuple)


def test_counted_by_hand() -> None:
    truth = "group 225\nNa 4a\nCl 4b\n"
    assert rouge(truth, truth) == {"rouge_1": 1.0, "rouge_2": 1.0, "rouge_l": 1.0}
    # Five of six words; pairs: "Na 4a", "4a Cl", "Cl 4b" of five each.
    found = rouge("group 221\nNa 4a\nCl 4b\n", truth)
    assert found == pytest.approx({"rouge_1": 5 / 6, "rouge_2": 3 / 5, "rouge_l": 5 / 6})
    # All words, but elements in another order: two or so are out of order.
    turned = rouge("group 225\nCl 4b\nNa 4a\n", truth)
    assert turned == pytest.approx({"rouge_1": 1.0, "rouge_2": 3 / 5, "rouge_l": 4 / 6})
    assert rouge("", truth) == {"rouge_1": 0.0, "rouge_2": 0.0, "rouge_l": 0.0}


@given(WORDS, WORDS)
def test_words_in_order_are_those_of_the_definition(one: tuple, other: tuple) -> None:
    @cache
    def common(i: int, j: int) -> int:
        if i == len(one) or j == len(other):
            return 0
        if one[i] == other[j]:
            return 1 + common(i + 1, j + 1)
        return max(common(i + 1, j), common(i, j + 1))

    shared = common(0, 0)
    expected = 2 * shared / (len(one) + len(other)) if shared else 0.0
    found = rouge(" ".join(one), " ".join(other))
    assert found["rouge_l"] == pytest.approx(expected)
    assert found["rouge_l"] <= found["rouge_1"] + 1e-12
