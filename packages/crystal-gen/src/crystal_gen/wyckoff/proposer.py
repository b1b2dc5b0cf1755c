"""A model of symmetry as a source of ranked answers."""

from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from crystal_data.generation import GenerationRequest
from crystal_gen.wyckoff.proposals import GroupProposal, Proposal, SymmetryProposer, as_asked
from crystal_gen.wyckoff.questions import SymmetryQuestion
from crystal_gen.wyckoff.symmetry_model import SymmetryModel


class ModelProposer(SymmetryProposer):
    """The most probable answers of a trained model.

    The score is the logarithm of the probability, given what is asked. Properties of requests that
    the model does not know are not looked at; ``WishModel.check_properties`` refuses them.

    Args:
        model: A trained model, compact or of language.
    """

    def __init__(self, model: SymmetryModel) -> None:
        self.model = model.eval()

    @override
    def propose(
        self,
        requests: Sequence[GenerationRequest],
        limit: int,
        *,
        z_values: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        found = self.model.best_answers(self._questions(requests, z_values), limit)
        return [
            [Proposal(as_asked(request, each.assignment), each.score) for each in answers]
            for request, answers in zip(requests, found, strict=True)
        ]

    @override
    def groups(
        self,
        requests: Sequence[GenerationRequest],
        limit: int,
        *,
        z_values: Sequence[int] | None = None,
    ) -> list[list[GroupProposal]]:
        logs = self.model.marginal_group_logs(self._questions(requests, z_values))
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
