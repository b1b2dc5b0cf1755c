"""The most probable answers of a language model, as proposals with logarithms of probabilities."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from typing_extensions import override

from crystal_data.generation import GenerationRequest
from crystal_gen.language.cursor import Cursor, PieceTokens
from crystal_gen.language.decoding import padded_prompts
from crystal_gen.language.grammar import AnswerGrammar
from crystal_gen.language.prompt import Prompt
from crystal_gen.wyckoff.proposals import Proposal, SymmetryProposer, as_asked
from crystal_gen.wyckoff.questions import SymmetryQuestion
from crystal_gen.wyckoff.search import most_probable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_QUESTIONS_AT_ONCE = 64
_NODES_AT_ONCE = 256


class TokenNode(NamedTuple):
    """The beginning of an answer, up to the next token of which there is a choice.

    Attributes:
        row: Of the question.
        log: Logarithm of its probability.
        tokens: Of the answer.
        cursor: Behind them.
    """

    row: int
    log: float
    tokens: tuple[int, ...]
    cursor: Cursor

    @property
    def is_complete(self) -> bool:
        """Whether it is an answer."""
        return self.cursor.is_done

    @property
    def is_canonical(self) -> bool:
        """Whether canonical answers may begin with it."""
        return self.cursor.part.is_canonical


class TokenTree:
    """The answers to some questions, token by token.

    Each part is read by the model as a whole; nothing of the attention is kept between parts.

    Args:
        model: A causal language model in evaluation mode.
        prompts: Tokens of each question.
        roots: The beginning of its answers.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        prompts: Sequence[Sequence[int]],
        roots: Sequence[Cursor],
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._roots = roots

    def roots(self) -> list[TokenNode]:
        """The beginning of each question's answers."""
        return [_forced(TokenNode(row, 0.0, (), root)) for row, root in enumerate(self._roots)]

    def children(self, nodes: Sequence[TokenNode]) -> Iterator[TokenNode]:
        """All legal next choices of some nodes, each with its probability.

        Args:
            nodes: None of them complete.
        """
        for first in range(0, len(nodes), _NODES_AT_ONCE):
            some = nodes[first : first + _NODES_AT_ONCE]
            for node, scores in zip(some, self._scores(some), strict=True):
                legal = node.cursor.legal
                logs = scores[torch.from_numpy(legal)].double().log_softmax(0)
                for token, log in zip(legal.tolist(), logs.tolist(), strict=True):
                    after = node.cursor.after(token)
                    tokens = (*node.tokens, token)
                    yield _forced(TokenNode(node.row, node.log + log, tokens, after))

    def _scores(self, nodes: Sequence[TokenNode]) -> torch.Tensor:
        """Scores of the next token; ``[num_nodes, num_words]``."""
        texts = [(*self._prompts[node.row], *node.tokens) for node in nodes]
        input_ids, mask = padded_prompts(texts, nodes[0].cursor.shared[0].end)
        device = self._model.device
        with torch.no_grad():
            output = self._model(
                input_ids=input_ids.to(device),
                attention_mask=mask.to(device),
                # A text has the same places whether it is padded or not.
                position_ids=(mask.cumsum(1) - 1).clamp(min=0).to(device),
                logits_to_keep=1,
                use_cache=False,
            )
        scores: torch.Tensor = output.logits[:, -1].float().cpu()
        return scores


class LanguageProposer(SymmetryProposer):
    """The most probable answers of a language model.

    The score is the logarithm of the probability among the legal answers. Best parts are completed
    first, as ``crystal_gen.wyckoff.search`` does for the compact model, and with its limits.

    Args:
        model: A causal language model of transformers.
        spoken: The tokens of its tokenizer.
        prompt: How it is asked.
        grammar: How it answers.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        spoken: PieceTokens,
        prompt: Prompt | None = None,
        grammar: AnswerGrammar | None = None,
    ) -> None:
        self.model = model.eval()
        self.spoken = spoken
        self.prompt = prompt or Prompt()
        self.grammar = grammar or AnswerGrammar()

    @override
    def propose(
        self,
        requests: Sequence[GenerationRequest],
        limit: int,
        *,
        z_values: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        names = list(self.prompt.properties)
        questions = [SymmetryQuestion.from_request(each, names, z_values) for each in requests]
        found = []
        for first in range(0, len(questions), _QUESTIONS_AT_ONCE):
            found += self._answers(questions[first : first + _QUESTIONS_AT_ONCE], limit)
        return [
            [Proposal(as_asked(request, each.assignment), each.score) for each in answers]
            for request, answers in zip(requests, found, strict=True)
        ]

    def _answers(self, questions: Sequence[SymmetryQuestion], limit: int) -> list[list[Proposal]]:
        texts = [self.prompt.text(question) for question in questions]
        prompts = [self.spoken.tokenizer.encode(text) for text in texts]
        roots = [Cursor(self.spoken, self.grammar, question) for question in questions]
        answers = most_probable(TokenTree(self.model, prompts, roots), limit)
        return [
            [
                Proposal(assignment, node.log)
                for node in nodes
                if (assignment := node.cursor.assignment) is not None
            ]
            for nodes in answers
        ]


def _forced(node: TokenNode) -> TokenNode:
    """The node behind the tokens of which there is no choice."""
    cursor, tokens = node.cursor, node.tokens
    while not cursor.is_done and len(cursor.legal) == 1:
        token = int(cursor.legal[0])
        cursor, tokens = cursor.after(token), (*tokens, token)
    return node._replace(cursor=cursor, tokens=tokens)
