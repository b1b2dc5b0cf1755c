"""Structures for a composition alone, without symmetry: copies against a model of all atoms.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/compositions.py --model ARTIFACT --work FOLDER

Test rows of MP-20 are asked for by the composition of their cell. ``retrieval``: the 20 nearest
copies in their own order. ``model``: 20 samples of a CrystalDiT that knows no symmetry
(`crystal-dit-dense-mp20`), the best by its own score first; ``model, one sample``: the one that was
made first. Match rates of the first and of the first 20, unfiltered; differences are paired
with retrieval. Structures are kept in ``--work`` and made once. Times are CPU seconds.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, write
from structures import firsts, made
from templates import SYMPREC, library_of, metrics_of, requests_of, strata_of

from crystal_data import open_store
from crystal_data.generation import (
    EvaluationSettings,
    GeneratedEvaluation,
    evaluate_generated,
    paired_differences,
)
from crystal_data.metrics import MatchSettings
from crystal_data.sources import MP20
from crystal_gen import StructureGenerator, StructureModel, TemplateGenerator

NUM_SAMPLES = 20


def main() -> None:
    """Makes and compares the structures of all ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder of an artifact")
    parser.add_argument("--rows", type=int, default=200, help="of the test split")
    parser.add_argument("--work", type=Path, required=True, help="folder of the structures")
    args = parser.parse_args()
    store = open_store(MP20(), on_invalid="skip")
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))[: args.rows]
    requests = requests_of(store, np.sort(rows), "composition")
    references = [store.crystal(row) for row in np.sort(rows).tolist()]
    model = StructureModel.from_pretrained(args.model)
    copies = TemplateGenerator(library_of("mp_20", "own").library)
    seconds: dict[str, float] = {}
    samples = made(StructureGenerator(model), requests, args.work / "model", seconds)
    ways = {
        "retrieval": made(copies, requests, args.work / "retrieval", seconds),
        "model": samples,
        "model, one sample": firsts(samples),
    }
    settings = EvaluationSettings(
        num_samples=(1, NUM_SAMPLES),
        filters=("none",),
        symprec=SYMPREC,
        matching=MatchSettings(num_workers=0),
    )
    strata = strata_of("mp_20", references)
    evaluations: dict[str, GeneratedEvaluation] = {}
    results: dict[str, Any] = {"rows": len(references), "CPU seconds": seconds}
    for way, structures in ways.items():
        found = evaluate_generated(structures, references, settings, strata=strata)
        evaluations[way] = found
        results[way] = metrics_of(found.results)
        if way != "retrieval":
            gains = paired_differences(found, evaluations["retrieval"])
            results[way]["over retrieval"] = metrics_of(gains)
        write(RESULTS / "compositions.json", results)
        print(way, {k: v["value"] for k, v in results[way].items() if k.endswith("/none")})


if __name__ == "__main__":
    main()
