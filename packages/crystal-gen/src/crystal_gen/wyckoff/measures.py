"""How often the truth is among the first answers."""

from collections.abc import Sequence

from torch import Tensor

from crystal_gen.wyckoff.assignment import WyckoffAssignment

GROUP_AT = (1, 5, 20)
EXACT_AT = (1, 20, 100)


def groups_at(scores: Tensor, truth: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Crystals whose group is among the first, and all crystals, by name ``group_at_<n>``.

    Args:
        scores: Of groups by number, more is better; ``[num_crystals, 231]``.
        truth: ``[num_crystals]``.
    """
    own = scores.gather(1, truth[:, None])
    # Groups that are equally good come first, so that no order is needed to be lucky.
    rank = (scores >= own).sum(1)
    count = scores.new_tensor(len(truth))
    return {f"group_at_{limit}": ((rank <= limit).to(scores).sum(), count) for limit in GROUP_AT}


def exact_at(
    answers: Sequence[Sequence[WyckoffAssignment]], truths: Sequence[WyckoffAssignment]
) -> dict[str, tuple[float, float]]:
    """Crystals whose assignment is among the first, and all, by name ``exact_at_<n>``.

    Args:
        answers: Of each crystal, canonical, the best first.
        truths: Canonical.
    """
    places = [
        ranked.index(truth) if truth in ranked else len(ranked) + max(EXACT_AT)
        for ranked, truth in zip(answers, truths, strict=True)
    ]
    return {
        f"exact_at_{limit}": (float(sum(place < limit for place in places)), float(len(truths)))
        for limit in EXACT_AT
    }
