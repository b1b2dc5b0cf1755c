"""A trained model as a generator: from noise, from templates, from a structure that is given."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from itertools import chain
from typing import Any

import numpy as np

from crystal_data.crystal import Crystal
from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GeneratedSample, GenerationRequest, Task
from crystal_data.loading import OrbitBatch
from crystal_data.metrics import is_structure_valid
from crystal_data.symmetry import (
    OrbitError,
    SymmetricCrystal,
    find_orbits,
    niggli_cell,
    orbits_of_atoms,
    without_symmetry,
)
from crystal_data.transforms import SampleRandom
from crystal_gen.batches import batch_of, crystals_of
from crystal_gen.structure_model import Sampling, StructureModel
from crystal_gen.templates.copying import copy_template, in_asked_cell, reduced_to_primitive
from crystal_gen.templates.library import TemplateLibrary, lattice_points
from crystal_gen.templates.search import Level, TemplateSearch
from crystal_gen.wishes import wished

#: Å; of structures to start from, as of the training data.
SYMPREC = 0.1
_TRIES = 3  # attempts at a crystal in which no atoms are too close
_BATCH_SIZE = 64
_SCORE_SEED = 1  # other noise than that of the samples
_PLACEHOLDER = np.eye(3) * 10.0  # in place of a cell that is not yet made


@dataclass(frozen=True, eq=False)
class _Plan:
    """What one sample is made from.

    Args:
        crystal: Space group, elements and letters; cell and coordinates where there is a start.
            None where nothing can be made; a flag says why.
        start: Level of noise that it gets first; 0 keeps it as it is, None is noise alone.
        source: Where it comes from.
        flags: Words about it.
    """

    crystal: SymmetricCrystal | None
    start: float | None = None
    source: str = "noise"
    flags: tuple[str, ...] = ()


class StructureGenerator:
    """Makes crystals with a model: a function of request and sample, as all generators are.

    A request with elements on Wyckoff positions is made from noise; with templates, every other
    sample starts from one that has the letters, the nearest first. A request that leaves the
    letters open takes those of templates. A request with a structure to start from starts there.
    The start is noised to a level and made anew from there. Every sample is scored by the model, so
    that the first by rank of several is better than the first that was made.

    A model that was trained without symmetry (``uses_symmetry``) takes requests with formula and z
    and without a space group, or of space group 1. Templates and starts it takes in their reduced
    primitive cells.

    Flags: ``no_symmetry`` where letters are open and no template has any;
    ``model_without_symmetry`` where a space group above 1 is asked of a model that knows none;
    ``no_cell`` where formula or z are open and it has nothing to start from; ``start_does_not_fit``
    and ``start_has_no_symmetry`` for a structure that is not what is asked; ``atoms_too_close``
    where atoms came nearer than 0.5 Å in each of three tries, ``made_again`` where a later try was
    kept; ``property_not_used`` for a wish that the model does not know; ``letters_of_template``.

    Args:
        model: A trained model.
        sampling: How structures are made from noise; None takes what suits the model.
        start_level: Level of noise that a start gets: 0 keeps it, 1 is noise alone.
        templates: To start from.

    Raises:
        InvalidArgumentError: If the level is not from 0 to 1.
    """

    def __init__(
        self,
        model: StructureModel,
        *,
        sampling: Sampling | None = None,
        start_level: float = 0.05,
        templates: TemplateLibrary | None = None,
    ) -> None:
        if not 0.0 <= start_level <= 1.0:
            raise InvalidArgumentError(f"start_level is {start_level}; it is from 0 to 1")
        self.model = model.eval()
        self.sampling = sampling or model.default_sampling
        self.start_level = start_level
        self.templates = templates

    @cached_property
    def _search(self) -> TemplateSearch | None:
        return None if self.templates is None else TemplateSearch(self.templates)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Versions, hashes of weights and templates, and options."""
        return {
            "name": type(self).__name__,
            "version": version("crystal-gen"),
            "model": type(self.model).__name__,
            "weights": self.model.fingerprint(),
            "sampling": asdict(self.sampling),
            "start_level": self.start_level,
            "templates": None if self.templates is None else self.templates.fingerprint,
        }

    def check(self, requests: Sequence[GenerationRequest]) -> list[str]:
        """Refuses requests whose wishes it cannot take; says of others what makes them doubtful.

        Returns:
            Sentences about wishes outside the training values.

        Raises:
            RequestError: If a property is not known, or is wanted in another unit than the model
                has learned it in.
        """
        self.model.check_properties(requests)
        doubts = (self.model.doubtful_wishes(request).values() for request in requests)
        return list(dict.fromkeys(chain.from_iterable(doubts)))

    def generate(self, tasks: Sequence[Task]) -> list[GeneratedSample]:
        """One sample for each task.

        Raises:
            RequestError: If a property is wanted in another unit than the model has learned it in.
        """
        for task in tasks:
            self.model.check_units(task.request)
        plans = self._plans(tasks)
        made: dict[int, tuple[SymmetricCrystal, int]] = {}
        for attempt in range(_TRIES):
            left = {
                place: plan.crystal
                for place, plan in enumerate(plans)
                if plan.crystal is not None and place not in made
            }
            for place, crystal in self._made(tasks, plans, left, attempt).items():
                if crystal is not None and is_structure_valid(crystal.to_crystal()):
                    made[place] = crystal, attempt
        scores = self._scores(tasks, {place: crystal for place, (crystal, _) in made.items()})
        samples = []
        for place, (task, plan) in enumerate(zip(tasks, plans, strict=True)):
            crystal, attempt = made.get(place, (None, 0))
            samples.append(self._sample(task, plan, crystal, attempt, scores.get(place)))
        return samples

    def _made(
        self,
        tasks: Sequence[Task],
        plans: Sequence[_Plan],
        outlines: Mapping[int, SymmetricCrystal],
        attempt: int,
    ) -> dict[int, SymmetricCrystal | None]:
        """Crystals by place of their tasks."""
        made: dict[int, SymmetricCrystal | None] = {}
        seeds = {place: tasks[place].seed for place in outlines}
        for start in {plans[place].start: None for place in outlines}:
            own = {p: crystal for p, crystal in outlines.items() if plans[p].start == start}
            if start == 0.0:
                made |= own
                continue
            for places, batch in self._batches(tasks, own, seeds):
                random = SampleRandom(0, attempt, batch.sample_id)
                found = self.model.sample(batch, random, self.sampling, start)
                made |= dict(zip(places, crystals_of(found), strict=True))
        return made

    def _scores(
        self, tasks: Sequence[Task], crystals: Mapping[int, SymmetricCrystal]
    ) -> dict[int, float]:
        """How well crystals fit what the model knows, by place of their tasks."""
        scores: dict[int, float] = {}
        # Samples of a request get the same noise, so that their scores compare.
        seeds = {place: Task(tasks[place].request, 0).seed for place in crystals}
        for places, batch in self._batches(tasks, crystals, seeds):
            random = SampleRandom(_SCORE_SEED, 0, batch.sample_id)
            found = self.model.scores(batch, random).tolist()
            scores |= dict(zip(places, found, strict=True))
        return scores

    def _batches(
        self,
        tasks: Sequence[Task],
        crystals: Mapping[int, SymmetricCrystal],
        seeds: Mapping[int, int],
    ) -> Iterator[tuple[list[int], OrbitBatch]]:
        """Places of tasks with their batch; crystals of like size are together."""
        order = sorted(crystals, key=lambda place: crystals[place].num_orbits)
        pairs = [int(crystals[place].multiplicity.sum()) ** 2 for place in order]
        for part in portions(pairs, self.model.max_pairs, _BATCH_SIZE):
            places = order[part]
            requests = [tasks[place].request for place in places]
            wishes = {
                name: [wished(request, name) for request in requests]
                for name in self.model.properties
            }
            batch = batch_of(
                [crystals[place] for place in places], [seeds[place] for place in places], wishes
            )
            yield places, batch.to(self.model.property_mean.device)

    def _sample(
        self,
        task: Task,
        plan: _Plan,
        crystal: SymmetricCrystal | None,
        attempt: int,
        score: float | None,
    ) -> GeneratedSample:
        request, flags = task.request, list(plan.flags)
        if any(name not in self.model.properties for name in request.properties):
            flags.append("property_not_used")
        if crystal is None:
            if plan.crystal is not None:
                flags.insert(0, "atoms_too_close")
            return GeneratedSample(None, source=plan.source, flags=tuple(flags))
        if attempt:
            flags.append("made_again")
        plain = replace(crystal, identifier="", properties={})
        return GeneratedSample(
            in_asked_cell(plain, request), score=score, source=plan.source, flags=tuple(flags)
        )

    def _plans(self, tasks: Sequence[Task]) -> list[_Plan]:
        requests = {task.request.key: task.request for task in tasks}
        most = {key: 1 + max(t.sample for t in tasks if t.request.key == key) for key in requests}
        templates = {key: self._templates_for(requests[key], most[key]) for key in requests}
        return [self._plan(task, templates[task.request.key]) for task in tasks]

    def _plan(self, task: Task, templates: Sequence[_Plan]) -> _Plan:
        request = task.request
        if not self.model.uses_symmetry and (request.space_group or 1) > 1:
            return _Plan(None, flags=("model_without_symmetry",))
        if request.start is not None:
            return self._from_start(request, request.start)
        outline = self._outline(request)
        if outline is not None:
            nearest, is_from_noise = divmod(task.sample, 2)
            from_noise = is_from_noise or nearest >= len(templates)
            return _Plan(outline) if from_noise else templates[nearest]
        if task.sample < len(templates):
            return templates[task.sample]
        if templates:
            # Each template has been used; their letters serve again, from noise.
            return replace(templates[task.sample % len(templates)], start=None, source="noise")
        return _Plan(None, flags=("no_symmetry" if self.model.uses_symmetry else "no_cell",))

    def _outline(self, request: GenerationRequest) -> SymmetricCrystal | None:
        """What can be made from noise for a request; None if it leaves too much open."""
        if request.wyckoff and request.wyckoff[0].element:
            return _on_positions(request)
        if not self.model.uses_symmetry and request.cell:
            return _in_cell(request)
        return None

    def _from_start(self, request: GenerationRequest, start: Crystal) -> _Plan:
        find = find_orbits if self.model.uses_symmetry else without_symmetry
        try:
            crystal = find(start, SYMPREC)
        except OrbitError:
            return _Plan(None, source="start", flags=("start_has_no_symmetry",))
        is_other_cell = bool(request.cell) and request.cell != _primitive_cell_of(crystal)
        if is_other_cell or request.space_group not in (None, crystal.space_group_number):
            return _Plan(None, source="start", flags=("start_does_not_fit",))
        return _Plan(crystal, _level(self.start_level), "start")

    def _templates_for(self, request: GenerationRequest, limit: int) -> list[_Plan]:
        search, library = self._search, self.templates
        if search is None or library is None or request.start is not None:
            return []
        plans = []
        for found in search.find(request, limit, fallback=Level.GROUP):
            if request.wyckoff and found.level is not Level.WYCKOFF:
                break  # from noise, on the letters that are asked
            template = library.crystal(found.row)
            copied = copy_template(template, found, request)
            flags: tuple[str, ...] = () if request.wyckoff else ("letters_of_template",)
            if not self.model.uses_symmetry:
                copied, flags = orbits_of_atoms(niggli_cell(reduced_to_primitive(copied))), ()
            source = f"template {template.identifier}".strip()
            plans.append(_Plan(copied, _level(self.start_level), source, flags))
        return plans


