"""Copied templates against the truth: match rates of the test rows of MP-20 and MPTS-52.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/templates.py

Training crystals are the templates. Each of the test rows is asked for in three ways: by its
composition, with 20 copies; by its space group too and by the Wyckoff letters of its elements too,
with the first copy alone. The last two give up letters, then the space group, where no template is
left (``fallback="composition"``), so that a row is empty only if no training crystal has its
anonymous formula and number of atoms. Symmetry is what `OrbitColumn` finds at 0.1 Å; a row on which
the libraries disagree is asked for by composition alone. Samples are compared as by `crystal-data
evaluate`, unfiltered. Times are CPU seconds of one process.
"""

import argparse
import time
from collections import Counter
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, write

from crystal_data import Crystal, open_store
from crystal_data.elements import SYMBOLS
from crystal_data.generation import (
    EvaluationSettings,
    GeneratedStructure,
    GenerationRequest,
    WyckoffSite,
    evaluate_generated,
    tasks_of,
)
from crystal_data.metrics import MatchSettings
from crystal_data.sources import MP20, MPTS52
from crystal_data.store import CrystalStore, OrbitColumn
from crystal_data.symmetry import SymmetricCrystal
from crystal_gen import TemplateGenerator, TemplateLibrary

SOURCES = {"mp_20": MP20, "mpts_52": MPTS52}
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


def measured(
    generator: TemplateGenerator, store: CrystalStore, rows: np.ndarray, asked: str
) -> dict[str, Any]:
    """Results of one way to ask."""
    requests = requests_of(store, rows, asked)
    for request in requests:  # fills the tables of space groups, which are kept
        generator.search.find(request)
    start = time.process_time()
    for request in requests:
        generator.search.find(request, ASKED[asked], fallback=generator.fallback)
    found = time.process_time()
    tasks = tasks_of(requests)
    samples = generator.generate(tasks)
    made = time.process_time()
    structures = [
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
    settings = EvaluationSettings(
        num_samples=tuple({1, ASKED[asked]}),
        filters=("none",),
        symprec=SYMPREC,
        matching=MatchSettings(num_workers=0),
    )
    references = [store.crystal(row) for row in rows.tolist()]
    evaluation = evaluate_generated(structures, references, settings)
    first = [sample for task, sample in zip(tasks, samples, strict=True) if task.sample == 0]
    return {
        "rows": len(rows),
        "without_template": sum(sample.crystal is None for sample in first),
        "flags_of_first": dict(Counter(flag for sample in first for flag in sample.flags)),
        "cpu_seconds": {
            "find": found - start,
            "find_and_make": made - found,
            "evaluate": time.process_time() - made,
        },
        "metrics": {
            each.metric: {
                "value": each.value,
                "low": each.parameters.get("low"),
                "high": each.parameters.get("high"),
                "count": each.num_samples,
            }
            for each in evaluation.results
            if "match_rate@" in each.metric or "rmse@" in each.metric
        },
    }


def main() -> None:
    """Measures every way to ask on every data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=800, help="test rows of each set, 0 for all")
    parser.add_argument("--sets", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--volume", choices=("template", "fitted"), default="template")
    parser.add_argument("--out", type=Path, default=RESULTS / "templates.json")
    args = parser.parse_args()
    results: dict[str, Any] = {}
    for name in args.sets:
        store = open_store(SOURCES[name](), on_invalid="skip")
        rows = np.random.default_rng(0).permutation(store.rows_of("test"))
        rows = np.sort(rows[: args.rows or None])
        library = TemplateLibrary.from_store(store, symprec=SYMPREC)
        generator = TemplateGenerator(library, volume=args.volume, fallback="composition")
        results[name] = {"templates": len(library)}
        for asked in ASKED:
            results[name][asked] = measured(generator, store, rows, asked)
            metrics = results[name][asked]["metrics"]
            print(name, asked, results[name][asked]["without_template"], flush=True)
            for key, found in metrics.items():
                print(f"  {key}: {found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f})")
            write(args.out, {"volume": args.volume, **results})


if __name__ == "__main__":
    main()
