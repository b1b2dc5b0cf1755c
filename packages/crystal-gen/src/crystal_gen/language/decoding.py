"""Decoding by transformers' own ``generate``, held to legal answers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from crystal_data.errors import InvalidArgumentError
from crystal_gen.language.cursor import Cursor

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LegalTokens:
    """A logits processor of transformers: only what can still become a legal answer is left.

    What it gives are logarithms of probabilities among the legal tokens, so that the scores of
    beams are those of answers. It works with sampling and with beams in any order: the cursor of
    each beginning of an answer is found by its tokens.

    Args:
        roots: The beginning of each question's answers, in the order of the batch; rows of one
            question (its beams or samples) are next to each other.
        prompt_length: Tokens before the answers, padding included.
    """

    # ``generate`` calls anything that it is given in a LogitsProcessorList; transformers' own base
    # class would load the library with this module.

    def __init__(self, roots: Sequence[Cursor], prompt_length: int) -> None:
        self._roots = roots
        self._prompt_length = prompt_length
        self._cursors = {(row, b""): root for row, root in enumerate(roots)}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores of tokens, of illegal ones minus infinity.

        Args:
            input_ids: ``[num_rows, num_tokens]``.
            scores: ``[num_rows, num_words]``.
        """
        legal = [cursor.legal for cursor in self.cursors(input_ids)]
        lengths = [len(tokens) for tokens in legal]
        rows = torch.from_numpy(np.repeat(np.arange(len(legal)), lengths)).to(scores.device)
        tokens = torch.from_numpy(np.concatenate(legal)).to(scores.device)
        kept = scores[rows, tokens]
        # Few of many words are legal, so that the sum is over these alone.
        narrow = kept.new_full((len(legal), max(lengths)), -torch.inf)
        places = torch.from_numpy(np.concatenate([np.arange(n) for n in lengths])).to(scores.device)
        narrow[rows, places] = kept
        held = torch.full_like(scores, -torch.inf)
        held[rows, tokens] = narrow.log_softmax(1)[rows, places]
        return held

    def cursors(self, input_ids: Tensor) -> list[Cursor]:
        """Where each row is.

        Args:
            input_ids: ``[num_rows, num_tokens]``.

        Raises:
            InvalidArgumentError: If the rows cannot be shared out among the questions.
        """
        each, rest = divmod(len(input_ids), len(self._roots))
        if rest or not each:
            raise InvalidArgumentError(
                f"{len(input_ids)} rows are not those of {len(self._roots)} questions",
                "each question needs equally many rows, its beams or samples",
            )
        answers = input_ids[:, self._prompt_length :].cpu().numpy()
        return [self._cursor(row // each, tokens) for row, tokens in enumerate(answers)]

    def _cursor(self, row: int, tokens: np.ndarray) -> Cursor:
        key = (row, tokens.tobytes())
        cursor = self._cursors.get(key)
        if cursor is None:
            cursor = self._cursor(row, tokens[:-1]).after(int(tokens[-1]))
            self._cursors[key] = cursor
        return cursor


@torch.no_grad()
def generate_answers(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    roots: Sequence[Cursor],
    **options: Any,
) -> list[list[Cursor]]:
    """Legal answers by ``model.generate``.

    Args:
        model: A causal language model.
        prompts: Tokens of each question.
        roots: The beginning of its answers.
        options: Of ``generate``: ``do_sample``, ``temperature``, ``num_beams``,
            ``num_return_sequences`` and so on.

    Returns:
        The end of each answer, for each question as many as are asked.
    """
    from transformers import LogitsProcessorList

    spoken = roots[0].shared[0]
    input_ids, mask = padded_prompts(prompts, spoken.end)
    processor = LegalTokens(roots, input_ids.shape[1])
    made = model.generate(
        input_ids.to(model.device),
        attention_mask=mask.to(model.device),
        logits_processor=LogitsProcessorList([processor]),
        eos_token_id=spoken.end,
        pad_token_id=spoken.end,
        top_k=0,
        max_new_tokens=_LONGEST,
        **options,
    )
    ends = processor.cursors(made)
    each = len(ends) // len(roots)
    return [ends[first : first + each] for first in range(0, len(ends), each)]


#: Tokens of an answer; cells of the training data need a tenth with our own tokenizer.
_LONGEST = 1_024


def padded_prompts(prompts: Sequence[Sequence[int]], filler: int) -> tuple[Tensor, Tensor]:
    """Prompts that end together, and where they have a token; each ``[num_rows, num_tokens]``."""
    longest = max(map(len, prompts))
    input_ids = torch.full((len(prompts), longest), filler)
    mask = torch.zeros_like(input_ids)
    for row, prompt in enumerate(prompts):
        input_ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return input_ids, mask
