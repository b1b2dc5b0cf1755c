"""Structures for a given symmetry: every way to make them, on the test rows of MP-20.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/structures.py --model NAME=ARTIFACT [--model ...]

Space group, Wyckoff letters and elements are those of the truth, as `OrbitColumn` finds them at
0.1 Å; a row on which the libraries disagree is left out of no rate: it counts as a miss of every
way. Ways: ``random``, pyxtal's placement; ``retrieval``, the nearest template of the training rows,
which gives up letters, then the space group, where there is none; for each model ``noise``, one
sample; ``ranked``, the best of several by the model's own score; ``joined``, the template where one
has the letters and the best from noise where none has; ``warm``, the same with a little noise taken
up and away again. Structures are kept in ``--work`` and made once. Match rates are unfiltered, with
intervals over rows; differences are paired with retrieval.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, write
from templates import SOURCES, SYMPREC, strata_of

from crystal_data import open_store
from crystal_data.generation import (
    EvaluationSettings,
    GeneratedStructure,
    GenerationRequest,
    Generator,
    evaluate_generated,
    generate_all,
    read_generated,
)
from crystal_data.metrics import MatchSettings, paired_bootstrap_interval
from crystal_data.store import CrystalStore, OrbitColumn
from crystal_gen import (
    RandomGenerator,
    Sampling,
    StructureGenerator,
    StructureModel,
    TemplateGenerator,
    TemplateLibrary,
)
from crystal_gen.data_requests import requests_for

ENERGY = "formation_energy_per_atom"
Ways = dict[str, list[GeneratedStructure]]


def made(
    generator: Generator, requests: list[GenerationRequest], folder: Path, seconds: dict[str, float]
) -> list[GeneratedStructure]:
    """Structures of a generator, from its folder if they are there."""
    if not (folder / "summary.csv").is_file():
        start = time.process_time()
        generate_all(generator, requests, folder)
        seconds[folder.name] = time.process_time() - start
        (folder / "seconds.json").write_text(json.dumps(seconds[folder.name]))
    elif (folder / "seconds.json").is_file():
        seconds[folder.name] = json.loads((folder / "seconds.json").read_text())
    return list(read_generated(folder))


def firsts(structures: list[GeneratedStructure]) -> list[GeneratedStructure]:
    """Of each request the sample that was made first."""
    return [each for each in structures if each.sample == 0]


def best(structures: list[GeneratedStructure], most: int) -> list[GeneratedStructure]:
    """Of each request the best by score of the first samples."""
    chosen: dict[str, GeneratedStructure] = {}
    for each in structures:
        if each.sample >= most:
            continue
        other = chosen.get(each.request)
        if other is None or score_of(each) > score_of(other):
            chosen[each.request] = each
    return list(chosen.values())


def score_of(structure: GeneratedStructure) -> float:
    """The score, less than any where there is none."""
    return -np.inf if structure.score is None else structure.score


def with_letters(copies: list[GeneratedStructure]) -> set[str]:
    """Requests for which there is a template with the letters."""
    return {
        each.request
        for each in copies
        if not any(flag.startswith("fallback") for flag in each.flags)
    }


def joined(
    chosen: set[str], first: list[GeneratedStructure], second: list[GeneratedStructure]
) -> list[GeneratedStructure]:
    """The first ones of the chosen requests, and the second ones of all others."""
    kept = [each for each in first if each.request in chosen]
    return kept + [each for each in second if each.request not in chosen]


def ways_of_model(
    name: str, model: StructureModel, args: argparse.Namespace, context: "Context"
) -> Ways:
    """All that one model makes."""
    sampling = Sampling(args.steps, args.guidance, args.sharpness)
    from_noise = StructureGenerator(model, sampling=sampling)
    work, seconds = args.work, context.seconds
    noise = made(from_noise, context.requests(args.samples), work / f"{name}-noise", seconds)
    ways = {"noise": firsts(noise), "ranked": best(noise, args.samples)}
    chosen = with_letters(context.copies)
    ways["joined"] = joined(chosen, context.copies, ways["ranked"])
    warm = StructureGenerator(
        model, sampling=sampling, templates=context.library, start_level=args.start_level
    )
    near = made(warm, context.requests(1), work / f"{name}-warm-{args.start_level}", seconds)
    ways["warm"] = joined(chosen, near, ways["ranked"])
    if name == args.ablate:
        plain = made(
            from_noise,
            context.requests(1, with_property=False),
            work / f"{name}-no-property",
            seconds,
        )
        ways["noise, no property"] = firsts(plain)
    return {f"{name}: {way}": found for way, found in ways.items()}


class Context:
    """What all models share."""

    def __init__(self, store: CrystalStore, rows: np.ndarray, args: argparse.Namespace) -> None:
        self.store, self.rows = store, rows
        self.seconds: dict[str, float] = {}
        self.library = TemplateLibrary.from_store(store, symprec=SYMPREC)
        retrieval = TemplateGenerator(self.library, volume="fitted", fallback="composition")
        self.copies = made(retrieval, self.requests(1), args.work / "retrieval", self.seconds)

    def requests(self, num_samples: int, *, with_property: bool = True) -> list[GenerationRequest]:
        """Of all rows."""
        return requests_for(
            self.store,
            self.rows.tolist(),
            OrbitColumn(SYMPREC),
            properties=(ENERGY,) if with_property else (),
            num_samples=num_samples,
        )


def measured(
    ways: Ways, context: Context, strata: dict[str, Any], done: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Rates of each way, and differences from retrieval."""
    references = [context.store.crystal(row) for row in context.rows.tolist()]
    settings = EvaluationSettings(
        num_samples=(1,), filters=("none",), symprec=SYMPREC, matching=MatchSettings(num_workers=0)
    )
    baseline: dict[str, np.ndarray] = {}
    results: dict[str, Any] = {}
    for way, structures in ways.items():
        evaluation = evaluate_generated(structures, references, settings, strata=strata)
        rates = evaluation.rows["match_rate@1/none"]
        distances = evaluation.rows["rmse@1/none"]
        if way == "retrieval":
            baseline = {"rates": rates, "distances": distances}
        results[way] = {
            each.metric.replace("@1/none", ""): {
                "value": each.value,
                "low": each.parameters.get("low"),
                "high": each.parameters.get("high"),
                "count": each.num_samples,
            }
            for each in evaluation.results
            if "match_rate@1" in each.metric or "rmse@1" in each.metric
            if each.num_samples
        }
        if baseline:
            both = np.isfinite(distances) & np.isfinite(baseline["distances"])
            for name, first, second in (
                ("match_rate", rates, baseline["rates"]),
                ("rmse", distances[both], baseline["distances"][both]),
            ):
                gain = paired_bootstrap_interval(first, second, rng=np.random.default_rng(0))
                results[way][f"{name} over retrieval"] = {
                    "value": gain.estimate,
                    "low": gain.low,
                    "high": gain.high,
                    "count": len(first),
                }
        shown = {k: round(v["value"], 4) for k, v in results[way].items() if "/" not in k}
        print(way, shown, flush=True)
        done(results)
    return results


