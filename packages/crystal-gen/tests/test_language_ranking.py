"""Ranked answers of a language model: the best are the best of all."""

from collections.abc import Callable, Iterator
from math import exp
from typing import Any

import pytest
import torch

from crystal_data.generation import GenerationRequest
from crystal_gen import ModelProposer, WyckoffAssignment
from crystal_gen.language.cursor import Cursor, PieceTokens
from crystal_gen.language.model import LanguageModel
from crystal_gen.wyckoff.questions import SymmetryQuestion


class Given(LanguageModel):
    """A language model of which network and tokenizer are given."""

    def __init__(self, network: Any, spoken: PieceTokens) -> None:
        super().__init__(lists_positions=False)
        self.given, self.words = network, spoken

    @property
    def network(self) -> Any:
        return self.given

    @property
    def spoken(self) -> PieceTokens:
        return self.words


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
    given = Given(model, spoken)
    request = GenerationRequest(formula="NaCl", z=1, space_group=221)
    question = SymmetryQuestion.from_request(request, ())
    root = Cursor(spoken, given.grammar, question)
    [prompt] = given.prompts([question])
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
    [found] = ModelProposer(given).propose([request], 10)
    assert [each.assignment for each in found] == expected[:10]
    for each in found:
        assert each.score == pytest.approx(canonical[each.assignment], abs=1e-5)


def test_questions_do_not_change_each_other(piece_tokens: Callable, untrained_glm) -> None:
    spoken = piece_tokens("words")
    proposer = ModelProposer(Given(untrained_glm(len(spoken.tokenizer)), spoken))
    requests = [GenerationRequest(formula="NaCl", z=1), GenerationRequest(formula="Fe2O3", z=2)]
    together = proposer.propose(requests, 3)
    for request, answers in zip(requests, together, strict=True):
        [alone] = proposer.propose([request], 3)
        assert [each.score for each in alone] == pytest.approx([a.score for a in answers], abs=1e-4)
        assert len(answers) == 3


@pytest.mark.parametrize("kind", ["words", "bytes"])
def test_groups_have_the_probabilities_of_their_answers(
    kind: str, piece_tokens: Callable, untrained_glm: Callable
) -> None:
    spoken = piece_tokens(kind)
    proposer = ModelProposer(Given(untrained_glm(len(spoken.tokenizer)), spoken))
    request = GenerationRequest(formula="NaCl")
    [groups] = proposer.groups([request], 230, z_values=[1, 3])
    assert sum(exp(each.score) for each in groups) == pytest.approx(1.0, abs=1e-5)
    scores = [each.score for each in groups]
    assert scores == sorted(scores, reverse=True)
    asked = GenerationRequest(formula="NaCl", z=1, space_group=221)
    [[only]] = proposer.groups([asked], 5)
    assert (only.space_group, only.score) == (221, pytest.approx(0.0, abs=1e-6))
