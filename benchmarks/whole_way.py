"""From a composition to ranked crystals: every part of the way, on test rows of MP-20 and MPTS-52.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/whole_way.py --work FOLDER [--limit N]

Each row is asked for by the composition of its cell. All arms copy from one library (`--library`:
that which comes with the package, or one of `templates.py`). Arms:

``retrieval``: the 20 nearest copies in their own order. ``retrieval re-ranked``: copies alone,
those that are alike merged, ordered by the ranker, which sees no model. ``from noise``: the
likeliest space groups and Wyckoff positions of the symmetry model, crystals for them by the
structure model; the likeliest answer first, of its crystals the best by the model's own score.
``whole pool``: both together with warm starts, merged, ordered by the ranker: what `crystal-gen
generate` does. With ``--potential``, which needs it installed, ``retrieval re-ranked, energies``
and ``whole pool, energies``: the ranker also reads energies of the candidates as they stand.

Models of structures and of symmetry that are given together, by ``--seed``, are one seed; without
any, those that come with the package are.

Match rates are unfiltered, by the literature's tolerances, of the first and of the first 20;
differences are paired with retrieval. Intervals are over seeds and rows from three seeds on, over
rows below. ``rescued`` is the share of rows that an arm finds within 20 among those that retrieval
does not find within 20. ``calibration`` compares the probabilities of the first 20 with how many
match. Pools are kept in ``--work`` and made once. Times are CPU seconds of one process, for 1,000
requests.
"""

import argparse
import itertools
import pickle
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from measuring import RESULTS, mean_over_seeds, write
from numpy.typing import NDArray
from templates import LIBRARIES, SOURCES, SYMPREC, library_of, requests_of

from crystal_data import Crystal, open_store
from crystal_data.generation import (
    EvaluationSettings,
    GeneratedEvaluation,
    GeneratedStructure,
    GenerationRequest,
    evaluate_generated,
)
from crystal_data.metrics import MatchSettings, Outcome, match_pairs
from crystal_data.symmetry import SymmetricCrystal
from crystal_gen import (
    CandidateRanker,
    StructureModel,
    TemplateLibrary,
    WyckoffTransformer,
)
from crystal_gen.candidates.energies import energy_penalties, pool_energies
from crystal_gen.candidates.features import CandidateFeatures
from crystal_gen.candidates.generator import pool_maker
from crystal_gen.candidates.pool import Pool, PoolMaker
from crystal_gen.candidates.ranker import calibration_error
from crystal_gen.shipped import RANKER, SHIPPED, STRUCTURE_MODEL, SYMMETRY_MODEL, TEMPLATES
from crystal_gen.templates.copying import in_asked_cell

Array = NDArray[np.float64]
Given, Made = TypeVar("Given"), TypeVar("Made")
NUM_SAMPLES = 20
FIRST = tuple(f"match_rate@{count}/none" for count in (1, NUM_SAMPLES))
COPIES = ("retrieval", "retrieval re-ranked", "retrieval re-ranked, energies")


@dataclass(frozen=True)
class Row:
    """What was made for one row.

    Args:
        copies: The pool of copies alone.
        whole: The pool of all sources.
        seconds: CPU seconds of the two pools.
    """

    copies: Pool
    whole: Pool
    seconds: tuple[float, float]


@dataclass(frozen=True)
class Energies:
    """What a potential says of a row's candidates, eV/atom.

    Args:
        copies: Of the pool of copies alone.
        whole: Of the pool of all sources.
        seconds: CPU seconds of the two.
    """

    copies: Array
    whole: Array
    seconds: tuple[float, float]