def main() -> None:
    """Makes and measures the structures of every way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", default=[], metavar="NAME=ARTIFACT")
    parser.add_argument("--ablate", help="name of the model that is also asked without property")
    parser.add_argument("--set", choices=SOURCES, default="mp_20")
    parser.add_argument("--split", default="test")
    parser.add_argument("--rows", type=int, default=0, help="of the split, 0 for all")
    parser.add_argument("--samples", type=int, default=8, help="of which the best is ranked first")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--sharpness", type=float, default=2.0)
    parser.add_argument("--start-level", type=float, default=0.05)
    parser.add_argument("--random", action="store_true", help="place atoms at random too")
    parser.add_argument("--work", type=Path, required=True, help="folder of the structures")
    parser.add_argument("--out", type=Path, default=RESULTS / "structures.json")
    args = parser.parse_args()
    store = open_store(SOURCES[args.set](), on_invalid="skip")
    rows = np.random.default_rng(0).permutation(store.rows_of(args.split))
    rows = np.sort(rows[: args.rows or None])
    context = Context(store, rows, args)
    ways: Ways = {"retrieval": context.copies}
    if args.random:
        found = made(RandomGenerator(), context.requests(1), args.work / "random", context.seconds)
        ways["random"] = firsts(found)
    for each in args.model:
        name, _, path = each.partition("=")
        model = StructureModel.from_pretrained(path)
        ways |= ways_of_model(name, model, args, context)
    references = [store.crystal(row) for row in rows.tolist()]
    strata = strata_of(args.set, references)
    models = ", ".join(each.partition("=")[0] for each in args.model)
    options = {key: str(value) for key, value in vars(args).items() if key not in ("out", "work")}
    options["model"] = models  # where their files were is of no use elsewhere
    measured(
        ways,
        context,
        strata,
        lambda results: write(
            args.out,
            {"options": options, "rows": len(rows), "cpu_seconds": context.seconds, **results},
        ),
    )


if __name__ == "__main__":
    main()
