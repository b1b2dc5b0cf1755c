"""Copied templates against the truth: match rates of the test rows of MP-20 and MPTS-52.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/templates.py --libraries own apart joined

Libraries are the set's training crystals (``own``); those that are none of its validation or test
crystals by identifier, parent or structure (``apart``); and with these the training crystals of
MP-20, MPTS-52 and the oxides of the folder ``mp_oxides``, apart from the same rows and of at most
as many atoms as the set has (``joined``). Each of the test rows is asked for in three ways: by its
composition, with 20 copies; by its space group too and by the Wyckoff letters of its elements too,
with the first copy alone. The last two give up letters, then the space group, where no template is
left (``fallback="composition"``), so that a row is empty only if no training crystal has its
anonymous formula and number of atoms. Symmetry is what `OrbitColumn` finds at 0.1 Å; a row on which
the libraries disagree is asked for by composition alone. Samples are compared as by `crystal-data
evaluate`, unfiltered, also on the rows with and without a template or a polymorph in the library
``own``. Differences are from the library before. Volumes are those of first copies that match, as
the template has them and fitted. Times are CPU seconds of one process.
"""

import argparse
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, write

from crystal_data import Crystal, open_store
from crystal_data.elements import SYMBOLS
from crystal_data.generation import (
    EvaluationSettings,
    GeneratedEvaluation,
    GeneratedSample,
    GeneratedStructure,
    GenerationRequest,
    Task,
    WyckoffSite,
    evaluate_generated,
    paired_differences,
    tasks_of,
)
from crystal_data.homes import data_home
from crystal_data.metrics import MatchSettings, MetricResult
from crystal_data.sources import MP20, MPTS52, CrystalSource, TableSource
from crystal_data.splits import EvaluationSet
from crystal_data.store import CrystalStore, OrbitColumn
from crystal_data.symmetry import SymmetricCrystal
from crystal_gen import (
    JoinedLibrary,
    TemplateGenerator,
    TemplateSearch,
    have_polymorph,
    have_template,
    join_sources,
)

SOURCES = {"mp_20": MP20, "mpts_52": MPTS52}
MAX_ATOMS = {"mp_20": 20, "mpts_52": 52}
LIBRARIES = ("own", "apart", "joined")
# With the number of copies that are compared.
ASKED = {"Wyckoff letters": 1, "space group": 1, "composition": 20}
SYMPREC = 0.1


def request_of(crystal: Crystal, true: SymmetricCrystal | None, asked: str) -> GenerationRequest:
    """What is asked for one test row."""
    named = {"id": crystal.identifier, "num_samples": ASKED[asked]}
    if asked == "composition" or true is None:
        formula = "".join(f"{symbol}{count}" for symbol, count in crystal.composition.items())
        return GenerationRequest(formula=formula, z=1, **named)
    number = true.space_group_number
    if asked == "space group":
        # A few cells of the files are supercells at this tolerance.
        cell = true.to_crystal()
        units = gcd(*cell.composition.values())
        return GenerationRequest(
            formula=cell.formula, z_conventional=units, space_group=number, **named
        )
    sites = tuple(
        WyckoffSite(letter, SYMBOLS[z])
        for letter, z in zip(true.wyckoff_letters, true.atomic_numbers.tolist(), strict=True)
    )
    return GenerationRequest(space_group=number, wyckoff=sites, **named)


def requests_of(store: CrystalStore, rows: np.ndarray, asked: str) -> list[GenerationRequest]:
    """What is asked for the test rows."""
    column = OrbitColumn(SYMPREC)
    symmetric = column.crystals(store.add_column(column).cut(rows))
    return [
        request_of(store.crystal(row), true, asked)
        for row, true in zip(rows.tolist(), symmetric, strict=True)
    ]


def oxides() -> CrystalSource:
    """Oxides of the Materials Project, from the data of Banjade et al. 2021."""
    folder = data_home(None) / "mp_oxides"
    return TableSource(train=folder / "train.csv.gz", name="mp_oxides")


def library_of(name: str, kind: str) -> JoinedLibrary:
    """A library for a data set."""
    source = SOURCES[name]()
    if kind == "own":
        return join_sources([source])
    apart_from = [EvaluationSet(source, "val"), EvaluationSet(source, "test")]
    others = [each() for other, each in SOURCES.items() if other != name]
    sources = [source, *others, oxides()] if kind == "joined" else [source]
    return join_sources(sources, exclude_from=apart_from, max_atoms=MAX_ATOMS[name])