class Way:
    """The parts of the way.

    Args:
        library: To copy from.
        models: Of structures and of symmetry; names or folders of artifacts.
        ranker: The same.
    """

    def __init__(self, library: TemplateLibrary, models: tuple[str, str], ranker: str) -> None:
        structure, symmetry = (SHIPPED.find(each) for each in models)
        self.whole = pool_maker(
            library,
            StructureModel.from_pretrained(structure),
            WyckoffTransformer.from_pretrained(symmetry),
        )
        self.copies = PoolMaker(self.whole.copies)
        self.ranker = CandidateRanker.from_pretrained(SHIPPED.find(ranker))
        self.features = CandidateFeatures(self.whole.copies)

    def rows(self, requests: Sequence[GenerationRequest], file: Path) -> Iterator[Row]:
        """Pools of all requests, from a file where they are there."""

        def made(request: GenerationRequest) -> Row:
            copies, of_copies = timed(lambda: self.copies.pool(request))
            whole, of_whole = timed(lambda: self.whole.pool(request))
            return Row(copies, whole, (of_copies, of_whole))

        return kept(file, {request.id: request for request in requests}, made)

    def energies(self, rows: Sequence[Row], potential: str, file: Path) -> list[Energies]:
        """Energies of all candidates, from a file where they are there."""
        if potential != self.ranker.potential:
            raise SystemExit(f"the ranker knows {self.ranker.potential}, not {potential}")

        def made(row: Row) -> Energies:
            copies, of_copies = timed(lambda: pool_energies(row.copies, potential))
            whole, of_whole = timed(lambda: pool_energies(row.whole, potential))
            return Energies(copies, whole, (of_copies, of_whole))

        return list(kept(file, {row.whole.request.id: row for row in rows}, made))

    def ordered(
        self, pool: Pool, energies: Array | None = None
    ) -> tuple[list[SymmetricCrystal], list[float]]:
        """Candidates by the ranker, and their probabilities."""
        penalties = None if energies is None else energy_penalties(energies)
        chances = self.ranker.probabilities(self.features(pool), penalties)
        order = np.argsort(-chances, kind="stable")[:NUM_SAMPLES].tolist()
        return [pool.candidates[place].crystal for place in order], chances[order].tolist()

    def arms(self, row: Row, energies: Energies | None) -> dict[str, list[SymmetricCrystal]]:
        """Crystals of each arm, the best first."""
        nearest = [each.crystal for each in row.copies.made if each.origin == "template"]
        made = {
            "retrieval": nearest[:NUM_SAMPLES],
            "retrieval re-ranked": self.ordered(row.copies)[0],
            "from noise": from_noise(row.whole)[:NUM_SAMPLES],
            "whole pool": self.ordered(row.whole)[0],
        }
        if energies is not None:
            made["retrieval re-ranked, energies"] = self.ordered(row.copies, energies.copies)[0]
            made["whole pool, energies"] = self.ordered(row.whole, energies.whole)[0]
        return made


def from_noise(pool: Pool) -> list[SymmetricCrystal]:
    """What was made from noise: the best of each answer by probability, then the others."""
    made = [place for place, each in enumerate(pool.made) if each.origin == "noise"]
    scores = pool.scores[pool.representative]
    by_score = sorted(made, key=lambda place: -scores[place])
    seen: dict[Any, int] = {}
    rounds = {}
    for place in by_score:
        answer = pool.made[place].assignment
        rounds[place] = seen.get(answer, 0)
        seen[answer] = rounds[place] + 1
    order = sorted(by_score, key=lambda x: (rounds[x], -pool.made[x].log_probability))
    return [pool.made[place].crystal for place in order]


