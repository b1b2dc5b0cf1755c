"""Errors and times of CGCNN, MEGNet and ALIGNN, ours against ``cgcnn2``, ``matgl`` and ``alignn``.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/peers/run.py --cgcnn2 PYTHON --matgl PYTHON
        --alignn PYTHON [--train 1024] [--test 512] [--epochs 30] [--alignn-epochs 20]
        [--seeds 0 1 2] [--out FILE]

Each ``PYTHON`` is the interpreter of an environment that has the package; ``README.md`` says how to
make them. A package that is not given is left out. Both sides of a comparison train on the same
rows of MP-20 (formation energy per atom), drawn once, with the same epochs, batch size and seeds,
one training at a time on one thread, and in turns. Learning rates, schedules and losses are those
that each side recommends; the workers beside this file say which. Both keep the weights of the
epoch with the lowest error on the same validation rows, a quarter as many as training rows.

Errors are mean absolute errors of the test rows in eV/atom, their intervals 95 % over seeds and
crystals. A gain is the share of the package's error that ours takes away. Seconds are CPU and wall
seconds: of preparing graphs from the CIFs of all rows, and of the epochs with their validation.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data import MP20, open_store, to_cif
from crystal_data.metrics import seed_gain_interval

FOLDER = Path(__file__).resolve().parent
sys.path.append(str(FOLDER.parent))
import measuring  # noqa: E402

TARGET = "formation_energy_per_atom"
PARTS = ("prepare", "train")


@dataclass(frozen=True)
class Comparison:
    """A package with its interpreter, and our config of the same model."""

    package: str
    python: str
    config: str
    epochs: int


@dataclass(frozen=True)
class Settings:
    """What all trainings share."""

    rows: Path
    batch_size: int
    seeds: list[int]


def write_rows(folder: Path, sizes: dict[str, int]) -> dict[str, NDArray[np.float64]]:
    """Writes CIFs and values of random rows of each split; returns the values."""
    store = open_store(MP20())
    names = store.strings("identifier")
    values = {}
    for split, size in sizes.items():
        rows = np.random.default_rng(0).permutation(store.rows_of(split))[:size]
        values[split] = store.targets([TARGET], rows)[TARGET]
        part = folder / split
        part.mkdir()
        with (part / "id_prop.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                (names[row], value) for row, value in zip(rows, values[split].tolist(), strict=True)
            )
        for row in rows:
            cif = to_cif(store.crystal(int(row)))
            (part / f"{names[row]}.cif").write_text(cif, encoding="utf-8")
    return values


def trained(command: list[str], epochs: int, seed: int, settings: Settings) -> dict[str, Any]:
    """The answer of a worker after one training."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)  # the packages of this environment are not for others
    with tempfile.TemporaryDirectory() as name:
        out, log = Path(name), Path(name) / "log.txt"
        words = [*command, str(settings.rows), str(out), "--epochs", str(epochs)]
        words += ["--batch-size", str(settings.batch_size), "--seed", str(seed)]
        with log.open("w", encoding="utf-8") as file:
            done = subprocess.run(words, env=environment, stdout=file, stderr=file, check=False)
        if done.returncode:
            end = log.read_text(encoding="utf-8")[-3000:]
            sys.exit(f"{end}\n{command[0]}: the worker ended with {done.returncode}")
        answer: dict[str, Any] = json.loads((out / "answer.json").read_text(encoding="utf-8"))
    return answer


