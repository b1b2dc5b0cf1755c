"""Copying as a generator: sample k is the k-th nearest template with the elements exchanged."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from typing import Any, Literal, get_args

import numpy as np

from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GeneratedSample, GenerationRequest, Task
from crystal_gen.templates.copying import copy_template, in_asked_cell
from crystal_gen.templates.library import TemplateLibrary
from crystal_gen.templates.search import NOTHING, Candidate, Exclusion, Level, TemplateSearch
from crystal_gen.templates.volume import VolumeModel

Volume = Literal["template", "fitted"]
_FALLBACKS = (Level.GROUP, Level.COMPOSITION)


class TemplateGenerator:
    """Copies templates. Nothing is random; samples of a request are its templates in order.

    The score is minus the distance. Flags: ``no_template`` without a crystal; ``fallback_group``
    for a template that lacks the Wyckoff letters asked; ``fallback_composition`` for one that lacks
    the space group too; ``volume_of_template`` where an element's volume is not known;
    ``properties_not_used`` and ``start_not_used``.

    Args:
        library: What is copied from.
        volume: The size of a copy: ``"fitted"`` is its template's, multiplied by the ratio of the
            two compositions' volumes in :class:`VolumeModel`, ``"template"`` as it is.
        fallback: What of the symmetry asked may be given up where templates with all of it end:
            ``"group"`` the Wyckoff letters, ``"composition"`` the space group too. Such copies are
            flagged, and the latter come in a primitive cell.
        exclude: Templates that are not used.

    Raises:
        InvalidArgumentError: If an option does not exist.
    """

    def __init__(
        self,
        library: TemplateLibrary,
        *,
        volume: Volume = "fitted",
        fallback: Literal["group", "composition"] = "group",
        exclude: Exclusion = NOTHING,
    ) -> None:
        if volume not in get_args(Volume):
            raise InvalidArgumentError(f"volume is '{volume}'; it is 'template' or 'fitted'")
        if fallback not in _FALLBACKS:
            raise InvalidArgumentError(f"fallback is '{fallback}'; it is 'group' or 'composition'")
        self.library = library
        self.volume: Volume = volume
        self.fallback = Level(fallback)
        self.exclude = exclude

    @cached_property
    def search(self) -> TemplateSearch:
        """The index of the library."""
        return TemplateSearch(self.library)

    @cached_property
    def _volumes(self) -> VolumeModel:
        return VolumeModel(self.library)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Version, hash of the library, and options."""
        return {
            "name": type(self).__name__,
            "version": version("crystal-gen"),
            "templates": self.library.fingerprint,
            "volume": self.volume,
            "fallback": str(self.fallback),
            "exclude": {name: list(values) for name, values in asdict(self.exclude).items()},
        }

    def generate(self, tasks: Sequence[Task]) -> list[GeneratedSample]:
        """One sample for each task."""
        requests = {task.request.key: task.request for task in tasks}
        most = {key: 1 + max(t.sample for t in tasks if t.request.key == key) for key in requests}
        found = {
            key: self.search.find(request, most[key], fallback=self.fallback, exclude=self.exclude)
            for key, request in requests.items()
        }
        return [self._sample(task, found[task.request.key]) for task in tasks]

    def _sample(self, task: Task, candidates: Sequence[Candidate]) -> GeneratedSample:
        request, flags = task.request, []
        if request.properties:
            flags.append("properties_not_used")
        if request.start is not None:
            flags.append("start_not_used")
        if task.sample >= len(candidates):
            return GeneratedSample(None, source="template", flags=("no_template", *flags))
        candidate = candidates[task.sample]
        template = self.library.crystal(candidate.row)
        if candidate.level is not _asked(request):
            flags.insert(0, f"fallback_{candidate.level}")
        ratio = 1.0
        if self.volume == "fitted":
            orbits = self.library.orbits_of(candidate.row)
            before = template.atomic_numbers.repeat(self.library.multiplicity[orbits])
            after = np.array([candidate.elements[number] for number in before.tolist()])
            ratio = self._volumes.ratio(before, after)
            if np.isnan(ratio):
                ratio = 1.0
                flags.append("volume_of_template")
        crystal = in_asked_cell(copy_template(template, candidate, request, ratio), request)
        return GeneratedSample(
            crystal,
            score=-candidate.distance,
            source=f"template {template.identifier}".strip(),
            flags=tuple(flags),
        )


def _asked(request: GenerationRequest) -> Level:
    if request.wyckoff:
        return Level.WYCKOFF
    return Level.GROUP if request.space_group else Level.COMPOSITION
