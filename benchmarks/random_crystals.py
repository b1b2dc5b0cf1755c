"""Random crystals against the truth: what pyxtal finds of the test rows of MP-20 by chance.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/random_crystals.py

The rows of `templates.py`, asked for in the same three ways and compared as there.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, write
from templates import ASKED, SOURCES, SYMPREC, metrics_of, requests_of, strata_of, structures_of

from crystal_data import open_store
from crystal_data.generation import EvaluationSettings, evaluate_generated, tasks_of
from crystal_data.metrics import MatchSettings
from crystal_gen import RandomGenerator


def main() -> None:
    """Measures every way to ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=800, help="test rows, 0 for all")
    parser.add_argument("--samples", type=int, default=1, help="of each row")
    parser.add_argument("--set", choices=SOURCES, default="mp_20")
    parser.add_argument("--out", type=Path, default=RESULTS / "random-crystals.json")
    args = parser.parse_args()
    store = open_store(SOURCES[args.set](), on_invalid="skip")
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))
    rows = np.sort(rows[: args.rows or None])
    references = [store.crystal(row) for row in rows.tolist()]
    strata = strata_of(args.set, references)
    generator = RandomGenerator()
    results: dict[str, Any] = {"set": args.set, "rows": len(rows)}
    for asked in ASKED:
        requests = [
            replace(each, num_samples=args.samples) for each in requests_of(store, rows, asked)
        ]
        start = time.process_time()
        samples = generator.generate(tasks_of(requests))
        made = time.process_time()
        settings = EvaluationSettings(
            num_samples=tuple({1, args.samples}),
            filters=("none",),
            symprec=SYMPREC,
            matching=MatchSettings(num_workers=0),
        )
        structures = structures_of(tasks_of(requests), samples)
        evaluation = evaluate_generated(structures, references, settings, strata=strata)
        results[asked] = {
            "not_placed": sum(sample.crystal is None for sample in samples),
            "samples": len(samples),
            "cpu_seconds": {"make": made - start, "evaluate": time.process_time() - made},
            "metrics": metrics_of(evaluation.results),
        }
        print(asked, results[asked]["not_placed"], results[asked]["cpu_seconds"], flush=True)
        for key, found in results[asked]["metrics"].items():
            if found["count"]:
                print(f"  {key}: {found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f})")
        write(args.out, results)


if __name__ == "__main__":
    main()
