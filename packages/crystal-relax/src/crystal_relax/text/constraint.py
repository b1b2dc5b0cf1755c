"""Decoding that cannot leave the grammar: elements, their order and number, and the syntax."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_data.errors import InvalidArgumentError
from crystal_relax.text.tokens import ChangeTokenizer, Kind, allowed_tokens


class ChangeConstraint:
    """A logits processor: at every place only what may stand there has a finite score.

    Called as those of transformers' ``generate`` are. All crystals of a batch are masked at once
    by one look-up, so it costs next to nothing; a crystal that has ended is padded. Whatever the
    model, the temperature or the way of sampling, every sequence is a change of the crystal's own
    elements in their order.

    Args:
        tokenizer: What the tokens mean.
        atomic_numbers: Of the sites of each crystal of the batch.
        num_start_tokens: Before the first token that is generated.
        samples: Sequences of each crystal, next to each other, as beams and samples are.

    Raises:
        InvalidArgumentError: If there are no crystals, or ``samples`` is too small.
    """

    def __init__(
        self,
        tokenizer: ChangeTokenizer,
        atomic_numbers: Sequence[Sequence[int] | NDArray[np.int64]],
        *,
        num_start_tokens: int = 1,
        samples: int = 1,
    ) -> None:
        if not len(atomic_numbers) or samples < 1:
            raise InvalidArgumentError(
                f"{len(atomic_numbers)} crystals and {samples} samples; at least one of each"
            )
        rows = [tokenizer.kinds(numbers) for numbers in atomic_numbers]
        kinds = np.full((len(rows), max(map(len, rows))), Kind.PAD, dtype=np.int64)
        for row, one in zip(kinds, rows, strict=True):
            row[: len(one)] = one
        self._kinds = torch.from_numpy(kinds).repeat_interleave(samples, dim=0)
        allowed = torch.from_numpy(allowed_tokens())
        self._forbidden = ~allowed
        # Of elements, the end and padding one token alone may stand; else -1.
        self._only = allowed.int().argmax(dim=1).masked_fill(allowed.sum(dim=1) != 1, -1)
        self._num_start_tokens = num_start_tokens

    @property
    def max_new_tokens(self) -> int:
        """Tokens that the longest crystal needs."""
        return self._kinds.shape[1]

    @property
    def num_rows(self) -> int:
        """Sequences: crystals times samples."""
        return len(self._kinds)

    def forced(self, place: int) -> Tensor | None:
        """The tokens at a place where no sequence has a choice; None where one has.

        Returns:
            int64 ``[num_rows]``.
        """
        tokens = self._only[self._kinds[:, place]]
        return None if bool((tokens < 0).any()) else tokens

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores with minus infinity for what may not come next.

        Args:
            input_ids: What stands there, start tokens included; int64 ``[num_rows, length]``.
            scores: Of the next token; ``[num_rows, num_tokens]``; a model may have more tokens
                than the tokenizer, which are forbidden.
        """
        if self._kinds.device != scores.device:
            self._kinds = self._kinds.to(scores.device)
            self._forbidden = self._forbidden.to(scores.device)
            self._only = self._only.to(scores.device)
        place = input_ids.shape[1] - self._num_start_tokens
        if place >= self.max_new_tokens:
            kinds = torch.full_like(self._kinds[:, 0], Kind.PAD)
        else:
            kinds = self._kinds[:, place]
        masked = torch.full_like(scores, -torch.inf)
        known = self._forbidden.shape[1]
        # Scores that are NaN, as those of a diverged model, would let nothing be chosen.
        finite = torch.nan_to_num(scores[:, :known], nan=0.0)
        masked[:, :known] = finite.masked_fill(self._forbidden[kinds], -torch.inf)
        return masked
