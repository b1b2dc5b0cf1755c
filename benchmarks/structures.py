"""Structures for a given symmetry: every way to make them, on the test rows of MP-20.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/structures.py --model NAME=ARTIFACT [--model ...]

Space group, Wyckoff letters and elements are those of the truth, as `OrbitColumn` finds them at
0.1 Å; a row on which the libraries disagree is left out of no rate: it counts as a miss of every
way. Ways: ``random``, pyxtal's placement; ``retrieval``, the nearest template of the training rows,
which gives up letters, then the space group, where there is none; for each model ``noise``, one
sample; ``joined``, the template where one has the letters and the best of several from noise where
none has, by the model's own score; ``warm``, the same with a little noise taken up and away again;
``ranked``, the best of several everywhere, with ``--everywhere`` alone. ``within``: whether any of
several samples matches, on the rows without a template. Models of one name are seeds of one model:
their rates are means, with intervals over seeds and rows from three seeds on, over rows below. An
``--arm`` makes one sample from noise alone, in so many steps or the model's default.
Structures are kept in ``--work`` and made once. Match rates are unfiltered; differences are paired
with retrieval.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from measuring import RESULTS, mean_over_seeds, write
from templates import LIBRARIES, SOURCES, SYMPREC, library_of, strata_of

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
from crystal_data.metrics import MatchSettings
from crystal_data.store import CrystalStore, OrbitColumn
from crystal_gen import (
    RandomGenerator,
    StructureGenerator,
    StructureModel,
    TemplateGenerator,
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
    name: str, folder: str, model: StructureModel, args: argparse.Namespace, context: "Context"
) -> Ways:
    """All that one model makes, by way."""
    from_noise = StructureGenerator(model)
    several = context.requests(args.samples, everywhere=args.everywhere)
    noise = made(from_noise, several, args.work / f"{folder}-noise", context.seconds)
    chosen = with_letters(context.copies)
    ranked = best(noise, args.samples)
    ways = {"noise": firsts(noise), "joined": joined(chosen, context.copies, ranked)}
    warm = StructureGenerator(model, templates=context.library, start_level=args.start_level)
    folder_of_warm = args.work / f"{folder}-warm-{args.start_level}"
    near = made(warm, context.requests(1), folder_of_warm, context.seconds)
    ways["warm"] = joined(chosen, near, ranked)
    ways["within"] = noise
    if args.everywhere:
        ways["ranked"] = ranked
    if folder == f"{args.ablate}-0":
        plain = context.requests(1, with_property=False)
        found = made(from_noise, plain, args.work / f"{folder}-no-property", context.seconds)
        ways["noise, no property"] = firsts(found)
    return {f"{name}: {way}": found for way, found in ways.items()}


def ways_of_arm(
    name: str, folder: str, path: str, args: argparse.Namespace, context: "Context"
) -> Ways:
    """One sample of each row from noise."""
    artifact, _, steps = path.partition("@")
    model = StructureModel.from_pretrained(artifact)
    default = model.default_sampling
    sampling = replace(default, num_steps=int(steps) if steps else default.num_steps)
    generator = StructureGenerator(model, sampling=sampling)
    own = args.work / f"{folder}-{sampling.num_steps}-steps"
    return {f"{name}: noise": made(generator, context.requests(1), own, context.seconds)}


class Context:
    """What all models share."""

    def __init__(self, store: CrystalStore, rows: np.ndarray, args: argparse.Namespace) -> None:
        self.store, self.rows = store, rows
        self.references = [store.crystal(row) for row in rows.tolist()]
        self.strata = strata_of(args.set, self.references)
        self.all_strata: dict[str, np.ndarray] = {}
        self.seconds: dict[str, float] = {}
        self.library = library_of(args.set, args.library).library
        retrieval = TemplateGenerator(self.library, fallback="composition")
        self.copies = made(retrieval, self.requests(1), args.work / "retrieval", self.seconds)

    def requests(
        self, num_samples: int, *, with_property: bool = True, everywhere: bool = True
    ) -> list[GenerationRequest]:
        """Of all rows; not everywhere: one sample where templates have the letters, or match."""
        asked = requests_for(
            self.store,
            self.rows.tolist(),
            OrbitColumn(SYMPREC),
            properties=(ENERGY,) if with_property else (),
            num_samples=num_samples,
        )
        if everywhere:
            return asked
        easy = {
            reference.identifier
            for reference, is_template in zip(
                self.references, self.strata["template=yes"], strict=True
            )
            if is_template
        } & with_letters(self.copies)
        return [replace(each, num_samples=1) if each.id in easy else each for each in asked]


class Found(NamedTuple):
    """What one seed of a way reaches on each row; ``[num_rows]``, NaN where nothing is compared."""

    rates: np.ndarray
    distances: np.ndarray


def compared(structures: list[GeneratedStructure], context: Context, count: int) -> Found:
    """Matches of the first samples, and displacements of those that match."""
    settings = EvaluationSettings(
        num_samples=(count,),
        filters=("none",),
        symprec=SYMPREC,
        matching=MatchSettings(num_workers=0),
    )
    evaluation = evaluate_generated(structures, context.references, settings, strata=context.strata)
    context.all_strata = dict(evaluation.strata)
    return Found(evaluation.rows[f"match_rate@{count}/none"], evaluation.rows[f"rmse@{count}/none"])


def summary(found: list[Found], baseline: Found, strata: dict[str, np.ndarray]) -> dict[str, Any]:
    """Rates of a way, over all rows and in each stratum, and differences from retrieval."""
    rates = np.array([each.rates for each in found])
    distances = np.array([each.distances for each in found])
    results = {
        "match_rate": mean_over_seeds(rates),
        "rmse": mean_over_seeds(distances),
        "match_rate over retrieval": mean_over_seeds(rates - baseline.rates),
        "rmse over retrieval": mean_over_seeds(distances - baseline.distances),
    }
    for name, inside in strata.items():
        results[f"match_rate/{name}"] = mean_over_seeds(rates[:, inside])
        results[f"rmse/{name}"] = mean_over_seeds(distances[:, inside])
    return results


def main() -> None:
    """Makes and measures the structures of every way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", default=[], metavar="NAME=ARTIFACT")
    parser.add_argument("--arm", action="append", default=[], metavar="NAME=ARTIFACT[@STEPS]")
    parser.add_argument(
        "--ablate", help="name of the model whose first seed makes samples without property"
    )
    parser.add_argument("--set", choices=SOURCES, default="mp_20")
    parser.add_argument("--split", default="test")
    parser.add_argument("--rows", type=int, default=0, help="of the split, 0 for all")
    parser.add_argument("--library", choices=LIBRARIES, default="own", help="of templates")
    parser.add_argument("--samples", type=int, default=10, help="of which the best is chosen")
    parser.add_argument("--everywhere", action="store_true", help="several samples of every row")
    parser.add_argument("--start-level", type=float, default=0.05)
    parser.add_argument("--random", action="store_true", help="place atoms at random too")
    parser.add_argument("--work", type=Path, required=True, help="folder of the structures")
    parser.add_argument("--out", type=Path, default=RESULTS / "structures.json")
    args = parser.parse_args()
    store = open_store(SOURCES[args.set](), on_invalid="skip")
    rows = np.random.default_rng(0).permutation(store.rows_of(args.split))
    context = Context(store, np.sort(rows[: args.rows or None]), args)
    baseline = compared(context.copies, context, 1)
    found: dict[str, list[Found]] = {"retrieval": [baseline]}
    if args.random:
        placed = made(RandomGenerator(), context.requests(1), args.work / "random", context.seconds)
        found["random"] = [compared(placed, context, 1)]
    options = {key: str(value) for key, value in vars(args).items() if key not in ("out", "work")}
    # Where the files of models were is of no use elsewhere.
    for option in ("model", "arm"):
        options[option] = ", ".join(each.partition("=")[0] for each in getattr(args, option))
    everything = [*args.model, *args.arm]
    for place, each in enumerate(everything):
        name, _, path = each.partition("=")
        seed = sum(other.startswith(f"{name}=") for other in everything[:place])
        if place < len(args.model):
            model = StructureModel.from_pretrained(path)
            ways = ways_of_model(name, f"{name}-{seed}", model, args, context)
        else:
            ways = ways_of_arm(name, f"{name}-{seed}", path, args, context)
        for way, structures in ways.items():
            count = args.samples if way.endswith(": within") else 1
            found.setdefault(way, []).append(compared(structures, context, count))
            strata = context.all_strata
            if count > 1:  # elsewhere one sample was made
                strata = {"template=no": strata["template=no"]}
            content = summary(found[way], baseline, strata)
            shown = [round(content[key]["value"], 4) for key in ("match_rate", "rmse")]
            print(way, *shown, "no template", content["match_rate/template=no"], flush=True)
        results = {
            way: summary(own, baseline, context.all_strata)
            for way, own in found.items()
            if not way.endswith(": within")
        } | {
            way: {
                "match_rate/template=no": mean_over_seeds(np.array([x.rates[inside] for x in own]))
            }
            for inside in [context.all_strata["template=no"]]
            for way, own in found.items()
            if way.endswith(": within")
        }
        measured = {"options": options, "rows": len(context.rows), "cpu_seconds": context.seconds}
        write(args.out, {**measured, **results})


if __name__ == "__main__":
    main()
