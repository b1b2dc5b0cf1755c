"""Answers of the compact model: the most probable ones, and random ones without repetition."""

import heapq
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from crystal_gen.wyckoff.legal import NUM_GROUPS
from crystal_gen.wyckoff.model import WyckoffTransformer
from crystal_gen.wyckoff.proposals import Proposal
from crystal_gen.wyckoff.questions import SymmetryQuestion
from crystal_gen.wyckoff.tree import AnswerTree, Node

_QUESTIONS_AT_ONCE = 64
_NODES_AT_ONCE = 32  # of one question
_NODES_FOR_AN_ANSWER = 100  # after as many for each answer the search ends, exact or not


def best_answers(
    model: WyckoffTransformer, questions: Sequence[SymmetryQuestion], limit: int
) -> list[list[Proposal]]:
    """The most probable answers of each question, in order.

    The best part of an answer is completed first, so that no answer better than those given has
    been passed over. Only a question that needs very many parts, 100 for each answer, ends with the
    best of what was found until then. Probabilities are those of canonical answers.

    Args:
        model: In evaluation mode.
        questions: Whose wishes are those of the model's properties.
        limit: Answers for each.
    """
    found = []
    for first in range(0, len(questions), _QUESTIONS_AT_ONCE):
        tree = AnswerTree(model, questions[first : first + _QUESTIONS_AT_ONCE])
        answers = most_probable(tree, limit)
        found += [[Proposal(tree.answer(n), n.log) for n in nodes] for nodes in answers]
    return found


class PartOfAnswer(Protocol):
    """What the search needs of a node."""

    @property
    def row(self) -> int:
        """Of the question."""

    @property
    def log(self) -> float:
        """Logarithm of its probability."""

    @property
    def is_complete(self) -> bool:
        """Whether it is an answer."""

    @property
    def is_canonical(self) -> bool:
        """Whether canonical answers may begin with it."""


Part = TypeVar("Part", bound=PartOfAnswer)


class ChoiceTree(Protocol[Part]):
    """The parts of all answers to some questions."""

    def roots(self) -> list[Part]:
        """The beginning of each question's answers."""

    def children(self, nodes: Sequence[Part]) -> Iterator[Part]:
        """All legal next choices of some nodes, none of them complete."""


def most_probable(tree: ChoiceTree[Part], limit: int) -> list[list[Part]]:
    """The most probable answers of each question of a tree, as :func:`best_answers` finds them.

    Args:
        tree: Of any model.
        limit: Answers for each question.
    """
    searches = [_Search(root, limit) for root in tree.roots()]
    while nodes := [node for search in searches for node in search.next_nodes()]:
        for child in tree.children(nodes):
            searches[child.row].add(child)
    return [search.found for search in searches]


class _Search(Generic[Part]):
    """The most probable answers of one question.

    Args:
        root: Of its answers.
        limit: How many are wanted.
    """

    def __init__(self, root: Part, limit: int) -> None:
        self.found: list[Part] = []
        self._limit = limit
        self._order = count()  # so that nodes are never compared
        self._heap = [(-root.log, next(self._order), root)]
        self._best: list[float] = []  # of the answers, found or not yet, the worst first
        self._nodes_left = _NODES_FOR_AN_ANSWER * limit

    def next_nodes(self) -> list[Part]:
        """Parts that have to be completed next; none if all is found."""
        nodes: list[Part] = []
        waiting = []
        while self._heap and len(self.found) < self._limit and len(nodes) < _NODES_AT_ONCE:
            entry = heapq.heappop(self._heap)
            if entry[2].is_complete:
                if nodes or self._nodes_left <= 0:
                    # A part that is more probable may still become a better answer.
                    waiting.append(entry)
                else:
                    self.found.append(entry[2])
            elif self._nodes_left > 0:
                nodes.append(entry[2])
        if self._nodes_left <= 0:
            self.found += [entry[2] for entry in waiting][: self._limit - len(self.found)]
            return []
        for entry in waiting:
            heapq.heappush(self._heap, entry)
        self._nodes_left -= len(nodes)
        return nodes

    def add(self, node: Part) -> None:
        """Takes a child of one of the parts."""
        if len(self._best) == self._limit and node.log <= self._best[0]:
            return
        if not node.is_canonical:
            return
        if node.is_complete:
            heapq.heappush(self._best, node.log)
            if len(self._best) > self._limit:
                heapq.heappop(self._best)
        heapq.heappush(self._heap, (-node.log, next(self._order), node))


