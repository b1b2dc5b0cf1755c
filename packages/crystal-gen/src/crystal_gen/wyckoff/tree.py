"""The tree of choices, whose leaves are answers.

A node keeps what its questions have left in the memory of the attention, so that one more choice
costs one more token, and nodes of many questions go through the network together.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_gen.wyckoff.assignment import Places, WyckoffAssignment, canonical_places
from crystal_gen.wyckoff.legal import Progress, legal_groups, legal_places
from crystal_gen.wyckoff.model import WyckoffTransformer
from crystal_gen.wyckoff.network import GROUP, MAX_Z, PLACE, Known, Questions, Z
from crystal_gen.wyckoff.questions import SymmetryQuestion

_NODES_AT_ONCE = 1_024


class Node(NamedTuple):
    """A part of an answer.

    Attributes:
        row: Of the question.
        log: Logarithm of its probability.
        memory: Of its questions but the one that is asked next;
            ``[num_layers, 2, num_steps, width]``.
        z: Units of the reduced formula; 0 where they are not chosen.
        progress: None where the group is not chosen.
        places: Of each element that has any, the last one perhaps not complete.
    """

    row: int
    log: float
    memory: Tensor
    z: int = 0
    progress: Progress | None = None
    places: Places = ()

    @property
    def is_complete(self) -> bool:
        """Whether it is an answer."""
        return self.progress is not None and self.progress.is_complete

    @property
    def kind(self) -> int:
        """What is asked next."""
        if not self.z:
            return Z
        return GROUP if self.progress is None else PLACE

    @property
    def is_canonical(self) -> bool:
        """Whether canonical answers may begin with it.

        Every part of a canonical answer from its beginning is canonical itself: if another labeling
        of a part came first, that of the whole would too.
        """
        if self.progress is None or not self.places:
            return True
        return canonical_places(self.progress.space_group, self.places)[1] == self.places


class AnswerTree:
    """Nodes of the answers to some questions.

    Args:
        model: In evaluation mode.
        questions: Whose wishes are those of the model's properties.
    """

    def __init__(self, model: WyckoffTransformer, questions: Sequence[SymmetryQuestion]) -> None:
        self._model = model
        self._questions = questions
        device = model.property_mean.device
        width = max(len(each.elements) for each in questions)
        elements = torch.zeros(len(questions), width, dtype=torch.int64)
        counts = torch.zeros(len(questions), width, dtype=torch.int64)
        for row, each in enumerate(questions):
            elements[row, : len(each.elements)] = torch.tensor(each.elements)
            counts[row, : len(each.counts)] = torch.tensor(each.counts)
        values = torch.tensor([each.wishes for each in questions], dtype=model.property_mean.dtype)
        targets = dict(zip(model.properties, values.to(device).unbind(1), strict=True))
        wishes = model.normalized(targets, len(questions))
        with torch.no_grad():
            known = Known(elements.to(device), counts.to(device), wishes)
            self._memory, self._mask = model.network.read(known)

    def roots(self) -> list[Node]:
        """The beginning of each question's answers."""
        layers, both, _, _, width = self._memory.shape
        nothing = self._memory.new_empty(layers, both, 0, width)
        return [Node(row, 0.0, nothing) for row in range(len(self._questions))]

    def children(self, nodes: Sequence[Node]) -> Iterator[Node]:
        """All legal next choices of some nodes, each with its probability.

        Args:
            nodes: None of them complete.
        """
        for node, logs, memory in self.logs(nodes):
            parent = node._replace(memory=memory)
            for choice in np.flatnonzero(np.isfinite(logs)).tolist():
                yield self.child(parent, choice, float(logs[choice]))

    def child(self, parent: Node, choice: int, log: float) -> Node:
        """A node after one more choice.

        Args:
            parent: Whose memory has the question that is answered.
            choice: Units, number of the group or place of the position; legal.
            log: Logarithm of the choice's probability.
        """
        log += parent.log
        if parent.kind == Z:
            return parent._replace(log=log, z=choice)
        if parent.progress is None:
            atoms = self._atoms(parent)
            return parent._replace(log=log, progress=Progress(choice, atoms))
        turn = self._turn(parent)
        own = (*parent.places[turn], choice) if turn < len(parent.places) else (choice,)
        return parent._replace(
            log=log,
            progress=parent.progress.after(choice),
            places=(*parent.places[:turn], own),
        )

    def logs(
        self, nodes: Sequence[Node], *, is_free: bool = False
    ) -> Iterator[tuple[Node, NDArray[np.float64], Tensor]]:
        """Logarithms of the probabilities of all next choices, and the memory for what follows.

        Args:
            nodes: None of them complete.
            is_free: Illegal groups and positions have a probability too.
        """
        for first in range(0, len(nodes), _NODES_AT_ONCE):
            some = nodes[first : first + _NODES_AT_ONCE]
            # Not around the loop: a generator would switch gradients on and off at each step.
            with torch.no_grad():
                scores, memories = self._scores(some, is_free=is_free)
            yield from zip(some, scores, memories, strict=True)

    def _scores(
        self, nodes: Sequence[Node], *, is_free: bool
    ) -> tuple[list[NDArray[np.float64]], list[Tensor]]:
        """Of each node the logarithms of its choices, and its memory with what is asked."""
        device, network = self._mask.device, self._model.network
        questions = torch.tensor([self._question(node) for node in nodes], device=device)
        memory, mask = self._joined_memory(nodes)
        hidden, own = network.answer(Questions.from_rows(questions[:, None]), memory, mask)
        kinds = [node.kind for node in nodes]
        logs: dict[int, NDArray[np.float64]] = {}
        for kind in (Z, GROUP, PLACE):
            chosen = [place for place, each in enumerate(kinds) if each == kind]
            if not chosen:
                continue
            states = hidden[torch.tensor(chosen, device=device)]
            if kind == PLACE:
                groups = torch.tensor([self._group(nodes[i]) for i in chosen], device=device)
                found = network.place_scores(states, groups)
            else:
                found = network.z_scores(states) if kind == Z else network.group_scores(states)
            values = found[:, 0].double().cpu().numpy()
            if kind == Z or not is_free:
                legal = np.array([self._legal(nodes[i]) for i in chosen])
                values = np.where(legal, values, -np.inf)
            total = np.logaddexp.reduce(values, axis=1, keepdims=True)
            # Where nothing is legal there is nothing to share out.
            values -= np.where(np.isfinite(total), total, 0.0)
            logs |= dict(zip(chosen, values, strict=True))
        # Each in its own place, so that it does not keep the memory of all other nodes alive.
        memories = [
            torch.cat([node.memory, own[:, :, place]], 2) for place, node in enumerate(nodes)
        ]
        return [logs[place] for place in range(len(nodes))], memories

    def answer(self, node: Node) -> WyckoffAssignment:
        """The assignment of a complete node."""
        question = self._questions[node.row]
        return WyckoffAssignment(self._group(node), question.elements, node.places)

    def is_legal(self, node: Node, choice: int) -> bool:
        """Whether a choice can be completed."""
        return bool(self._legal(node)[choice])

    def _legal(self, node: Node) -> NDArray[np.bool_]:
        """Of all next choices."""
        question = self._questions[node.row]
        if node.kind == Z:
            legal = np.zeros(MAX_Z + 1, dtype=bool)
            legal[list(question.z_values)] = True
            # Of an asked group only cells that it can hold.
            for z in question.z_values if question.space_group else ():
                atoms = [count * z for count in question.counts]
                legal[z] = legal_groups(atoms)[question.space_group]
            return legal
        if node.progress is not None:
            return legal_places(node.progress)
        legal = legal_groups(self._atoms(node))
        if question.space_group is None:
            return legal
        return legal & (np.arange(len(legal)) == question.space_group)

    def _atoms(self, node: Node) -> tuple[int, ...]:
        """Of each element in the primitive cell."""
        return tuple(count * node.z for count in self._questions[node.row].counts)

    def _group(self, node: Node) -> int:
        return 0 if node.progress is None else node.progress.space_group

    def _turn(self, node: Node) -> int:
        """Place of the element whose position is asked."""
        left = 0 if node.progress is None else len(node.progress.left)
        return len(self._questions[node.row].elements) - left

    def _question(self, node: Node) -> list[int]:
        """The fields of `Questions`."""
        elements, progress = self._questions[node.row].elements, node.progress
        has_last = bool(node.places)
        return [
            node.kind,
            node.z,
            self._group(node),
            1 + node.places[-1][-1] if has_last else 0,
            elements[len(node.places) - 1] if has_last else 0,
            0 if progress is None else elements[self._turn(node)],
            0 if progress is None else progress.left[0],
            node.memory.shape[2],
        ]

    def _joined_memory(self, nodes: Sequence[Node]) -> tuple[Tensor, Tensor]:
        """What is known and what was asked before, side by side, and where there is a token."""
        rows = torch.tensor([node.row for node in nodes], device=self._mask.device)
        known, mask = self._memory[:, :, rows], self._mask[rows]
        steps = [node.memory.shape[2] for node in nodes]
        layers, both, num_nodes, _, width = known.shape
        before = known.new_zeros(layers, both, num_nodes, max(steps), width)
        for place, node in enumerate(nodes):
            before[:, :, place, : steps[place]] = node.memory
        is_step = torch.arange(max(steps)) < torch.tensor(steps)[:, None]
        return torch.cat([known, before], 3), torch.cat([mask, is_step.to(mask)], 1)