def measured(
    ways: Sequence[Way],
    rows: Sequence[Sequence[Row]],
    energies: Sequence[Sequence[Energies | None]],
    requests: Sequence[GenerationRequest],
    references: Sequence[Crystal],
) -> dict[str, Any]:
    """Rates of all arms over the seeds, and what they find that retrieval does not."""
    found: dict[str, list[GeneratedEvaluation]] = {}
    for way, own, known in zip(ways, rows, energies, strict=True):
        made = [way.arms(row, each) for row, each in zip(own, known, strict=True)]
        for arm in made[0]:
            # Copies are the same with every seed.
            if arm not in COPIES or arm not in found:
                evaluation = evaluated(requests, [each[arm] for each in made], references)
                found.setdefault(arm, []).append(evaluation)
    results = {arm: rates(own, found["retrieval"][0]) for arm, own in found.items()}
    for arm, name in itertools.product(results, FIRST):
        print(arm, name, round(results[arm][name]["value"], 4), flush=True)
    missed = found["retrieval"][0].rows[FIRST[-1]] == 0
    seconds = np.array([[row.seconds for row in own] for own in rows]).mean((0, 1))
    spent = {"copies": 1000 * float(seconds[0]), "whole pool": 1000 * float(seconds[1])}
    asked = [each.seconds for own in energies for each in own if each is not None]
    if asked:
        spent["energies of the whole pool"] = 1000 * float(np.mean(asked, axis=0)[1])
    return {
        "rows": len(requests),
        "seeds": len(ways),
        "arms": results,
        "rows that retrieval misses": int(missed.sum()),
        "rescued": {
            arm: mean_over_seeds(np.array([each.rows[FIRST[-1]][missed] for each in own]))
            for arm, own in found.items()
            if arm != "retrieval"
        },
        "calibration": {
            arm: calibration(ways, rows, own, references)
            for arm, own in (
                ("whole pool", [[None] * len(requests)] * len(ways)),
                ("whole pool, energies", energies),
            )
            if arm in found
        },
        "CPU seconds for 1,000 requests": spent,
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def evaluated(
    requests: Sequence[GenerationRequest],
    made: Sequence[Sequence[SymmetricCrystal]],
    references: Sequence[Crystal],
) -> GeneratedEvaluation:
    """What one seed of an arm made, against the truth."""
    structures = [
        structure
        for request, own in zip(requests, made, strict=True)
        for structure in structures_of(request, own)
    ]
    settings = EvaluationSettings(
        num_samples=(1, NUM_SAMPLES),
        filters=("none",),
        symprec=SYMPREC,
        matching=MatchSettings(num_workers=0),
    )
    return evaluate_generated(structures, references, settings)


def rates(seeds: Sequence[GeneratedEvaluation], retrieval: GeneratedEvaluation) -> dict[str, Any]:
    """Means of an arm, over all rows and in each stratum, and differences from retrieval."""
    results: dict[str, Any] = {}
    for name, reference in retrieval.rows.items():
        values = np.array([each.rows[name] for each in seeds])
        results[name] = mean_over_seeds(values)
        if name in FIRST:
            for stratum, inside in retrieval.strata.items():
                results[f"{name}/{stratum}"] = mean_over_seeds(values[:, inside])
        if seeds[0] is not retrieval:
            results[f"difference/{name}"] = mean_over_seeds(values - reference)
    return results


def structures_of(
    request: GenerationRequest, crystals: Sequence[SymmetricCrystal]
) -> Iterator[GeneratedStructure]:
    """Crystals as they would be read from their files."""
    for place, crystal in enumerate(crystals):
        plain = replace(crystal, identifier="", properties={})
        yield GeneratedStructure(
            request.id, place, in_asked_cell(plain, request), place + 1, None, (), ""
        )


def calibration(
    ways: Sequence[Way],
    rows: Sequence[Sequence[Row]],
    energies: Sequence[Sequence[Energies | None]],
    references: Sequence[Crystal],
) -> dict[str, Any]:
    """Probabilities of the whole pool's first candidates, against how many match."""
    pairs, chances = [], []
    for way, seed, known in zip(ways, rows, energies, strict=True):
        for row, each_known, reference in zip(seed, known, references, strict=True):
            crystals, own = way.ordered(row.whole, each_known and each_known.whole)
            pairs += [(each.to_crystal(), reference) for each in crystals]
            chances += own
    outcomes = match_pairs(pairs, MatchSettings(num_workers=0))
    matches = np.array([each.outcome is Outcome.MATCH for each in outcomes])
    values = np.array(chances)
    bins = np.minimum((values * 10).astype(int), 9)
    return {
        "error": calibration_error(values, matches),
        "bins": [
            {
                "candidates": int((bins == place).sum()),
                "probability": float(values[bins == place].mean()),
                "match": float(matches[bins == place].mean()),
            }
            for place in np.unique(bins).tolist()
        ],
    }


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """What a call gives, and its CPU seconds."""
    start = time.process_time()
    return work(), time.process_time() - start


def kept(file: Path, given: Mapping[str, Given], make: Callable[[Given], Made]) -> Iterator[Made]:
    """What is made of each, from a file where it is there; what is new is added to that."""
    known: dict[str, Made] = {}
    if file.is_file():
        with file.open("rb") as stream:
            known = dict(_read(stream))
    with file.open("ab") as stream:
        for name, one in given.items():
            if name not in known:
                known[name] = make(one)
                pickle.dump((name, known[name]), stream)
                stream.flush()
            yield known[name]


def _read(stream: Any) -> Iterator[tuple[str, Any]]:
    while True:
        try:
            yield pickle.load(stream)
        except EOFError:
            return


def main() -> None:
    """Makes and measures all arms on every set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--limit", type=int, default=300, help="test rows of each set, 0 for all")
    parser.add_argument("--library", choices=("shipped", *LIBRARIES), default="shipped")
    parser.add_argument("--ranker", default=RANKER, help="a name or the folder of an artifact")
    parser.add_argument(
        "--seed",
        nargs=2,
        action="append",
        metavar=("STRUCTURE", "SYMMETRY"),
        help="names or folders of the two models of one seed",
    )
    parser.add_argument("--potential", help="of the ranker, such as chgnet; see above")
    parser.add_argument("--work", type=Path, required=True, help="folder of the pools")
    parser.add_argument("--out", type=Path, default=RESULTS / "whole-way.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    for name in args.sets:
        store = open_store(SOURCES[name](), on_invalid="skip")
        chosen = np.random.default_rng(0).permutation(store.rows_of("test"))
        chosen = chosen[: args.limit or None]
        references = [store.crystal(row) for row in chosen.tolist()]
        requests = requests_of(store, chosen, "composition")
        if args.library == "shipped":
            library = TemplateLibrary.from_pretrained(SHIPPED.find(TEMPLATES))
        else:
            library = library_of(name, args.library).library
        ways, rows, energies = [], [], []
        for seed, models in enumerate(args.seed or [(STRUCTURE_MODEL, SYMMETRY_MODEL)]):
            way = Way(library, (models[0], models[1]), args.ranker)
            file = args.work / f"{name}-{args.library}-{seed}.pkl"
            ways.append(way)
            rows.append(list(way.rows(requests, file)))
            none: list[Energies | None] = [None] * len(requests)
            energies.append(
                way.energies(rows[-1], args.potential, file.with_suffix(f".{args.potential}.pkl"))
                if args.potential
                else none
            )
        results[name] = measured(ways, rows, energies, requests, references)
        results[name]["templates"] = len(library)
        write(args.out, results)


if __name__ == "__main__":
    main()