def measured(
    generator: TemplateGenerator,
    references: Sequence[Crystal],
    requests: Sequence[GenerationRequest],
    num_copies: int,
    strata: Mapping[str, Sequence[bool]],
) -> tuple[dict[str, Any], GeneratedEvaluation]:
    """Results of one way to ask."""
    for request in requests:  # fills the tables of space groups, which are kept
        generator.search.find(request)
    start = time.process_time()
    for request in requests:
        generator.search.find(request, num_copies, fallback=generator.fallback)
    found = time.process_time()
    tasks = tasks_of(requests)
    samples = generator.generate(tasks)
    made = time.process_time()
    settings = EvaluationSettings(
        num_samples=tuple({1, num_copies}),
        filters=("none",),
        symprec=SYMPREC,
        matching=MatchSettings(num_workers=0),
    )
    evaluation = evaluate_generated(
        structures_of(tasks, samples), references, settings, strata=strata
    )
    first = [sample for task, sample in zip(tasks, samples, strict=True) if task.sample == 0]
    matched = evaluation.rows["match_rate@1/none"] > 0
    content = {
        "rows": len(references),
        "without_template": sum(sample.crystal is None for sample in first),
        "flags_of_first": dict(Counter(flag for sample in first for flag in sample.flags)),
        "cpu_seconds": {
            "find": found - start,
            "find_and_make": made - found,
            "evaluate": time.process_time() - made,
        },
        "volume_errors": volume_errors(generator, requests, references, matched),
        "metrics": metrics_of(evaluation.results),
    }
    return content, evaluation


def structures_of(
    tasks: Sequence[Task], samples: Sequence[GeneratedSample]
) -> list[GeneratedStructure]:
    """Samples as they would be read from their files."""
    return [
        GeneratedStructure(
            request=task.request.id,
            sample=task.sample,
            crystal=sample.crystal,
            rank=task.sample + 1,
            score=sample.score,
            flags=sample.flags,
            file="",
        )
        for task, sample in zip(tasks, samples, strict=True)
        if sample.crystal is not None
    ]


def metrics_of(results: Sequence[MetricResult]) -> dict[str, Any]:
    """Match rates and displacements with their intervals."""
    return {
        each.metric: {
            "value": each.value if each.num_samples else None,
            "low": each.parameters.get("low"),
            "high": each.parameters.get("high"),
            "count": each.num_samples,
        }
        for each in results
        if "match_rate@" in each.metric or "rmse@" in each.metric
    }


def volume_errors(
    generator: TemplateGenerator,
    requests: Sequence[GenerationRequest],
    references: Sequence[Crystal],
    matched: np.ndarray,
) -> dict[str, Any]:
    """Mean and median of abs(log(V / true V)) of first copies that match, by kind of volume."""
    rows = np.flatnonzero(matched)
    tasks = [Task(requests[row], 0) for row in rows.tolist()]
    true = np.array([references[row].volume / references[row].num_atoms for row in rows.tolist()])
    errors = {}
    for volume in ("template", "fitted"):
        maker = TemplateGenerator(generator.library, volume=volume, fallback="composition")
        maker.search = generator.search
        copies = [sample.crystal for sample in maker.generate(tasks)]
        volumes = np.array([copy.volume / copy.num_atoms for copy in copies])
        logs = np.abs(np.log(volumes / true))
        errors[volume] = {"mean": float(logs.mean()), "median": float(np.median(logs))}
    return errors


def main() -> None:
    """Measures every way to ask on every data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=800, help="test rows of each set, 0 for all")
    parser.add_argument("--sets", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=["own"])
    parser.add_argument("--out", type=Path, default=RESULTS / "templates.json")
    args = parser.parse_args()
    results: dict[str, Any] = {}
    for name in args.sets:
        store = open_store(SOURCES[name](), on_invalid="skip")
        rows = np.random.default_rng(0).permutation(store.rows_of("test"))
        rows = np.sort(rows[: args.rows or None])
        references = [store.crystal(row) for row in rows.tolist()]
        strata = strata_of(name, references)
        before: dict[str, GeneratedEvaluation] = {}
        results[name] = {}
        for kind in args.libraries:
            joined = library_of(name, kind)
            generator = TemplateGenerator(joined.library, fallback="composition")
            content = {"templates": len(joined.library), "excluded": joined.num_excluded}
            results[name][kind] = content
            for asked, num_copies in ASKED.items():
                requests = requests_of(store, rows, asked)
                content[asked], found = measured(
                    generator, references, requests, num_copies, strata
                )
                if asked in before:
                    differences = paired_differences(found, before[asked])
                    content[asked]["metrics"] |= metrics_of(differences)
                before[asked] = found
                show(f"{name} {kind} {asked}", content[asked])
                write(args.out, results)


def strata_of(name: str, references: Sequence[Crystal]) -> dict[str, list[bool]]:
    """Whether the library ``own`` has a template and a polymorph of each reference."""
    search = TemplateSearch(library_of(name, "own").library)
    settings = MatchSettings(num_workers=0)
    families = {
        "template": have_template(search, references, settings=settings),
        "polymorph": have_polymorph(search, references),
    }
    return {
        f"{family}={word}": (values == (word == "yes")).tolist()
        for family, values in families.items()
        for word in ("yes", "no")
    }


def show(title: str, content: Mapping[str, Any]) -> None:
    """Prints what was measured of one way to ask."""
    print(title, content["without_template"], content["volume_errors"], flush=True)
    for key, found in content["metrics"].items():
        if found["count"] and found["value"] is not None:
            print(f"  {key}: {found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f})")


if __name__ == "__main__":
    main()
