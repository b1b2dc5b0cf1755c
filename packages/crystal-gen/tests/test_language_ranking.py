"""Ranked answers of a language model: the best are the best of all."""

from collections.abc import Callable, Iterator
from math import exp

import pytest
import torch

from crystal_data.generation import GenerationRequest
from crystal_gen import WyckoffAssignment
from crystal_gen.language.cursor import Cursor
from crystal_gen.language.grammar import AnswerGrammar
from crystal_gen.language.prompt import Prompt
from crystal_gen.language.ranking import LanguageProposer
from crystal_gen.wyckoff.questions import SymmetryQuestion


def walks(cursor: Cursor, tokens: tuple[int, ...] = ()) -> Iterator[tuple[Cursor, tuple]]:
    if cursor.is_done:
        yield cursor, tokens
        return
    for token in cursor.legal.tolist():
        yield from walks(cursor.after(token), (*tokens, token))


@pytest.mark.parametrize("kind", ["words", "bytes"])
def test_the_best_are_the_best_of_all(
    kind: str, piece_tokens: Callable, untrained_glm: Callable
) -> None:
    spoken = piece_tokens(kind)
    model = untrained_glm(len(spoken.tokenizer)).double()
    for name, weight in model.named_parameters():
        if "norm" not in name:
            weight.data.mul_(8.0)  # so that answers differ in their probabilities
    grammar = AnswerGrammar(lists_positions=False)
    request = GenerationRequest(formula="NaCl", z=1, space_group=221)
    question = SymmetryQuestion.from_request(request, ())
    root = Cursor(spoken, grammar, question)
    prompt = spoken.encode(Prompt().text(question))
    every: dict[WyckoffAssignment, float] = {}
    for end, tokens in walks(root):
        with torch.no_grad():
            ids = torch.tensor([[*prompt, *tokens]])
            logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        log, cursor = 0.0, root
        for token, scores in zip(tokens, logits, strict=True):
            legal = torch.from_numpy(cursor.legal)
            log += float(scores[token] - scores[legal].logsumexp(0))
            cursor = cursor.after(token)
        assert end.assignment is not None
        every[end.assignment] = log
    assert sum(map(exp, every.values())) == pytest.approx(1.0)
    canonical = {each: log for each, log in every.items() if each == each.canonical()}
    assert len(canonical) < len(every)
    expected = sorted(canonical, key=lambda each: -canonical[each])
    proposer = LanguageProposer(model, spoken, grammar=grammar)
    [found] = proposer.propose([request], 10)
    assert [each.assignment for each in found] == expected[:10]
    for each in found:
        assert each.score == pytest.approx(canonical[each.assignment], abs=1e-5)


def test_questions_do_not_change_each_other(piece_tokens: Callable, untrained_glm) -> None:
    spoken = piece_tokens("words")
    proposer = LanguageProposer(untrained_glm(len(spoken.tokenizer)), spoken)
    requests = [GenerationRequest(formula="NaCl", z=1), GenerationRequest(formula="Fe2O3", z=2)]
    together = proposer.propose(requests, 3)
    for request, answers in zip(requests, together, strict=True):
        [alone] = proposer.propose([request], 3)
        assert [each.score for each in alone] == pytest.approx([a.score for a in answers], abs=1e-4)
        assert len(answers) == 3
