"""The compact model as a source of ranked answers."""

from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from crystal_data.generation import GenerationRequest
from crystal_gen.wyckoff.model import WyckoffTransformer
from crystal_gen.wyckoff.proposals import GroupProposal, Proposal, SymmetryProposer, as_asked
from crystal_gen.wyckoff.questions import SymmetryQuestion
from crystal_gen.wyckoff.search import best_answers
from crystal_gen.wyckoff.tree import AnswerTree


class ModelProposer(SymmetryProposer):
    """The most probable answers of a trained model.

    The score is the logarithm of the probability, given what is asked. Properties of requests that
    the model does not know are not looked at; ``WishModel.check_properties`` refuses them.

    Args:
        model: A trained model.
    """

    def __init__(self, model: WyckoffTransformer) -> None:
        self.model = model.eval()

    @override
    def propose(
        self,
        requests: Sequence[GenerationRequest],
        limit: int,
        *,
        z_values: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        questions = self._questions(requests, z_values)
        return [
            [Proposal(as_asked(request, each.assignment), each.score) for each in answers]
            for request, answers in zip(
                requests, best_answers(self.model, questions, limit), strict=True
            )
        ]

    @override
    def groups(
        self,
        requests: Sequence[GenerationRequest],
        limit: int,
        *,
        z_values: Sequence[int] | None = None,
    ) -> list[list[GroupProposal]]:
        if not requests:
            return []
        tree = AnswerTree(self.model, self._questions(requests, z_values))
        with_z = list(tree.children(tree.roots()))
        logs = [np.full(0, 0.0) for _ in requests]
        for node, found, _ in tree.logs(with_z):
            own = node.log + found
            before = logs[node.row]
            logs[node.row] = np.logaddexp(before, own) if len(before) else own
        return [
            [
                GroupProposal(group, float(own[group]))
                for group in np.argsort(-own, kind="stable")[:limit].tolist()
                if np.isfinite(own[group])
            ]
            for own in logs
        ]

    def _questions(
        self, requests: Sequence[GenerationRequest], z_values: Sequence[int] | None
    ) -> list[SymmetryQuestion]:
        names = self.model.properties
        return [SymmetryQuestion.from_request(each, names, z_values) for each in requests]