def compare(comparison: Comparison, settings: Settings) -> dict[str, Any]:
    """Trains both sides in turns, seed after seed."""
    ours = [sys.executable, str(FOLDER / "crystal_worker.py"), "--config", comparison.config]
    sides = {
        "package": [comparison.python, str(FOLDER / f"{comparison.package}_worker.py")],
        "ours": ours,
    }
    answers: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for seed in settings.seeds:
        for side, command in sides.items():
            answer = trained(command, comparison.epochs, seed, settings)
            answers[side].append(answer)
            print(f"{comparison.package}, seed {seed}, {side}: {answer['seconds']}", flush=True)
    errors = {side: np.array([_errors(one, settings) for one in answers[side]]) for side in sides}
    found: dict[str, Any] = {side: _summary(errors[side], answers[side]) for side in sides}
    found["gain"] = asdict(seed_gain_interval(errors["package"], errors["ours"]))
    found["times_as_fast"] = {
        part: measuring.ratios(_seconds(answers["package"], part), _seconds(answers["ours"], part))
        for part in PARTS
    }
    return {"config": comparison.config, "epochs": comparison.epochs, **found}


def _errors(answer: dict[str, Any], settings: Settings) -> list[float]:
    """Absolute errors of the test rows, in their order."""
    with (settings.rows / "test" / "id_prop.csv").open(newline="", encoding="utf-8") as file:
        return [abs(answer["predictions"][name] - float(value)) for name, value in csv.reader(file)]


def _seconds(answers: list[dict[str, Any]], part: str, kind: str = "cpu") -> list[float]:
    return [answer["seconds"][part][kind] for answer in answers]


def _summary(errors: NDArray[np.float64], answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Errors, seconds and versions of one side."""
    return {
        "mae": measuring.mean_over_seeds(errors),
        "mae_of_seeds": errors.mean(1).tolist(),
        **{
            f"{part}_{kind}_s": measuring.spread(_seconds(answers, part, kind))
            for part in PARTS
            for kind in ("cpu", "wall")
        },
        "parameters": answers[0]["parameters"],
        "versions": answers[0]["versions"],
    }


def report(found: dict[str, Any]) -> None:
    """Prints the table."""
    for package, result in found.items():
        for side in ("package", "ours"):
            mae, times = result[side]["mae"], result[side]["train_cpu_s"]
            name = package if side == "package" else result["config"]
            print(f"{name:12s} MAE {mae['value']:.4f} ({mae['low']:.4f} to {mae['high']:.4f}) "
                  f"eV/atom, {times['median']:.1f} s to train")  # fmt: skip
        gain, ratio = result["gain"], result["times_as_fast"]["train"]
        print(f"  gain {100 * gain['estimate']:.1f} %, {ratio['median']:.1f} times as fast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for package in ("cgcnn2", "matgl", "alignn"):
        parser.add_argument(f"--{package}", metavar="PYTHON", help=f"interpreter with {package}")
    parser.add_argument("--train", type=int, default=1024, help="rows")
    parser.add_argument("--test", type=int, default=512, help="rows")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--alignn-epochs", type=int, default=20, help="of ALIGNN, which is slower")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=measuring.RESULTS / "peers.json")
    options = parser.parse_args()
    comparisons = [
        Comparison("cgcnn2", options.cgcnn2, "cgcnn-mp20", options.epochs),
        Comparison("matgl", options.matgl, "megnet-mp20", options.epochs),
        Comparison("alignn", options.alignn, "alignn-mp20", options.alignn_epochs),
    ]
    if not any(comparison.python for comparison in comparisons):
        parser.error("give --cgcnn2, --matgl or --alignn")
    if options.train % (4 * options.batch_size):
        parser.error("--train must be a multiple of 4 --batch-size: alignn leaves out the rest")
    sizes = {"train": options.train, "val": options.train // 4, "test": options.test}
    with tempfile.TemporaryDirectory() as name:
        values = write_rows(Path(name), sizes)
        settings = Settings(Path(name), options.batch_size, options.seeds)
        found = {one.package: compare(one, settings) for one in comparisons if one.python}
    mean_error = np.abs(values["test"] - values["train"].mean()).mean()
    content = {
        "target": TARGET,
        "rows": sizes,
        "batch_size": options.batch_size,
        "seeds": options.seeds,
        "training_mean_mae": float(mean_error),
        "comparisons": found,
    }
    report(found)
    measuring.write(options.out, content)


if __name__ == "__main__":
    main()
