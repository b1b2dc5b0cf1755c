"""From a wish to ranked crystals: the samples of a request are its pool, the best first."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GeneratedSample, GenerationRequest, RequestError, Task
from crystal_data.trajectories import potential as named
from crystal_gen.candidates.candidate import PoolCandidate
from crystal_gen.candidates.energies import energy_notes, energy_penalties, pool_energies
from crystal_gen.candidates.features import CandidateFeatures
from crystal_gen.candidates.formula_model import FormulaModel
from crystal_gen.candidates.formulas import OXIDATION_STATES, FormulaProposer
from crystal_gen.candidates.pool import PoolMaker
from crystal_gen.candidates.ranker import CandidateRanker
from crystal_gen.candidates.sources import CopySource, ModelSource, PoolSizes, with_z
from crystal_gen.generator import StructureGenerator
from crystal_gen.language.load import load_symmetry_model
from crystal_gen.shipped import (
    FORMULA_MODEL,
    RANKER,
    SHIPPED,
    STRUCTURE_MODEL,
    SYMMETRY_MODEL,
    TEMPLATES,
)
from crystal_gen.structure_model import StructureModel
from crystal_gen.templates.copying import in_asked_cell
from crystal_gen.templates.library import TemplateLibrary
from crystal_gen.templates.search import NOTHING, Exclusion
from crystal_gen.wishes import wished
from crystal_gen.wyckoff.mixture import MixedProposer
from crystal_gen.wyckoff.proposer import ModelProposer
from crystal_gen.wyckoff.questions import SymmetryQuestion
from crystal_gen.wyckoff.symmetry_model import SymmetryModel

_POOLS_KEPT = 4


@dataclass(frozen=True, eq=False)
class RankedCandidate:
    """A candidate with what it is ranked by.

    Args:
        candidate: The crystal and where it comes from.
        probability: That it is the true crystal of its formula.
        score: That probability, where the formula is asked, and one more of a known crystal; where
            elements are asked, the probability times the weight of the formula.
        why: A sentence about where it comes from, and its energy where a potential is asked.
    """

    candidate: PoolCandidate
    probability: float
    score: float
    why: str


class CrystalGenerator:
    """Candidates of all sources for a request, ranked together: the whole way.

    For a composition they are copies of known crystals, copies made anew from a little noise, and
    crystals that a model makes from noise for the most probable space groups and Wyckoff positions.
    Those that are alike are merged, and a ranker gives each the probability that it is the true
    crystal. Sample k of a request is the k-th of them; they depend on the request and its seed
    alone. Known crystals of the composition itself come first: they exist, and the probability says
    whether there is another one like them. A request with elements in place of a formula gets the
    pools of its most usual formulas, of those that fit its wishes. A request with a structure to
    start from is made from that by :class:`StructureGenerator`.

    Flags: ``no_candidate`` where nothing was found; ``no_further_candidate`` where more samples are
    asked than there are different candidates; ``no_composition`` where neither formula nor elements
    nor a start are asked; for starts those of :class:`StructureGenerator`.

    Args:
        library: Known crystals.
        model: That makes crystals, with symmetry.
        symmetry: That proposes space groups and Wyckoff positions.
        ranker: Of candidates.
        formulas: What formulas say of properties; without one, wishes do not count in the choice of
            formulas.
        z_values: Formula units of the primitive cell where requests leave them open; None for any.
        sizes: How many candidates are looked at.
        start_level: Level of noise that starts and warm starts get.
        exclude: Templates that are not used.
        potential: Whose energies of the candidates count too, as they stand; the ranker's.

    Raises:
        InvalidArgumentError: If the model knows no symmetry, or the ranker does not know the
            potential.
        SourceError: If the potential is not installed.
    """

    def __init__(
        self,
        library: TemplateLibrary,
        model: StructureModel,
        symmetry: SymmetryModel,
        ranker: CandidateRanker,
        *,
        formulas: FormulaModel | None = None,
        z_values: Sequence[int] | None = None,
        sizes: PoolSizes = PoolSizes(),  # noqa: B008 - frozen
        start_level: float = 0.05,
        exclude: Exclusion = NOTHING,
        potential: str | None = None,
    ) -> None:
        if potential not in (None, ranker.potential):
            raise InvalidArgumentError(
                f"the ranker has not learned what energies of {potential} say",
                f"it knows {ranker.potential or 'no potential'}",
            )
        if not model.uses_symmetry:
            raise InvalidArgumentError(
                "the model makes crystals without symmetry, and is asked for space groups and "
                "Wyckoff positions",
                "give a model that was trained with symmetry",
            )
        self.library = library
        self.ranker = ranker
        self.z_values = None if z_values is None else tuple(z_values)
        self.exclude = exclude
        self.potential = potential
        self._energies_by = {} if potential is None else named(potential).provenance()
        self._symmetry = symmetry
        self._starts = StructureGenerator(model, start_level=start_level)
        self._maker = pool_maker(library, model, symmetry, sizes, start_level)
        self._features = CandidateFeatures(self._maker.copies)
        self._formula_model = formulas
        self._formulas = FormulaProposer(self._maker.copies.search, formulas)
        self._pools: OrderedDict[str, list[RankedCandidate]] = OrderedDict()

    @classmethod
    def from_pretrained(
        cls,
        *,
        model: str | Path = STRUCTURE_MODEL,
        symmetry: str | Path = SYMMETRY_MODEL,
        ranker: str | Path = RANKER,
        formulas: str | Path = FORMULA_MODEL,
        templates: TemplateLibrary | None = None,
        z_values: Sequence[int] | None = None,
        start_level: float = 0.05,
        exclude: Exclusion = NOTHING,
        potential: str | None = None,
    ) -> Self:
        """With what comes with the package, where nothing else is named.

        Args:
            model: Of structures: a name, a folder or an id on the hub.
            symmetry: The model of symmetry.
            ranker: Of candidates.
            formulas: What formulas say of properties.
            templates: Known crystals in addition to those that come with the package.
            z_values: See the class.
            start_level: See the class.
            exclude: See the class.
            potential: See the class.

        Raises:
            ArtifactError: If an artifact cannot be read or holds something else.
            InvalidArgumentError: If there is none of a name.
        """
        library = TemplateLibrary.from_pretrained(SHIPPED.find(TEMPLATES))
        if templates is not None:
            library = TemplateLibrary.join([templates, library])
        return cls(
            library,
            StructureModel.from_pretrained(SHIPPED.find(model)),
            load_symmetry_model(SHIPPED.find(symmetry)),
            CandidateRanker.from_pretrained(SHIPPED.find(ranker)),
            formulas=FormulaModel.from_pretrained(SHIPPED.find(formulas)),
            z_values=z_values,
            start_level=start_level,
            exclude=exclude,
            potential=potential,
        )

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Versions, hashes of weights and templates, and options."""
        return {
            "name": type(self).__name__,
            "version": version("crystal-gen"),
            "structure": dict(self._starts.provenance),
            "symmetry": self._symmetry.fingerprint(),
            "ranker": self.ranker.fingerprint(),
            "formulas": self._formula_model and self._formula_model.fingerprint(),
            "templates": self.library.fingerprint,
            "z": self.z_values and list(self.z_values),
            "sizes": asdict(self._maker.sizes),
            "oxidation_states": OXIDATION_STATES,
            "exclude": {name: list(values) for name, values in asdict(self.exclude).items()},
            "energies": self._energies_by,
        }

    def check(self, requests: Sequence[GenerationRequest]) -> list[str]:
        """Refuses requests that cannot be met; says of others what makes them doubtful.

        Returns:
            Sentences about elements that no training crystal has, and wishes outside the training
            values.

        Raises:
            RequestError: If a property is not known or in another unit, no number of formula units
                that is allowed fits the space group, or there are more elements than in any known
                crystal.
            InvalidArgumentError: If there are more formula units than the model can count.
        """
        models = (self._starts.model, self._symmetry)
        for model in models:
            model.check_properties(requests)
        notes: dict[str, None] = {}
        for request in requests:
            if request.composition:
                # Refuses numbers of formula units that the model cannot count.
                SymmetryQuestion.from_request(request, (), self.z_values)
            if request.composition and not with_z(request, self.z_values):
                units = ", ".join(map(str, self.z_values or ()))
                raise RequestError(
                    f"request {request.id}: space group {request.space_group} cannot hold "
                    f"{request.formula} with z = {units}; leave z open or give another group"
                )
            if request.elements and not self._formulas.propose(request.elements, 1):
                raise RequestError(
                    f"request {request.id}: no known crystal has as many as "
                    f"{len(request.elements)} elements; give a formula, or fewer elements"
                )
            notes |= dict.fromkeys(self._doubts(request))
        return list(notes)

    def generate(self, tasks: Sequence[Task]) -> list[GeneratedSample]:
        """One sample for each task.

        Raises:
            RequestError: If a property is wanted in another unit than a model has learned it in.
        """
        started = [place for place, task in enumerate(tasks) if task.request.start is not None]
        made = self._starts.generate([tasks[place] for place in started])
        from_start = dict(zip(started, made, strict=True))
        return [
            from_start[place] if place in from_start else self._sample(task)
            for place, task in enumerate(tasks)
        ]

    def ranked(self, request: GenerationRequest) -> list[RankedCandidate]:
        """All candidates for a request, the best first.

        Args:
            request: With a formula or elements.
        """
        if request.key not in self._pools:
            self._pools[request.key] = self._ranked(request)
        self._pools.move_to_end(request.key)
        while len(self._pools) > _POOLS_KEPT:
            self._pools.popitem(last=False)
        return self._pools[request.key]

    def _ranked(self, request: GenerationRequest) -> list[RankedCandidate]:
        for model in (self._starts.model, self._symmetry):
            model.check_units(request)
        found: list[RankedCandidate] = []
        for weight, wanted in self._with_formula(request):
            pool = self._maker.pool(wanted, self.z_values, self.exclude)
            penalties, notes = None, [""] * len(pool.candidates)
            if self.potential is not None:
                energies = pool_energies(pool, self.potential)
                penalties, notes = energy_penalties(energies), energy_notes(energies)
            features = self._features(pool, self.exclude)
            probabilities = self.ranker.probabilities(features, penalties)
            if wanted.z is None:
                # The ranker has learned pools of one z; with several, more candidates share one.
                probabilities = probabilities / max(1.0, probabilities.sum())
            found += [
                RankedCandidate(
                    candidate,
                    probability,
                    weight * probability + (candidate.is_known and bool(request.composition)),
                    candidate.why + note,
                )
                for candidate, probability, note in zip(
                    pool.candidates, probabilities.tolist(), notes, strict=True
                )
            ]
        return sorted(found, key=lambda each: -each.score)

    def _with_formula(self, request: GenerationRequest) -> list[tuple[float, GenerationRequest]]:
        """Requests with a formula and their weights."""
        if request.composition:
            return [(1.0, request)]
        if not request.elements:
            return []
        return [
            (
                each.weight,
                GenerationRequest(
                    id=request.id,
                    formula=each.formula,
                    space_group=request.space_group,
                    properties=request.properties,
                    seed=request.seed,
                ),
            )
            for each in self._formulas.propose(
                request.elements, self._maker.sizes.formulas, self._known_wishes(request)
            )
        ]

    def _known_wishes(self, request: GenerationRequest) -> dict[str, float]:
        """Those that the model of formulas knows."""
        known = () if self._formula_model is None else self._formula_model.properties
        return {name: wished(request, name) for name in known if name in request.properties}

    def _sample(self, task: Task) -> GeneratedSample:
        request = task.request
        if not request.composition and not request.elements:
            return GeneratedSample(None, flags=("no_composition",))
        ranked = self.ranked(request)
        if task.sample >= len(ranked):
            flag = "no_further_candidate" if ranked else "no_candidate"
            return GeneratedSample(None, flags=(flag,))
        best = ranked[task.sample]
        crystal = replace(best.candidate.crystal, identifier="", properties={})
        return GeneratedSample(
            in_asked_cell(crystal, request),
            score=best.score,
            source=best.candidate.source,
            probability=best.probability,
            why=best.why,
        )

    def _doubts(self, request: GenerationRequest) -> list[str]:
        unknown = self._symmetry.unknown_elements(request)
        models = (self._starts.model, self._symmetry)
        # One line for each wish, also where both models doubt it.
        wishes = {k: v for model in models for k, v in model.doubtful_wishes(request).items()}
        return [*unknown, *wishes.values()]


def pool_maker(
    library: TemplateLibrary,
    model: StructureModel,
    symmetry: SymmetryModel,
    sizes: PoolSizes = PoolSizes(),  # noqa: B008 - frozen
    start_level: float = 0.05,
) -> PoolMaker:
    """What makes the pools of a :class:`CrystalGenerator`; arguments as there.

    Answers are those of the symmetry model mixed with those of the nearest known crystals.
    """
    copies = CopySource(library)
    proposer = MixedProposer(ModelProposer(symmetry), copies.search)
    return PoolMaker(copies, proposer, ModelSource(model, start_level), sizes)