def portions(sizes: Sequence[int], most: int | None, at_once: int) -> Iterator[slice]:
    """Runs of neighbors, of so many at most and of such a sum, but of one at least.

    Args:
        sizes: Of each.
        most: Sum of a run; None for any.
        at_once: Members of a run.
    """
    first = total = 0
    for place, size in enumerate(sizes):
        total += size
        if place > first and (place - first == at_once or (most is not None and total > most)):
            yield slice(first, place)
            first, total = place, size
    if sizes:
        yield slice(first, len(sizes))


def _level(level: float) -> float | None:
    return None if level == 1.0 else level


def _on_positions(request: GenerationRequest) -> SymmetricCrystal:
    """The orbits of a request; a cell and points stand in for those that are not yet made."""
    return SymmetricCrystal(
        space_group_number=request.space_group or 1,
        lattice=_PLACEHOLDER,
        atomic_numbers=np.array([ATOMIC_NUMBERS[site.element] for site in request.wyckoff]),
        wyckoff_letters=tuple(site.letter for site in request.wyckoff),
        frac_coords=np.zeros((len(request.wyckoff), 3)),
        identifier=request.id,
    )


def _in_cell(request: GenerationRequest) -> SymmetricCrystal:
    """The same of a request without symmetry."""
    elements = [ATOMIC_NUMBERS[symbol] for symbol in request.cell]
    numbers = np.repeat(elements, list(request.cell.values()))
    atoms = Crystal(_PLACEHOLDER, np.zeros((len(numbers), 3)), numbers, identifier=request.id)
    return orbits_of_atoms(atoms)


def _primitive_cell_of(crystal: SymmetricCrystal) -> dict[str, int]:
    points = len(lattice_points(crystal.space_group_number))
    counts = crystal.to_crystal().composition
    return {symbol: count // points for symbol, count in counts.items()}
