"""True answers as what a language model learns from: tokens, and the choices among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_gen.language.cursor import Cursor, PieceTokens
from crystal_gen.language.grammar import AnswerGrammar, Part
from crystal_gen.wyckoff.assignment import WyckoffAssignment
from crystal_gen.wyckoff.network import MAX_Z
from crystal_gen.wyckoff.questions import SymmetryQuestion


class Lesson(NamedTuple):
    """An answer token by token.

    Attributes:
        tokens: Of the answer, its end included; ``[num_tokens]``.
        places: Of the tokens that count; ``[num_choices]``.
        parts: What each of them decides: place among ``PARTS``; ``[num_choices]``.
        legal: Tokens that could stand there instead, itself included, end to end.
        num_legal: How many these are; ``[num_choices]``.
    """

    tokens: NDArray[np.int64]
    places: NDArray[np.int64]
    parts: NDArray[np.int64]
    legal: NDArray[np.int64]
    num_legal: NDArray[np.int64]


@lru_cache(maxsize=32_768)
def lesson_of(
    assignment: WyckoffAssignment,
    spoken: PieceTokens,
    grammar: AnswerGrammar,
    *,
    counts_forced: bool,
) -> Lesson:
    """The answer to the composition of an assignment, with z and group open.

    Args:
        assignment: Canonical.
        spoken: The tokens of pieces.
        grammar: Of the answer.
        counts_forced: Tokens of which there is no choice count too.
    """
    atoms = tuple(assignment.cell.values())
    z = int(np.gcd.reduce(atoms))
    question = SymmetryQuestion(
        elements=assignment.elements,
        counts=tuple(count // z for count in atoms),
        z_values=tuple(range(1, max(MAX_Z, z) + 1)),
    )
    pieces = grammar.pieces(question, assignment)
    tokens = [token for piece in pieces for token in spoken.encode(piece)] + [spoken.end]
    cursor = Cursor(spoken, grammar, question)
    places, parts, legal = [], [], []
    for place, token in enumerate(tokens):
        if counts_forced or len(cursor.legal) > 1:
            places.append(place)
            parts.append(_decided(cursor.part))
            legal.append(cursor.legal)
        cursor = cursor.after(token)
    return Lesson(
        np.array(tokens),
        np.array(places),
        np.array(parts),
        np.concatenate(legal),
        np.array([len(each) for each in legal]),
    )


def _decided(part: Part) -> int:
    """Place among ``PARTS`` of what is chosen next."""
    if not part.z:
        return 0
    return 1 if part.progress is None else 2


@dataclass(frozen=True)
class LessonBatch:
    """Prompts and answers side by side, padded at their ends.

    Args:
        input_ids: int64 ``[num_rows, num_tokens]``.
        rows: Of each choice; ``[num_choices]``.
        places: Of the token before it; ``[num_choices]``.
        chosen: Its token; ``[num_choices]``.
        parts: As of a :class:`Lesson`; ``[num_choices]``.
        legal: Choice and token of each pair that is legal; ``[2, num_pairs]``.
    """

    input_ids: Tensor
    rows: Tensor
    places: Tensor
    chosen: Tensor
    parts: Tensor
    legal: Tensor


def lesson_batch(prompts: Sequence[Sequence[int]], lessons: Sequence[Lesson]) -> LessonBatch:
    """Prompts with their answers.

    Args:
        prompts: Tokens of each question.
        lessons: Its true answer.
    """
    texts = [[*prompt, *each.tokens] for prompt, each in zip(prompts, lessons, strict=True)]
    # What stands behind an answer is read by nothing before it, so any token will do.
    input_ids = np.zeros((len(prompts), max(map(len, texts))), dtype=np.int64)
    for row, text in enumerate(texts):
        input_ids[row, : len(text)] = text
    num_choices = [len(each.places) for each in lessons]
    firsts = [len(prompt) - 1 for prompt in prompts]
    num_legal = np.concatenate([each.num_legal for each in lessons])
    pairs = np.stack(
        [
            np.repeat(np.arange(len(num_legal)), num_legal),
            np.concatenate([each.legal for each in lessons]),
        ]
    )
    return LessonBatch(
        input_ids=torch.from_numpy(input_ids),
        rows=torch.from_numpy(np.repeat(np.arange(len(prompts)), num_choices)),
        places=torch.from_numpy(
            np.concatenate([each.places for each in lessons]) + np.repeat(firsts, num_choices)
        ),
        chosen=torch.from_numpy(np.concatenate([each.tokens[each.places] for each in lessons])),
        parts=torch.from_numpy(np.concatenate([each.parts for each in lessons])),
        legal=torch.from_numpy(pairs),
    )
