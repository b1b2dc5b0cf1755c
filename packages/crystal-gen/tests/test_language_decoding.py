"""Constrained decoding: every answer is legal, also those of models that have learned nothing."""

from collections.abc import Callable, Sequence

import pytest
import torch

from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GenerationRequest
from crystal_gen.language.cursor import Cursor, PieceTokens
from crystal_gen.language.decoding import LegalTokens, generate_answers
from crystal_gen.language.grammar import AnswerGrammar
from crystal_gen.language.prompt import Prompt
from crystal_gen.wyckoff.questions import SymmetryQuestion

QUESTIONS = (
    SymmetryQuestion((11, 17), (1, 1), (1,)),
    SymmetryQuestion((3, 25, 8), (1, 2, 4), (1, 2)),
    SymmetryQuestion((22, 8), (1, 2), (2,), space_group=136),
    SymmetryQuestion((29,), (1,), (1, 2, 3, 4)),
)


def roots_of(spoken: PieceTokens, questions: Sequence[SymmetryQuestion]) -> list[Cursor]:
    return [Cursor(spoken, AnswerGrammar(), question) for question in questions]


def check(cursor: Cursor, question: SymmetryQuestion) -> None:
    assert cursor.is_done
    found = cursor.assignment
    assert found is not None
    made = GenerationRequest(space_group=found.space_group, wyckoff=found.sites)
    atoms = [made.cell[symbol] for symbol in made.cell]
    units = {
        made.cell[symbol] / count
        for symbol in made.cell
        for element, count in zip(question.elements, question.counts, strict=True)
        if ATOMIC_NUMBERS[symbol] == element
    }
    assert len(units) == 1
    assert units <= set(question.z_values)
    assert len(atoms) == len(question.elements)
    assert question.space_group in (None, found.space_group)


@pytest.mark.parametrize("kind", ["words", "bytes"])
@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": True, "num_return_sequences": 3},
        {"do_sample": True, "temperature": 5.0},
        {"do_sample": True, "temperature": 0.05},
        {"do_sample": False},
        {"do_sample": False, "num_beams": 3, "num_return_sequences": 3},
    ],
    ids=["samples", "hot", "cold", "greedy", "beams"],
)
def test_an_untrained_model_answers_legally(
    kind: str, options: dict, piece_tokens: Callable[[str], PieceTokens], untrained_glm: Callable
) -> None:
    spoken = piece_tokens(kind)
    model = untrained_glm(len(spoken.tokenizer))
    torch.manual_seed(0)
    prompts = [spoken.encode(Prompt().text(question)) for question in QUESTIONS]
    answers = generate_answers(model, prompts, roots_of(spoken, QUESTIONS), **options)
    for question, cursors in zip(QUESTIONS, answers, strict=True):
        assert len(cursors) == options.get("num_return_sequences", 1)
        for cursor in cursors:
            check(cursor, question)


def test_scores_are_logarithms_of_probabilities(piece_tokens: Callable) -> None:
    spoken = piece_tokens("words")
    roots = roots_of(spoken, QUESTIONS)
    processor = LegalTokens(roots, prompt_length=2)
    ids, scores = torch.zeros(4, 2, dtype=torch.int64), torch.randn(4, len(spoken.tokenizer))
    held = processor(ids, scores)
    torch.testing.assert_close(held.exp().sum(1), torch.ones(4))
    for row, root in enumerate(roots):
        assert held[row].isfinite().nonzero()[:, 0].tolist() == root.legal.tolist()
        expected = scores[row, torch.from_numpy(root.legal)].log_softmax(0)
        torch.testing.assert_close(held[row][torch.from_numpy(root.legal)], expected)


def test_rows_may_change_places(piece_tokens: Callable) -> None:
    """As beams do: the answer decides, not the row where it was before."""
    spoken = piece_tokens("bytes")
    [root] = roots_of(spoken, QUESTIONS[3:])
    processor = LegalTokens([root], prompt_length=0)
    walks = torch.zeros(6, 0, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    for _ in range(12):
        held = processor(walks, torch.zeros(6, len(spoken.tokenizer)))
        chosen = torch.multinomial(held.exp(), 1, generator=generator)
        walks = torch.cat([walks, chosen], 1)[torch.randperm(6, generator=generator)]
    fresh = LegalTokens([root], prompt_length=0).cursors(walks)
    assert [id(each) for each in processor.cursors(walks)] == [id(each) for each in fresh]


def test_rows_that_are_of_no_question_are_refused(piece_tokens: Callable) -> None:
    processor = LegalTokens(roots_of(piece_tokens("words"), QUESTIONS), 0)
    with pytest.raises(InvalidArgumentError, match="3 rows"):
        processor.cursors(torch.zeros(3, 0, dtype=torch.int64))


def test_a_token_that_is_not_legal_is_refused(piece_tokens: Callable) -> None:
    [root] = roots_of(piece_tokens("words"), QUESTIONS[:1])
    with pytest.raises(InvalidArgumentError, match="no legal one"):
        root.after(int(root.legal[0]) + 1)
