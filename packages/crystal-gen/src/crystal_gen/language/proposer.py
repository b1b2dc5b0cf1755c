"""A language model as a source of ranked answers."""

from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from crystal_data.generation import GenerationRequest
from crystal_gen.language.model import LanguageModel
from crystal_gen.language.tree import group_logs
from crystal_gen.wyckoff.proposals import GroupProposal, Proposal, SymmetryProposer, as_asked
from crystal_gen.wyckoff.questions import SymmetryQuestion


class LanguageProposer(SymmetryProposer):
    """The most probable answers of a language model.

    The score is the logarithm of the probability among the legal answers. Best parts are completed
    first, as ``crystal_gen.wyckoff.search`` does for the compact model, and with its limits.

    Args:
        model: A trained model.
    """

    def __init__(self, model: LanguageModel) -> None:
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
        questions = self._questions(requests, z_values)
        found: list[list[GroupProposal]] = [[] for _ in requests]
        rows = [row for row, each in enumerate(questions) if self.model.grammar.can_answer(each)]
        logs = group_logs(self.model.tree([questions[row] for row in rows]))
        for row, own in zip(rows, logs, strict=True):
            best = np.argsort(-own, kind="stable")[:limit].tolist()
            found[row] = [GroupProposal(n, float(own[n])) for n in best if np.isfinite(own[n])]
        return found

    def _questions(
        self, requests: Sequence[GenerationRequest], z_values: Sequence[int] | None
    ) -> list[SymmetryQuestion]:
        names = self.model.properties
        return [SymmetryQuestion.from_request(each, names, z_values) for each in requests]
