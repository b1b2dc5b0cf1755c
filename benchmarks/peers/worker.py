"""What the workers of ``run.py`` share: arguments, rows, clock, answer. Standard library alone.

    PYTHON benchmarks/peers/NAME_worker.py ROWS OUT --epochs 30 --batch-size 64 --seed 0

``ROWS`` has a folder for each split, ``train``, ``val`` and ``test``: ``id_prop.csv`` with id and
value, no header, and ``ID.cif`` for each id. A worker trains once, writes what it likes below
``OUT``, and ``OUT/answer.json`` at the end: predictions for the test rows, seconds, versions.
"""

import argparse
import csv
import json
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

SPLITS = ("train", "val", "test")


def arguments(description: str | None, *more: str) -> argparse.Namespace:
    """Of the command line, with ``more`` options of text; both folders are absolute."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    for name in more:
        parser.add_argument(name, required=True)
    options = parser.parse_args()
    options.rows, options.out = options.rows.resolve(), options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    return options


def rows_of(folder: Path) -> list[tuple[str, Path, float]]:
    """Id, CIF and value of each row of a split."""
    with (folder / "id_prop.csv").open(newline="", encoding="utf-8") as file:
        return [(name, folder / f"{name}.cif", float(value)) for name, value in csv.reader(file)]


class Clock:
    """CPU and wall seconds of parts that follow each other; other processes do not count as CPU."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = {}
        self.restart()

    def restart(self) -> None:
        """Begins a part."""
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def end(self, part: str) -> None:
        """Ends ``part`` here, as often as it is called, and begins the next."""
        found = self.seconds.setdefault(part, {"cpu": 0.0, "wall": 0.0})
        found["cpu"] += time.process_time() - self._cpu
        found["wall"] += time.perf_counter() - self._wall
        self.restart()


def write_answer(
    out: Path,
    clock: Clock,
    predictions: dict[str, float],
    packages: Iterable[str],
    parameters: int,
) -> None:
    """Writes ``answer.json`` in ``out``."""
    answer = {
        "seconds": clock.seconds,
        "parameters": parameters,
        "versions": {name: version(name) for name in packages},
        "predictions": predictions,
    }
    (out / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
