"""How much a match rate depends on which structures may match: copied templates of MP-20.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/filters.py

The nearest copies of training crystals for the compositions of 400 test rows, by every filter of
`crystal-data evaluate`; intervals are over rows.
"""

import argparse

import numpy as np
from measuring import RESULTS, write
from templates import library_of, metrics_of, request_of, structures_of

from crystal_data import open_store
from crystal_data.generation import EvaluationSettings, evaluate_generated, tasks_of
from crystal_data.metrics import MatchSettings
from crystal_data.sources import MP20
from crystal_gen import TemplateGenerator

COPIES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=400)
    args = parser.parse_args()
    store = open_store(MP20(), on_invalid="skip")
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))[: args.rows]
    references = [store.crystal(row) for row in np.sort(rows).tolist()]
    tasks = tasks_of([request_of(each, None, "composition") for each in references])
    samples = TemplateGenerator(library_of("mp_20", "own").library).generate(tasks)
    settings = EvaluationSettings(num_samples=(1, COPIES), matching=MatchSettings(num_workers=0))
    evaluation = evaluate_generated(structures_of(tasks, samples), references, settings)
    metrics = {
        name: value
        for name, value in metrics_of(evaluation.results).items()
        if name.startswith("match_rate@") and "=" not in name
    }
    for name, value in metrics.items():
        print(name, value)
    write(RESULTS / "filters.json", {"rows": len(references), "metrics": metrics})


if __name__ == "__main__":
    main()
