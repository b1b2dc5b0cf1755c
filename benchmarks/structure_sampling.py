"""How structures are best made: steps, sharpness, guidance, and the noise of a warm start.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/structure_sampling.py ARTIFACT

One sample for each of some validation crystals of MP-20, symmetry and formation energy given. One
number is varied at a time, the others as they are by default. Warm starts begin from the nearest
template of the training rows that has the Wyckoff letters, so they are measured where there is one,
beside the template itself.
"""

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
from measuring import RESULTS, write
from structures import ENERGY, firsts, with_letters
from templates import SYMPREC

from crystal_data import open_store
from crystal_data.crystal import Crystal
from crystal_data.generation import (
    EvaluationSettings,
    GeneratedStructure,
    GenerationRequest,
    Generator,
    evaluate_generated,
    tasks_of,
)
from crystal_data.metrics import MatchSettings
from crystal_data.sources import MP20
from crystal_data.store import OrbitColumn
from crystal_gen import (
    Sampling,
    StructureGenerator,
    StructureModel,
    TemplateGenerator,
    TemplateLibrary,
)
from crystal_gen.data_requests import requests_for

STEPS = (10, 20, 30, 50, 100, 1000)
SHARPNESS = (0.0, 1.0, 2.0, 4.0)
GUIDANCE = (0.0, 0.5, 1.0, 1.5, 2.0)
START_LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


def made(generator: Generator, requests: list[GenerationRequest]) -> list[GeneratedStructure]:
    """One structure of each request, which is not written."""
    tasks = tasks_of(requests)
    samples = generator.generate(tasks)
    return [
        GeneratedStructure(
            request=task.request.id,
            sample=task.sample,
            crystal=sample.crystal,
            rank=1,
            score=sample.score,
            flags=sample.flags,
            file="",
        )
        for task, sample in zip(tasks, samples, strict=True)
    ]


def rates(structures: list[GeneratedStructure], references: list[Crystal]) -> dict[str, float]:
    """Share of matches, and their mean displacement."""
    settings = EvaluationSettings(
        num_samples=(1,), filters=("none",), symprec=SYMPREC, matching=MatchSettings(num_workers=0)
    )
    evaluation = evaluate_generated(structures, references, settings)
    matches = evaluation.rows["match_rate@1/none"]
    distances = evaluation.rows["rmse@1/none"]
    return {"match_rate": float(matches.mean()), "rmse": float(np.nanmean(distances))}


def main() -> None:
    """Measures each value, and writes what is known after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifact")
    parser.add_argument("--rows", type=int, default=400)
    args = parser.parse_args()
    store = open_store(MP20(), on_invalid="skip")
    rows = np.random.default_rng(0).permutation(store.rows_of("val"))[: args.rows]
    requests = requests_for(
        store, np.sort(rows).tolist(), OrbitColumn(SYMPREC), properties=(ENERGY,)
    )
    crystals = {store.crystal(row).identifier: store.crystal(row) for row in rows.tolist()}
    model = StructureModel.from_pretrained(args.artifact)
    results: dict[str, Any] = {"rows": len(requests)}

    def measure(name: str, value: float, generator: Generator, chosen: set[str]) -> None:
        own = [request for request in requests if request.id in chosen]
        found = rates(made(generator, own), [crystals[request.id] for request in own])
        results.setdefault(name, {})[str(value)] = found
        print(name, value, {key: round(number, 4) for key, number in found.items()}, flush=True)
        write(RESULTS / "structure-sampling.json", results)

    library = TemplateLibrary.from_store(store, symprec=SYMPREC)
    retrieval = TemplateGenerator(library, fallback="composition")
    everything = {request.id for request in requests}
    near = with_letters(firsts(made(retrieval, requests)))
    results["rows with a template"] = len(near)
    measure("template", 0, retrieval, near)
    default = model.default_sampling
    for level in START_LEVELS:
        warm = StructureGenerator(model, templates=library, start_level=level)
        measure("start_level", level, warm, near)
    for sharpness in SHARPNESS:
        sampling = replace(default, sharpness=sharpness)
        measure("sharpness", sharpness, StructureGenerator(model, sampling=sampling), everything)
    for guidance in GUIDANCE:
        sampling = replace(default, guidance=guidance)
        measure("guidance", guidance, StructureGenerator(model, sampling=sampling), everything)
    for steps in STEPS:
        sampling = Sampling(steps, default.guidance, default.sharpness)
        measure("num_steps", steps, StructureGenerator(model, sampling=sampling), everything)


if __name__ == "__main__":
    main()
