"""How good generated structures are, measured on reference structures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import SourceError
from crystal_data.generation.evaluation import NUM_RESAMPLES, GeneratedEvaluation
from crystal_data.generation.read import GeneratedStructure
from crystal_data.generation.sample_table import sample_table, shares_of
from crystal_data.generation.strata import (
    ReferenceSymmetry,
    checked_strata,
    reference_symmetry,
    strata_of,
)
from crystal_data.metrics.match_rates import Comparison, Filter, compare, metre, smallest_rms
from crystal_data.metrics.matching import MatchSettings, Outcome
from crystal_data.metrics.result import MetricResult, hash_crystals
from crystal_data.metrics.statistics import bootstrap_interval
from crystal_data.metrics.validity import OxidationStates
from crystal_data.processes.progress import progress
from crystal_data.symmetry import SymmetryError, find_symmetry
from crystal_data.versions import library_versions

FILTERS: tuple[Filter, ...] = ("none", "prediction", "both")
_SHOWN = 3  # identifiers in a message


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """What is measured, and how.

    Args:
        num_samples: How many samples of a request may match, the first by rank; one rate for each.
        filters: Who may match; see :func:`crystal_data.metrics.match_rate`.
        oxidation_states: Table for the validity of compositions.
        symprec: Of space groups, Å.
        matching: Tolerances, time-out and number of processes.
    """

    num_samples: tuple[int, ...] = (1, 20)
    filters: tuple[Filter, ...] = FILTERS
    oxidation_states: OxidationStates = "smact14"
    symprec: float = 0.1
    matching: MatchSettings = field(default_factory=MatchSettings)


def evaluate_generated(
    generated: Sequence[GeneratedStructure],
    references: Sequence[Crystal],
    settings: EvaluationSettings | None = None,
    *,
    training: Sequence[Crystal] | None = None,
    strata: Mapping[str, Sequence[bool] | NDArray[np.bool_]] | None = None,
) -> GeneratedEvaluation:
    """Match rates, displacements, METRe, validity, uniqueness and novelty.

    A reference without a generated structure counts as a miss. A number of samples that no request
    has is left out.

    Args:
        generated: What :func:`read_generated` reads; a request is named as its reference.
        references: The true structures, with distinct identifiers.
        settings: What is measured, and how.
        training: Crystals that a generated structure must differ from to be novel; references are
            divided by whether there is another one of their reduced formula among these.
        strata: Further parts of the references that are measured apart: a name such as
            ``"template=no"`` → whether each reference is in it. A family, such as ``template``,
            takes the place of ours of the same name.

    Raises:
        InvalidArgumentError: If ``strata`` has a name or values that cannot be used.
        SourceError: If a request is none of the references, or two references have one identifier.
    """
    settings = settings or EvaluationSettings()
    given = checked_strata(strata or {}, len(references))
    samples = samples_of_references(generated, references)
    most = max(map(len, samples))
    counts = [k for k in settings.num_samples if k <= most] or [most]
    samples = [row[: max(counts)] for row in samples]
    with progress("comparing with the references", sum(map(len, samples))) as advance:
        comparison = compare(
            [[sample.crystal for sample in row] for row in samples],
            references,
            oxidation_states=settings.oxidation_states,
            settings=settings.matching,
            advance=advance,
        )
    symmetry = [reference_symmetry(each, settings.symprec) for each in references]
    rows = _rates(comparison, symmetry, counts, settings) | _metre(comparison)
    table = sample_table(samples, comparison, training)
    describe = _Describer(generated, comparison, settings.symprec)
    results = [describe.mean(name, values) for name, values in rows.items()]
    results += [describe.share(name, values) for name, values in shares_of(table).items()]
    families = {name.partition("=")[0] for name in strata or {}}
    own = strata_of(references, symmetry, training).items()
    all_strata = {k: v for k, v in own if k.partition("=")[0] not in families} | given
    per_reference = {
        "id": [each.identifier for each in references],
        "formula": [each.formula for each in references],
        "num_atoms": [each.num_atoms for each in references],
        "space_group_number": [each.space_group_number for each in symmetry],
        "free_parameters": [each.free_parameters for each in symmetry],
        "num_samples": [len(row) for row in samples],
        **{name: values.tolist() for name, values in rows.items()},
    }
    whole = GeneratedEvaluation(tuple(results), per_reference, table, rows, all_strata)
    parts = (describe.mean(name, rows[of][inside]) for name, (of, inside) in whole.parts.items())
    return replace(whole, results=(*results, *parts))


def samples_of_references(
    generated: Sequence[GeneratedStructure], references: Sequence[Crystal]
) -> list[list[GeneratedStructure]]:
    """The samples of each reference by rank; a request is named as its reference.

    Raises:
        SourceError: If a request is none of the references, or two references have one identifier.
    """
    by_request: dict[str, list[GeneratedStructure]] = {each.identifier: [] for each in references}
    if len(by_request) < len(references):
        counts = Counter(each.identifier for each in references)
        name, count = counts.most_common(1)[0]
        raise SourceError(f"{count} references are called '{name}'", "give each its own name")
    unknown = dict.fromkeys(each.request for each in generated if each.request not in by_request)
    if unknown:
        shown = ", ".join(f"'{name}'" for name in islice(unknown, _SHOWN))
        raise SourceError(
            f"{len(unknown)} requests are none of the {len(references)} references: {shown}"
            f"{', …' if len(unknown) > _SHOWN else ''}; references are called such as "
            f"'{references[0].identifier}'",
            "name files REFERENCE.cif or REFERENCE_SAMPLE.cif",
        )
    for each in generated:
        by_request[each.request].append(each)
    return [sorted(row, key=lambda each: (each.rank, each.sample)) for row in by_request.values()]


def named_by_position(
    generated: Sequence[GeneratedStructure], references: Sequence[Crystal]
) -> list[GeneratedStructure]:
    """Requests of a file that numbers them, from 0, under the names of their references.

    Raises:
        SourceError: If a number is beyond the last reference.
    """
    beyond = [each for each in generated if int(each.request) >= len(references)]
    if beyond:
        raise SourceError(
            f"{beyond[0].file}: structure {beyond[0].request} has no reference; there are "
            f"{len(references)}",
            "give the references that the structures are for, in their order",
        )
    return [replace(each, request=references[int(each.request)].identifier) for each in generated]


def _rates(
    comparison: Comparison,
    symmetry: Sequence[ReferenceSymmetry],
    counts: Sequence[int],
    settings: EvaluationSettings,
) -> dict[str, NDArray[np.float64]]:
    strict = [
        [
            found.outcome is Outcome.MATCH and _has_group(sample, reference, settings.symprec)
            for sample, found in zip(samples, matches, strict=True)
        ]
        for samples, matches, reference in zip(
            comparison.predictions, comparison.matches, symmetry, strict=True
        )
    ]
    rows: dict[str, NDArray[np.float64]] = {}
    for k in counts:
        for filter_by in settings.filters:
            rms = smallest_rms(comparison.outcomes(filter_by, k))
            rows[f"match_rate@{k}/{filter_by}"] = np.isfinite(rms).astype(np.float64)
            rows[f"rmse@{k}/{filter_by}"] = rms
        found = [any(row[:k]) for row in strict]
        rows[f"strict_match_rate@{k}/symprec{settings.symprec:g}"] = np.array(found, dtype=float)
    return rows


def _has_group(crystal: Crystal | None, reference: ReferenceSymmetry, symprec: float) -> bool:
    if crystal is None:
        return False
    try:
        found = find_symmetry(crystal, symprec).space_group_number
    except SymmetryError:
        return False
    return found == reference.space_group_number


def _metre(comparison: Comparison) -> dict[str, NDArray[np.float64]]:
    """METRe of the first samples, as many structures as references."""
    first = [row[0] if row else None for row in comparison.predictions]
    table = metre(first, comparison.references, settings=comparison.settings).per_structure
    matched, rms = np.array(table["matched"]), np.array(table["rms"], dtype=np.float64)
    corrected = np.where(matched, rms, comparison.settings.stol)
    return {"metre": matched.astype(np.float64), "rmse/metre": rms, "crmse": corrected}


class _Describer:
    """Makes results of values, with what is needed to reproduce them."""

    def __init__(
        self, generated: Sequence[GeneratedStructure], comparison: Comparison, symprec: float
    ) -> None:
        outcomes = Counter(each.outcome for row in comparison.matches for each in row)
        tolerances = asdict(comparison.settings)
        del tolerances["num_workers"]
        self._parameters = {
            **tolerances,
            "oxidation_states": comparison.oxidation_states,
            "symprec": symprec,
            "generated_hash": hash_crystals(each.crystal for each in generated),
            "num_without_samples": sum(not row for row in comparison.predictions),
            **{f"num_{outcome.value}": outcomes[outcome] for outcome in Outcome},
        }
        self._versions = library_versions()
        self._hash = hash_crystals(comparison.references)

    def mean(self, name: str, values: NDArray[np.float64]) -> MetricResult:
        """Mean over the references that count, which are all but those with NaN."""
        counting = values[np.isfinite(values)]
        if not len(counting):
            return self._result(name, float("nan"), 0, {})
        found = bootstrap_interval(counting, rng=_rng(), num_resamples=NUM_RESAMPLES)
        own = {"low": found.low, "high": found.high}
        return self._result(name, found.estimate, len(counting), own)

    def share(self, name: str, values: Sequence[bool | None]) -> MetricResult:
        """Share of generated structures; those with None do not count."""
        counting = [each for each in values if each is not None]
        value = float(np.mean(counting)) if counting else float("nan")
        return self._result(name, value, len(counting), {})

    def _result(self, name: str, value: float, count: int, own: dict[str, Any]) -> MetricResult:
        parameters = self._parameters | own
        return MetricResult(name, value, parameters, self._versions, self._hash, count)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)
