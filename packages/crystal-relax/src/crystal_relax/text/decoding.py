"""Writes the changes of many crystals at once, with a cache, inside the grammar."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crystal_relax.text.constraint import ChangeConstraint
from crystal_relax.text.tokens import ChangeTokenizer

if TYPE_CHECKING:
    from crystal_relax.text.model import Encoded, TextRelaxer


@torch.no_grad()
def write_changes(
    model: "TextRelaxer",
    encoded: "Encoded",
    constraint: ChangeConstraint,
    *,
    temperature: float = 0.0,
    draws: Tensor | None = None,
    constrained: bool = True,
) -> Tensor:
    """Tokens of changes.

    All crystals have the same quantities at the same places, so a whole batch moves on together.
    Where nothing is to be chosen, as of elements, the model is not asked: what stands there is read
    together with what follows.

    Args:
        model: What scores tokens.
        encoded: Starts, a row for each sequence.
        constraint: Of the same rows.
        temperature: 0 takes the token of the highest score; otherwise scores are divided by it
            and a token is drawn.
        draws: Uniform numbers from 0 to 1, one for each token that is drawn: what a row writes
            does not depend on what else is in the batch; ``[num_rows, length]``.
        constrained: False lets the model write what it likes: to measure what the grammar is worth
            and what it costs.

    Returns:
        Padded; int64 ``[num_rows, constraint.max_new_tokens]``.
    """
    length = constraint.max_new_tokens
    device = encoded.states.device
    tokens = torch.full((constraint.num_rows, length + 1), ChangeTokenizer.PAD, device=device)
    tokens[:, 0] = ChangeTokenizer.BOS
    seen, cache = 0, None
    for place in range(length):
        forced = constraint.forced(place) if constrained else None
        if forced is not None:
            tokens[:, place + 1] = forced.to(device)
            continue
        scores, cache = model.next_scores(tokens[:, seen : place + 1], seen, encoded, cache)
        seen = place + 1
        if constrained:
            scores = constraint(tokens[:, :seen], scores)
        draw = None if draws is None else draws[:, place]
        tokens[:, place + 1] = _chosen(scores, temperature, draw)
    return tokens[:, 1:]


def _chosen(scores: Tensor, temperature: float, draw: Tensor | None) -> Tensor:
    if temperature == 0 or draw is None:
        return scores.argmax(dim=1)
    # The largest is taken out first, so that no temperature makes infinity of a score.
    shifted = (scores - scores.max(dim=1, keepdim=True).values).double() / temperature
    sums = shifted.softmax(dim=1).cumsum(dim=1)
    # The first token whose sum is beyond the draw; it has a share of its own.
    return (sums <= draw[:, None].to(sums) * sums[:, -1:]).sum(dim=1).clamp(max=sums.shape[1] - 1)
