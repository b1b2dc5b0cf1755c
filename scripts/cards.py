"""Writes what was measured of the models that ship into their cards, from ``benchmarks/results``.

    python scripts/cards.py            # after a model or a record has changed

The errors of its own run, which no record holds, are not in a card.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from crystal_data.artifacts.artifact import Artifact
from crystal_data.inference.ensemble import read_ensemble, save_ensemble

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
Record = dict[str, Any]


def shipped() -> Iterator[Path]:
    """The folders of the models that come with the packages."""
    return (path.parent for path in sorted(ROOT.glob("*/*/src/*/pretrained/*/config.json")))


def shipped_ensembles() -> Iterator[Path]:
    """The folders of the ensembles that come with the packages."""
    return (path.parent for path in sorted(ROOT.glob("*/*/src/*/pretrained/*/ensemble.json")))


def of_ensemble(name: str) -> list[dict[str, Any]]:
    """Errors and coverage of an ensemble on each set."""
    return evaluations(_record("ensembles.json"), name)


def with_numbers(name: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of a model with what its record says of its quality, to four decimals."""
    file, metrics = RECORDS.get(name, ("shipped-models.json", lambda _: {}))
    record = _record(file)
    found = {"metrics": metrics(record), "evaluations": evaluations(record, name)}
    known = {key: value for key, value in found.items() if value or key in metadata}
    return {**metadata, **known}


def evaluations(record: Record, name: str) -> list[dict[str, Any]]:
    """Errors of a model of properties on each set; none where it is no such model."""
    rows = record.get("models", {}).get(name, [])
    words, numbers = ("target", "data", "used_for", "num_crystals"), ("mae", "coverage", "width")
    return [
        {key: row[key] for key in words if key in row}
        | {key: round(row[key]["estimate"], 4) for key in numbers if key in row}
        for row in rows
    ]


def structures(record: Record, name: str) -> dict[str, float]:
    """Rates of a model of structures, and of retrieval beside it."""
    return {
        f"test/{metric}, {way.removeprefix(f'{name}: ')}": round(numbers[metric]["value"], 4)
        for way, numbers in record.items()
        if way == "retrieval" or way.startswith(f"{name}: ")
        for metric in ("match_rate", "rmse")
        if metric in numbers
    }


def symmetries(record: Record) -> dict[str, float]:
    """Rates of a model of symmetries, means over its seeds, and of guesses beside it."""
    measured = record["measured"]
    seeds = measured["transformer"]["seeds"]
    return {
        f"test/{metric}, {way.replace('transformer', f'mean of {seeds} seeds')}": round(value, 4)
        for way, numbers in measured.items()
        # Ablations and the language model are other models.
        if not way.startswith(("no ", "language model"))
        for metric, value in numbers.items()
        if metric.startswith(("group@", "exact@")) and isinstance(value, float)
    }


def ranked(record: Record) -> dict[str, float]:
    """Rates of the pools that a ranker has sorted, and of copies in their own order."""
    arms = record["mp_20"]["arms"]
    rates = {
        f"test/match_rate@{count}, {arm}": round(arms[arm][f"match_rate@{count}/none"]["value"], 4)
        for arm in arms
        if arm != "from noise"  # which no ranker has sorted
        for count in (1, 20)
    }
    errors = {
        f"test/calibration_error, {arm}": round(found["error"], 4)
        for arm, found in record["mp_20"]["calibration"].items()
    }
    return {**rates, **errors}


def formulas(record: Record) -> dict[str, float]:
    """Errors of a model of formulas, and how often its deviations hold."""
    return {
        f"{split}/{metric}, {record['property']}": round(record[split][metric]["estimate"], 4)
        for split in ("val", "test")
        for metric in ("mae", "within two deviations")
    }


def relaxation(record: Record, name: str) -> dict[str, float]:
    """Mean absolute errors over all rows, and those of doing nothing."""
    return {
        f"{record['split']}/mae/{quantity}{words}": round(row["mae"]["estimate"], 4)
        for arm, words in ((name, ""), ("identity", ", doing nothing"))
        for quantity, row in record["measured"][arm]["table"]["all"].items()
    }


def repair(record: Record, name: str) -> dict[str, float]:
    """Elements found, where one element or single atoms are hidden, and errors of positions."""
    return {
        f"test/{metric}, {hidden} hidden": round(numbers["value"], 4)
        for hidden in ("element", "atoms")
        for metric, numbers in record[hidden][name].items()
        if "gain" not in metric and "less" not in metric
    }


RECORDS: Mapping[str, tuple[str, Callable[[Record], dict[str, float]]]] = {
    "candidate-ranker-mp20": ("whole-way.json", ranked),
    "crystal-dit-joined": (
        "structures-joined.json",
        partial(structures, name="crystal-dit-joined"),
    ),
    "formula-energy-mp20": ("formula-model.json", formulas),
    "graph": ("relaxation.json", partial(relaxation, name="graph")),
    "repair-mp20": ("masked-elements.json", partial(repair, name="repair-mp20")),
    "wyckoff-transformer-mp20": ("symmetry-model.json", symmetries),
}


def _record(file: str) -> Record:
    content: Record = json.loads((RESULTS / file).read_text(encoding="utf-8"))
    return content


def main() -> None:
    """Writes every card anew."""
    for folder in shipped():
        artifact = Artifact.load(folder)
        metadata = with_numbers(folder.name, artifact.metadata)
        if metadata != artifact.metadata:
            replace(artifact, metadata=metadata).save(folder)
            print(folder)
    for folder in shipped_ensembles():
        found, rows = read_ensemble(folder), of_ensemble(folder.name)
        if rows != list(found.evaluations):
            save_ensemble(folder, found.members, found.scale, floor=found.floor, evaluations=rows)
            print(folder)


if __name__ == "__main__":
    main()