def marginal_group_logs(
    model: WyckoffTransformer, questions: Sequence[SymmetryQuestion]
) -> NDArray[np.float64]:
    """Logarithms of the probabilities of groups, summed over what z may be.

    Args:
        model: In evaluation mode.
        questions: Whose wishes are those of the model's properties.

    Returns:
        By number of the group; ``[num_questions, 231]``.
    """
    logs = np.full((len(questions), NUM_GROUPS + 1), -np.inf)
    if not questions:
        return logs
    tree = AnswerTree(model, questions)
    for node, found, _ in tree.logs(list(tree.children(tree.roots()))):
        logs[node.row] = np.logaddexp(logs[node.row], node.log + found)
    return logs


def random_answers(
    model: WyckoffTransformer,
    questions: Sequence[SymmetryQuestion],
    limit: int,
    seeds: Sequence[int],
) -> list[list[Proposal]]:
    """Different answers of each question, drawn by the model's probabilities without repetition.

    Args:
        model: In evaluation mode.
        questions: Whose wishes are those of the model's properties.
        limit: Answers for each; fewer where there are no more.
        seeds: Of each question's random numbers.

    Returns:
        In the order in which they were drawn.

    Source:
        Stochastic beam search: Kool, van Hoof and Welling, arXiv 1903.06059.
    """
    rngs = [np.random.default_rng(seed) for seed in seeds]
    found: list[list[Proposal]] = []
    for first in range(0, len(questions), _QUESTIONS_AT_ONCE):
        tree = AnswerTree(model, questions[first : first + _QUESTIONS_AT_ONCE])
        beams: list[list[tuple[float, Node]]] = [[(0.0, root)] for root in tree.roots()]
        while nodes := [(key, n) for beam in beams for key, n in beam if not n.is_complete]:
            beams = [[pair for pair in beam if pair[1].is_complete] for beam in beams]
            keys = {id(node): key for key, node in nodes}
            for node, logs, memory in tree.logs([node for _, node in nodes]):
                choices = np.flatnonzero(np.isfinite(logs))
                drawn = _noisy(node.log + logs[choices], keys[id(node)], rngs[first + node.row])
                parent = node._replace(memory=memory)
                children = (tree.child(parent, c, float(logs[c])) for c in choices.tolist())
                beams[node.row] += [
                    pair
                    for pair in zip(drawn.tolist(), children, strict=True)
                    if pair[1].is_canonical
                ]
            beams = [sorted(beam, key=lambda pair: -pair[0])[:limit] for beam in beams]
        found += [[Proposal(tree.answer(n), n.log) for _, n in beam] for beam in beams]
    return found


def _noisy(logs: np.ndarray, largest: float, rng: np.random.Generator) -> np.ndarray:
    """Logarithms with Gumbel noise of which the largest is a given one; ``[num_choices]``."""
    noisy = logs + rng.gumbel(size=len(logs))
    # Eq. 11 of the source, in the form of its appendix that does not overflow.
    with np.errstate(divide="ignore"):  # of the largest, which becomes the given one
        v = largest - noisy + np.log1p(-np.exp(noisy - noisy.max()))
    kept: np.ndarray = largest - np.maximum(v, 0.0) - np.log1p(np.exp(-np.abs(v)))
    return kept


def free_walks(
    model: WyckoffTransformer, questions: Sequence[SymmetryQuestion], seeds: Sequence[int]
) -> list[bool]:
    """Whether one random answer of each question is legal, where the model is not held to it.

    Args:
        model: In evaluation mode.
        questions: Whose wishes are those of the model's properties.
        seeds: Of each question's random numbers.
    """
    rngs = [np.random.default_rng(seed) for seed in seeds]
    tree = AnswerTree(model, questions)
    is_legal = [False] * len(questions)
    nodes = tree.roots()
    while nodes:
        after = []
        for node, logs, memory in tree.logs(nodes, is_free=True):
            choice = int((logs + rngs[node.row].gumbel(size=len(logs))).argmax())
            if not tree.is_legal(node, choice):
                continue
            parent = node._replace(memory=memory)
            child = tree.child(parent, choice, float(logs[choice]))
            if child.is_complete:
                is_legal[node.row] = True
            else:
                after.append(child)
        nodes = after
    return is_legal
