"""The answers to questions as a tree of tokens, read by a language model."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_gen.language.cursor import Cursor
from crystal_gen.language.decoding import padded_prompts
from crystal_gen.wyckoff.legal import NUM_GROUPS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

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

    Prompts are read once. What follows of a part is read as a whole: it is short, and nothing has
    to be kept of parts that may never be looked at again.

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
        self._roots = roots
        if roots:
            input_ids, mask = padded_prompts(prompts, roots[0].shared[0].end)
            self._mask = mask.to(model.device)
            output = self._read(input_ids.to(model.device), self._mask, None)
            self._memory = [(layer.keys, layer.values) for layer in output.cache.layers]

    def roots(self) -> list[TokenNode]:
        """The beginning of each question's answers."""
        return [_forced(TokenNode(row, 0.0, (), root)) for row, root in enumerate(self._roots)]

    def children(self, nodes: Sequence[TokenNode]) -> Iterator[TokenNode]:
        """All legal next choices of some nodes, each with its probability.

        Args:
            nodes: None of them complete.
        """
        for node, logs in self.logs(nodes):
            for token, log in zip(node.cursor.legal.tolist(), logs.tolist(), strict=True):
                yield _forced(_after(node, token, log))

    def logs(self, nodes: Sequence[TokenNode]) -> Iterator[tuple[TokenNode, NDArray[np.float64]]]:
        """Logarithms of the probabilities of the legal next tokens of each node.

        Args:
            nodes: None of them complete.
        """
        for node, scores in self.scores(nodes):
            logs = scores[torch.from_numpy(node.cursor.legal)].double().log_softmax(0)
            yield node, logs.numpy()

    def scores(self, nodes: Sequence[TokenNode]) -> Iterator[tuple[TokenNode, Tensor]]:
        """Scores of all next tokens, legal or not; each ``[num_words]``."""
        for first in range(0, len(nodes), _NODES_AT_ONCE):
            some = nodes[first : first + _NODES_AT_ONCE]
            yield from zip(some, self._scores(some), strict=True)

    def _scores(self, nodes: Sequence[TokenNode]) -> Tensor:
        """Scores of the next token; ``[num_nodes, num_words]``."""
        from transformers import DynamicCache

        device = self._model.device
        # Something always stands before the first choice, so that no part is empty.
        input_ids, mask = padded_prompts([node.tokens for node in nodes], 0)
        rows = torch.tensor([node.row for node in nodes], device=device)
        memory = DynamicCache(config=self._model.config)
        for place, (keys, values) in enumerate(self._memory):
            memory.update(keys[rows], values[rows], place)
        mask = torch.cat([self._mask[rows], mask.to(device)], 1)
        scores: Tensor = self._read(input_ids.to(device), mask, memory).logits[:, -1].float().cpu()
        return scores

    def _read(self, input_ids: Tensor, mask: Tensor, memory: Any) -> Any:
        """What the model makes of tokens behind those that it remembers.

        Args:
            input_ids: ``[num_rows, num_tokens]``.
            mask: Where there is a token, remembered ones first.
            memory: Cache of the attention; None for none.
        """
        # A text has the same places whether it is padded or not.
        places = (mask.cumsum(1) - 1).clamp(min=0)[:, -input_ids.shape[1] :]
        with torch.no_grad():
            return self._model(
                input_ids=input_ids,
                attention_mask=mask,
                position_ids=places,
                cache=memory,
                use_cache=True,
                logits_to_keep=1,
            )


def group_logs(tree: TokenTree) -> NDArray[np.float64]:
    """Logarithms of the probabilities of the groups, by number; ``[num_questions, 231]``."""
    nodes = tree.roots()
    logs = np.full((len(nodes), NUM_GROUPS + 1), -np.inf)
    while nodes:
        waiting = []
        for node in nodes:
            progress = node.cursor.part.progress
            if progress is None:
                waiting.append(node)
            else:
                found = logs[node.row, progress.space_group]
                logs[node.row, progress.space_group] = np.logaddexp(found, node.log)
        nodes = []
        for node, own in tree.logs(waiting):
            for token, log in zip(node.cursor.legal.tolist(), own.tolist(), strict=True):
                group = node.cursor.choice(token) if node.cursor.part.z else None
                if group is None:
                    nodes.append(_forced(_after(node, token, log)))
                else:  # what would follow is of no interest, and costs time
                    logs[node.row, group] = np.logaddexp(logs[node.row, group], node.log + log)
    return logs


def free_walks(tree: TokenTree, seeds: Sequence[int]) -> list[bool]:
    """Whether one random answer of each question is legal, where all tokens may come.

    Args:
        tree: Of the questions. What stands before the first choice is given.
        seeds: Of each question's random numbers.
    """
    rngs = [np.random.default_rng(seed) for seed in seeds]
    is_legal = [False] * len(rngs)
    nodes = tree.roots()
    while nodes:
        walking = []
        for node, scores in tree.scores(nodes):
            token = int((scores.numpy() + rngs[node.row].gumbel(size=len(scores))).argmax())
            if token not in node.cursor.legal:
                continue
            after = _after(node, token, 0.0)
            if after.is_complete:
                is_legal[node.row] = True
            else:
                walking.append(after)
        nodes = walking
    return is_legal


def _after(node: TokenNode, token: int, log: float) -> TokenNode:
    """The node behind one more token."""
    return TokenNode(node.row, node.log + log, (*node.tokens, token), node.cursor.after(token))


def _forced(node: TokenNode) -> TokenNode:
    """The node behind the tokens of which there is no choice."""
    cursor, tokens = node.cursor, node.tokens
    while not cursor.is_done and len(cursor.legal) == 1:
        token = int(cursor.legal[0])
        cursor, tokens = cursor.after(token), (*tokens, token)
    return node._replace(cursor=cursor, tokens=tokens)
