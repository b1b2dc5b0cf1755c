"""Where candidates come from: copies, warm starts of copies, and answers of the symmetry model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, nan

import numpy as np

from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.generation import GenerationRequest, RequestError, Task
from crystal_data.metrics import is_structure_valid
from crystal_data.symmetry import SymmetricCrystal
from crystal_data.transforms import SampleRandom
from crystal_gen.batches import batch_of, crystals_of
from crystal_gen.candidates.candidate import PoolCandidate
from crystal_gen.structure_model import StructureModel
from crystal_gen.templates.copying import copy_template
from crystal_gen.templates.library import TemplateLibrary
from crystal_gen.templates.search import NOTHING, Candidate, Exclusion, Level, TemplateSearch
from crystal_gen.templates.settings import setting_changes
from crystal_gen.templates.volume import VolumeModel
from crystal_gen.wishes import wished
from crystal_gen.wyckoff.assignment import WyckoffAssignment
from crystal_gen.wyckoff.proposals import Proposal, SymmetryProposer

_BATCH_SIZE = 32
_PLACEHOLDER = np.eye(3) * 10.0  # in place of a cell that is not yet made
# Fewer steps than for single samples: what is nearly right is found, and time is left for more.
_STEPS = 20
_WARM_STEPS = 6
_SCORE_SEED = 1  # other noise than that of the samples


@dataclass(frozen=True)
class PoolSizes:
    """How many candidates are looked at for one request.

    Args:
        templates: Copies, the nearest.
        warm_starts: Of these the first that have something free.
        answers: Of the symmetry model.
        from_noise: Crystals that are made for its answers, at least one for each.
        formulas: Each with a pool of its own, where elements alone are asked.
    """

    templates: int = 80
    warm_starts: int = 3
    answers: int = 14
    from_noise: int = 20
    formulas: int = 8


class CopySource:
    """Copies of templates.

    Args:
        library: What is copied from.
    """

    def __init__(self, library: TemplateLibrary) -> None:
        self.library = library
        self.search = TemplateSearch(library)
        self.volumes = VolumeModel(library)

    def candidates(
        self,
        request: GenerationRequest,
        limit: int,
        z_values: Sequence[int] | None = None,
        exclude: Exclusion = NOTHING,
    ) -> list[PoolCandidate]:
        """The nearest copies, in order.

        Args:
            request: With a formula. Copies have all that is asked.
            limit: How many at most.
            z_values: Formula units of the primitive cell, where the request leaves them open.
            exclude: Templates that are not used.
        """
        asked = Level.COMPOSITION
        if request.space_group:
            asked = Level.WYCKOFF if request.wyckoff else Level.GROUP
        found: list[tuple[GenerationRequest, Candidate]] = []
        for each in with_z(request, z_values):
            nearest = self.search.find(each, limit, fallback=asked, exclude=exclude)
            found += [(each, one) for one in nearest]
        found.sort(key=lambda pair: pair[1].distance)
        return [self._copy(each, one) for each, one in found[:limit]]

    def _copy(self, request: GenerationRequest, candidate: Candidate) -> PoolCandidate:
        template = self.library.crystal(candidate.row)
        orbits = self.library.orbits_of(candidate.row)
        before = template.atomic_numbers.repeat(self.library.multiplicity[orbits])
        after = np.array([candidate.elements[number] for number in before.tolist()])
        ratio = self.volumes.ratio(before, after)
        crystal = copy_template(template, candidate, request, 1.0 if np.isnan(ratio) else ratio)
        known = f"{template.identifier} ({template.to_crystal().formula})".strip()
        return PoolCandidate(crystal, "template", candidate, known, num_templates=1)


def with_z(request: GenerationRequest, z_values: Sequence[int] | None) -> list[GenerationRequest]:
    """A request for each number of formula units that is possible; itself where that is given."""
    if request.z is not None or z_values is None:
        return [request]
    possible = []
    for z in z_values:
        try:
            possible.append(
                GenerationRequest(
                    id=request.id,
                    formula=request.formula,
                    z=z,
                    space_group=request.space_group,
                    properties=request.properties,
                )
            )
        except RequestError:  # this many do not fit the group
            continue
    return possible


def answers_for(
    proposer: SymmetryProposer,
    request: GenerationRequest,
    limit: int,
    z_values: Sequence[int] | None = None,
) -> list[Proposal]:
    """Space groups and Wyckoff positions for a request, the most probable first.

    Positions with elements are the one answer; of positions without, answers that have them.
    """
    sites = request.wyckoff
    if sites and request.space_group and sites[0].element:
        given = WyckoffAssignment.from_sites(request.space_group, sites)
        return [Proposal(given, 0.0)]
    [found] = proposer.propose([request], limit, z_values=z_values)
    if not sites or not request.space_group:
        return found
    letters = "".join(sorted(site.letter for site in sites))
    on_letters = (_on_letters(each, letters) for each in found)
    return [each for each in on_letters if each is not None]


def _on_letters(proposal: Proposal, letters: str) -> Proposal | None:
    """An answer in the setting in which it has some letters; None if there is none."""
    assignment = proposal.assignment
    group, sites = assignment.space_group, assignment.sites
    own = "".join(site.letter for site in sites)
    for change in setting_changes(group):
        if change.relabel(own) == letters:
            moved = [replace(site, letter=change.letters[site.letter]) for site in sites]
            return replace(proposal, assignment=WyckoffAssignment.from_sites(group, moved))
    return None


class ModelSource:
    """Crystals that a model of structures makes: warm starts, and from noise.

    The model works on the candidates of one request at a time, so that none depends, by a last
    digit, on what else is asked.

    Args:
        model: With symmetry.
        start_level: Of noise that warm starts get.
    """

    def __init__(self, model: StructureModel, start_level: float = 0.05) -> None:
        self.model = model.eval()
        self.start_level = start_level

    def warm_starts(
        self, request: GenerationRequest, copies: Sequence[PoolCandidate], limit: int
    ) -> list[PoolCandidate]:
        """The first copies that have free coordinates, made anew from a little noise."""
        chosen = [each for each in copies if _num_free(each.crystal)][:limit]
        seeds = [Task(request, place).seed for place in range(len(chosen))]
        made = self._sampled(request, [each.crystal for each in chosen], seeds, self.start_level)
        return [
            replace(
                copy,
                crystal=crystal,
                origin="warm start",
                level=self.start_level,
                num_templates=0,
                num_made=1,
            )
            for copy, crystal in zip(chosen, made, strict=True)
            if crystal is not None
        ]

    def from_noise(
        self, request: GenerationRequest, answers: Sequence[Proposal], count: int
    ) -> list[PoolCandidate]:
        """Crystals for answers: one of each, the others by probability.

        Args:
            request: Whose wishes count.
            answers: The most probable first.
            count: Of crystals, if there are not more answers.
        """
        repeated = [answers[place] for place in _shares(answers, count)]
        outlines = [_outline(each.assignment) for each in repeated]
        # Warm starts have the first seeds.
        seeds = [Task(request, 1000 + place).seed for place in range(len(outlines))]
        made = self._sampled(request, outlines, seeds, None)
        return [
            PoolCandidate(
                crystal,
                "noise",
                assignment=each.assignment,
                log_probability=each.score,
                num_made=1,
            )
            for each, crystal in zip(repeated, made, strict=True)
            if crystal is not None
        ]

    def scores(
        self, request: GenerationRequest, crystals: Sequence[SymmetricCrystal]
    ) -> list[float]:
        """How well crystals of one request fit what the model knows, all with the same noise."""
        scores = [nan] * len(crystals)
        for places in _batches(crystals):
            own = [crystals[place] for place in places]
            batch = batch_of(own, [Task(request, 0).seed] * len(own), self._wishes(request, own))
            batch = batch.to(self.model.property_mean.device)
            random = SampleRandom(_SCORE_SEED, 0, batch.sample_id)
            for place, score in zip(places, self.model.scores(batch, random).tolist(), strict=True):
                scores[place] = score
        return scores

    def _sampled(
        self,
        request: GenerationRequest,
        outlines: Sequence[SymmetricCrystal],
        seeds: Sequence[int],
        start: float | None,
    ) -> list[SymmetricCrystal | None]:
        """None where atoms are too close, or a cell is not finite or is flat."""
        num_steps = _STEPS if start is None else _WARM_STEPS
        sampling = replace(self.model.default_sampling, num_steps=num_steps)
        made: list[SymmetricCrystal | None] = [None] * len(outlines)
        for places in _batches(outlines):
            own = [outlines[place] for place in places]
            batch = batch_of(own, [seeds[place] for place in places], self._wishes(request, own))
            batch = batch.to(self.model.property_mean.device)
            random = SampleRandom(0, 0, batch.sample_id)
            found = crystals_of(self.model.sample(batch, random, sampling, start))
            for place, crystal in zip(places, found, strict=True):
                if crystal is not None and is_structure_valid(crystal.to_crystal()):
                    made[place] = replace(crystal, identifier="", properties={})
        return made

    def _wishes(
        self, request: GenerationRequest, crystals: Sequence[SymmetricCrystal]
    ) -> dict[str, list[float]]:
        return {name: [wished(request, name)] * len(crystals) for name in self.model.properties}


def _batches(crystals: Sequence[SymmetricCrystal]) -> list[list[int]]:
    """Places of crystals of like size."""
    order = sorted(range(len(crystals)), key=lambda place: crystals[place].num_orbits)
    return [order[first : first + _BATCH_SIZE] for first in range(0, len(order), _BATCH_SIZE)]


def _shares(answers: Sequence[Proposal], count: int) -> list[int]:
    """Place of the answer that each crystal is made for; each at least once, in order."""
    shares = np.ones(len(answers), dtype=np.int64)
    chances = np.array([exp(min(each.score, 0.0)) for each in answers])
    free = np.array([_num_free(_outline(each.assignment)) for each in answers])
    for _ in range(count - len(answers)):
        # One more of an answer brings the less the more there are, and nothing if all is fixed.
        worth = np.where(free > 0, chances / (1 + shares), 0.0)
        if not worth.any():
            break
        shares[int(worth.argmax())] += 1
    return np.repeat(np.arange(len(answers)), shares).tolist()


def _num_free(crystal: SymmetricCrystal) -> int:
    return sum(position.num_free for position in crystal.positions)


def _outline(assignment: WyckoffAssignment) -> SymmetricCrystal:
    """The orbits of an answer; a cell and points stand in for those that are not yet made."""
    sites = assignment.sites
    return SymmetricCrystal(
        space_group_number=assignment.space_group,
        lattice=_PLACEHOLDER,
        atomic_numbers=np.array([ATOMIC_NUMBERS[site.element] for site in sites]),
        wyckoff_letters=tuple(site.letter for site in sites),
        frac_coords=np.zeros((len(sites), 3)),
    )
