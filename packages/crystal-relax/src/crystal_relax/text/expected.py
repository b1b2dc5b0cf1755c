"""The numbers that a distribution over tokens stands for, so that errors of numbers have gradients.

A number is a sign and digits. Its expected value, were they independent, is the expected sign times
the sum of the expected digits times what a one counts at their places.
"""

import torch
from torch import Tensor

from crystal_relax.text.tokens import ChangeTokenizer, Kind


def expected_numbers(logits: Tensor, kinds: Tensor, place_values: Tensor) -> tuple[Tensor, Tensor]:
    """Expected values of all numbers of a batch.

    Args:
        logits: Of the token at each place; ``[num_crystals, length, num_tokens]``.
        kinds: ``ChangeTokenizer.kinds`` of each crystal, padded; int64 ``[num_crystals, length]``.
        place_values: Those of the tokenizer, padded with 0; ``[num_crystals, length]``.

    Returns:
        Numbers in units of the last decimal, crystal after crystal ``[num_numbers]``, and the
        crystal of each, int64 ``[num_numbers]``.
    """
    first = ChangeTokenizer.FIRST_DIGIT
    signs = logits[..., [ChangeTokenizer.PLUS, ChangeTokenizer.MINUS]].softmax(dim=-1)
    sign = signs[..., 0] - signs[..., 1]
    of_digits = logits[..., first : first + 10].softmax(dim=-1)
    digit = of_digits @ torch.arange(10, dtype=logits.dtype, device=logits.device)
    is_sign, is_digit = kinds == Kind.SIGN, kinds == Kind.DIGIT
    # Numbers are counted through the whole batch; each digit belongs to the sign before it.
    owner = is_sign.flatten().cumsum(0).view(is_sign.shape) - 1
    sums = logits.new_zeros(int(is_sign.sum()))
    sums = sums.index_add(0, owner[is_digit], digit[is_digit] * place_values[is_digit].to(digit))
    rows = torch.arange(len(kinds), device=kinds.device)[:, None].expand_as(kinds)
    return sign[is_sign] * sums, rows[is_sign]
