"""A model's answers and those of known crystals as one distribution."""

from collections import defaultdict
from collections.abc import Sequence
from math import exp, log

from typing_extensions import override

from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GenerationRequest
from crystal_gen.templates.search import TemplateSearch
from crystal_gen.wyckoff.assignment import WyckoffAssignment
from crystal_gen.wyckoff.neighbors import Neighbor, neighbors_of
from crystal_gen.wyckoff.proposals import GroupProposal, Proposal, SymmetryProposer, as_asked

_ALL_GROUPS = 230


class MixedProposer(SymmetryProposer):
    """Mixes the probabilities of a model with the answers of the nearest compositions.

    A model knows what is likely in general, and near crystals what is true of their like. Of the
    nearest crystals each counts by exp(-distance / scale). The score is the logarithm of the mixed
    probability; the source is the nearest crystal that has the answer.

    Args:
        model: Whose scores are logarithms of probabilities.
        search: Of known crystals.
        share: Of the known crystals in the mixture; where none serves, the model is alone.
        scale: Mean difference of Mendeleev numbers; what is farther counts for less.
        neighbors: Crystals that are looked at.

    Raises:
        InvalidArgumentError: If the share is not from 0 to 1, or another number not above 0.

    Source:
        Nearest neighbors in language models: Khandelwal et al., arXiv 1911.00172, eq. 3. The
        defaults have the highest likelihood on validation rows of MP-20.
    """

    def __init__(
        self,
        model: SymmetryProposer,
        search: TemplateSearch,
        *,
        share: float = 0.5,
        scale: float = 2.0,
        neighbors: int = 50,
    ) -> None:
        if not 0.0 <= share <= 1.0:
            raise InvalidArgumentError(f"share is {share}; it is from 0 to 1")
        if not scale > 0.0 or neighbors < 1:
            raise InvalidArgumentError(
                f"scale is {scale} and neighbors {neighbors}; both are above 0"
            )
        self.model = model
        self.share, self.scale, self.neighbors = share, scale, neighbors
        self._search = search

    @override
    def propose(
        self,
        requests: Sequence[GenerationRequest],
        limit: int,
        *,
        z_values: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        proposed = self.model.propose(requests, limit, z_values=z_values)
        return [
            self._mixed(request, answers, self._near(request, z_values))[:limit]
            for request, answers in zip(requests, proposed, strict=True)
        ]

    @override
    def groups(
        self,
        requests: Sequence[GenerationRequest],
        limit: int,
        *,
        z_values: Sequence[int] | None = None,
    ) -> list[list[GroupProposal]]:
        found = []
        proposed = self.model.groups(requests, _ALL_GROUPS, z_values=z_values)
        for request, groups in zip(requests, proposed, strict=True):
            near = self._near(request, z_values)
            mixed: dict[int, float] = defaultdict(float)
            for group in groups:
                mixed[group.space_group] += self._left_to_model(near) * exp(group.score)
            for each, weight in self._weights(near):
                mixed[each.assignment.space_group] += weight
            order = sorted(mixed, key=lambda number: -mixed[number])[:limit]
            found.append([GroupProposal(number, _log(mixed[number])) for number in order])
        return found

    def _mixed(
        self, request: GenerationRequest, answers: Sequence[Proposal], near: Sequence[Neighbor]
    ) -> list[Proposal]:
        mixed: dict[WyckoffAssignment, float] = defaultdict(float)
        source: dict[WyckoffAssignment, str] = {}
        for answer in answers:
            mixed[answer.assignment] += self._left_to_model(near) * exp(answer.score)
        for each, weight in self._weights(near):
            assignment = as_asked(request, each.assignment)
            mixed[assignment] += weight
            source.setdefault(assignment, each.identifier)
        order = sorted(mixed, key=lambda assignment: -mixed[assignment])
        return [Proposal(each, _log(mixed[each]), source.get(each, "")) for each in order]

    def _near(self, request: GenerationRequest, z_values: Sequence[int] | None) -> list[Neighbor]:
        return neighbors_of(self._search, request, self.neighbors, z_values).answers

    def _left_to_model(self, near: Sequence[Neighbor]) -> float:
        return 1.0 - self.share if near else 1.0

    def _weights(self, near: Sequence[Neighbor]) -> list[tuple[Neighbor, float]]:
        """Each neighbor with its part of the mixture; the nearest first."""
        # The nearest counts 1 before all are divided by their sum, however far it is.
        weights = [exp((near[0].distance - each.distance) / self.scale) for each in near]
        total = sum(weights)
        return [(each, self.share * w / total) for each, w in zip(near, weights, strict=True)]


def _log(probability: float) -> float:
    return log(probability) if probability else float("-inf")
