"""Space groups and Wyckoff positions for the compositions of MP-20's test rows.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/symmetry_model.py [--model NAME=RUN]... [--rows N]

Each row is asked by its composition and z. An answer is right if it is the row's assignment at
0.1 Å, canonical under the affine normalizer. Baselines read the training rows: the most frequent
answers of the anonymous formula, and the answers of the nearest compositions. Each model is also
mixed with the nearest compositions. A model that was trained with properties is also asked with
those of the row. Models of one NAME are seeds: their rates are means. Every answer is checked to be
a possible request with the right atoms. Rows without orbits are left out and counted. Differences
from the answers of the nearest composition, and from those of the first NAME, have 95 % intervals:
over seeds and rows from three seeds on, over rows below. Times are CPU seconds for 1,000 rows.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, write
from templates import SYMPREC

from crystal_data import open_store
from crystal_data.cli.text_table import aligned
from crystal_data.generation import GenerationRequest, Quantity
from crystal_data.metrics import (
    MIN_SEEDS,
    Interval,
    SeedInterval,
    bootstrap_interval,
    seed_interval,
)
from crystal_data.sources import MP20
from crystal_data.store import CrystalStore, OrbitColumn
from crystal_gen import (
    FrequencyProposer,
    MixedProposer,
    ModelProposer,
    NearestProposer,
    SymmetryModel,
    SymmetryProposer,
    TemplateLibrary,
    TemplateSearch,
    WyckoffAssignment,
    load_symmetry_model,
)
from crystal_gen.language.grammar import AnswerGrammar
from crystal_gen.language.rouge import ROUGE, rouge
from crystal_gen.wyckoff.assignment import assignments_of
from crystal_gen.wyckoff.measures import EXACT_AT, GROUP_AT
from crystal_gen.wyckoff.questions import SymmetryQuestion

_AT_ONCE = 256  # rows
NEAREST = "nearest composition"
COMPARED = ("group@1", "exact@1", "exact@20")
Right = dict[str, list[bool]]
Numbers = dict[str, Any]
Measured = tuple[Numbers, Right]


def test_rows(store: CrystalStore, limit: int | None) -> tuple[np.ndarray, int]:
    """Rows that have orbits, the first of a shuffle, and how many have none."""
    rows = store.rows_of("test")
    chunk = store.add_column(OrbitColumn(SYMPREC)).cut(rows)
    has_orbits = chunk.arrays["space_group_number"] > 0
    known = np.random.default_rng(0).permutation(rows[has_orbits])
    return known[:limit], int((~has_orbits).sum())


def requests_of(
    store: CrystalStore,
    rows: np.ndarray,
    truths: Sequence[WyckoffAssignment],
    properties: Sequence[str],
) -> list[GenerationRequest]:
    """Composition, z and some properties of each row."""
    values = store.targets(list(properties), rows)
    requests = []
    for place, truth in enumerate(truths):
        z = gcd(*truth.cell.values())
        formula = "".join(f"{symbol}{count // z}" for symbol, count in truth.cell.items())
        wanted = {name: float(values[name][place]) for name in properties}
        requests.append(
            GenerationRequest(
                formula=formula,
                z=z,
                properties={
                    name: Quantity(value) for name, value in wanted.items() if np.isfinite(value)
                },
            )
        )
    return requests


def measure(
    proposer: SymmetryProposer,
    requests: Sequence[GenerationRequest],
    truths: Sequence[WyckoffAssignment],
) -> Measured:
    """Shares of right and of legal answers, and what is right of each row."""
    right: Right = {f"group@{n}": [] for n in GROUP_AT} | {f"exact@{n}": [] for n in EXACT_AT}
    shared: dict[str, list[float]] = {name: [] for name in ROUGE}
    answers_made, legal, without, seconds = 0, 0, 0, 0.0
    for first in range(0, len(requests), _AT_ONCE):
        asked = requests[first : first + _AT_ONCE]
        start = time.process_time()
        groups = proposer.groups(asked, max(GROUP_AT))
        answers = proposer.propose(asked, max(EXACT_AT))
        seconds += time.process_time() - start
        for request, of_group, of_row, truth in zip(
            asked, groups, answers, truths[first:], strict=False
        ):
            numbers = [each.space_group for each in of_group]
            assignments = [each.assignment for each in of_row]
            for n in GROUP_AT:
                right[f"group@{n}"].append(truth.space_group in numbers[:n])
            for n in EXACT_AT:
                right[f"exact@{n}"].append(truth in assignments[:n])
            text = text_of(assignments[0]) if assignments else ""
            for name, value in rouge(text, text_of(truth)).items():
                shared[name].append(value)
            answers_made += len(assignments)
            without += not assignments
            legal += sum(is_possible(request, each) for each in assignments)
    shares = {name: float(np.mean(values)) for name, values in right.items()}
    content = {
        **shares,
        **{name: float(np.mean(values)) for name, values in shared.items()},
        "legal": legal / max(answers_made, 1),
        "rows without an answer": without / len(requests),
        "CPU seconds for 1,000 rows": 1_000 * seconds / len(requests),
    }
    return content, right


def summary(seeds: Sequence[Measured], baselines: Mapping[str, Sequence[Measured]]) -> Numbers:
    """Means over seeds; differences from other answers with their intervals.

    Args:
        seeds: Of one way.
        baselines: By name; of those with several seeds each row counts with its mean.
    """
    numbers: Numbers = {
        name: float(np.mean([content[name] for content, _ in seeds])) for name in seeds[0][0]
    }
    numbers["seeds"] = len(seeds)
    if len(seeds) >= MIN_SEEDS:
        for metric in seeds[0][1]:
            numbers[f"{metric} interval"] = interval_of(of_rows(seeds, metric))
    for name, others in baselines.items():
        for metric in COMPARED:
            differences = of_rows(seeds, metric) - of_rows(others, metric).mean(0)
            numbers[f"{metric} above {name}"] = interval_of(differences)
    return numbers


def of_rows(seeds: Sequence[Measured], metric: str) -> np.ndarray:
    """Whether each seed is right on each row; ``[num_seeds, num_rows]``."""
    return np.array([right[metric] for _, right in seeds], dtype=float)


def interval_of(values: np.ndarray) -> list[float | None]:
    """Mean and 95 % interval: over seeds and rows from three seeds on, over rows below.

    Args:
        values: ``[num_seeds, num_rows]``.
    """
    found: SeedInterval | Interval
    if len(values) >= MIN_SEEDS:
        found = seed_interval(values)
    else:
        found = bootstrap_interval(values.mean(0), rng=np.random.default_rng(0))
    return [found.estimate, found.low, found.high]


def text_of(assignment: WyckoffAssignment) -> str:
    """An answer as language models write it."""
    atoms = tuple(assignment.cell.values())
    z = gcd(*atoms)
    question = SymmetryQuestion(assignment.elements, tuple(n // z for n in atoms), (z,))
    return "".join(AnswerGrammar().pieces(question, assignment))


def words_of_the_question(truths: Sequence[WyckoffAssignment]) -> dict[str, float]:
    """ROUGE of the words that every answer to a question has."""
    found = []
    for truth in truths:
        text = text_of(truth)
        first = text.partition("\n")[0]
        found.append(rouge(f"{first} group positions {' '.join(truth.cell)}", text))
    return {name: float(np.mean([each[name] for each in found])) for name in ROUGE}


def is_possible(request: GenerationRequest, assignment: WyckoffAssignment) -> bool:
    """Whether an answer is a request that can be met, of the atoms that were asked."""
    made = GenerationRequest(space_group=assignment.space_group, wyckoff=assignment.sites)
    return made.cell == request.cell


def legal_when_free(model: SymmetryModel, requests: Sequence[GenerationRequest]) -> float:
    """Share of random answers that are legal though the model is not held to it."""
    questions = [SymmetryQuestion.from_request(each, model.properties) for each in requests]
    walked = [
        each
        for first in range(0, len(questions), _AT_ONCE)
        for each in model.free_walks(
            questions[first : first + _AT_ONCE],
            range(first, first + len(questions[first : first + _AT_ONCE])),
        )
    ]
    return float(np.mean(walked))


def main() -> None:
    """Measures baselines and models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--rows", type=int, metavar="N", help="the first N of a shuffle")
    parser.add_argument("--out", type=Path, default=RESULTS / "symmetry-model.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(MP20(), on_invalid="skip")
    rows, num_without = test_rows(store, args.rows)
    found = assignments_of(store.add_column(OrbitColumn(SYMPREC)).cut(rows))
    truths = [each for each in found if each is not None]
    plain = requests_of(store, rows, truths, ())
    library = TemplateLibrary.from_store(store, symprec=SYMPREC)
    measured: dict[str, list[Measured]] = {
        "most frequent": [measure(FrequencyProposer.from_library(library), plain, truths)],
        NEAREST: [measure(NearestProposer(library), plain, truths)],
    }
    names: dict[str, None] = {}
    for name, _, folder in (each.partition("=") for each in args.model):
        names[name] = None
        model = load_symmetry_model(folder).eval()
        content, right = measure(ModelProposer(model), plain, truths)
        content["legal when free"] = legal_when_free(model, plain)
        measured.setdefault(name, []).append((content, right))
        mixed = MixedProposer(ModelProposer(model), TemplateSearch(library))
        measured.setdefault(f"{name}, nearest", []).append(measure(mixed, plain, truths))
        if model.properties:
            wished = requests_of(store, rows, truths, model.properties)
            told = measure(ModelProposer(model), wished, truths)
            measured.setdefault(f"{name}, properties", []).append(told)
    baselines = {"nearest": measured[NEAREST]}
    if names:
        first = next(iter(names))
        baselines[first] = measured[first]
    results = {way: summary(seeds, baselines) for way, seeds in measured.items()}
    right_columns = [*(f"group@{n}" for n in GROUP_AT), *(f"exact@{n}" for n in EXACT_AT)]
    columns = [*right_columns, "legal", *ROUGE]
    table = [("", *columns)]
    table += [
        (name, *(f"{100 * content[column]:.1f}" for column in columns))
        for name, content in results.items()
    ]
    known = words_of_the_question(truths)
    nothing = [""] * (len(columns) - len(ROUGE))
    table.append(
        ("words of the question", *nothing, *(f"{100 * known[name]:.1f}" for name in ROUGE))
    )
    print("\n".join(aligned(table)))
    print(f"\nThe text of an answer, {truths[0]}:\n{text_of(truths[0])}")
    results["words of the question"] = known
    write(args.out, {"rows": len(truths), "rows without orbits": num_without, "measured": results})


if __name__ == "__main__":
    main()
