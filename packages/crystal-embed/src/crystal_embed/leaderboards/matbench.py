"""The Matbench v0.1 record: ``info.json`` and ``results.json.gz``, hashed as matbench checks it."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import InvalidArgumentError, SourceError
from crystal_data.io import atomic_path, write_text
from crystal_embed.leaderboards.tables import Predictions, check_complete, read_predictions

_BENCHMARK, _VERSION, _NUM_FOLDS = "matbench_v0.1", "0.6", 5
_CLASSES = ("matbench_mp_is_metal", "matbench_expt_is_metal", "matbench_glass")
_REGRESSION = (
    "matbench_dielectric",
    "matbench_expt_gap",
    "matbench_jdft2d",
    "matbench_log_gvrh",
    "matbench_log_kvrh",
    "matbench_mp_e_form",
    "matbench_mp_gap",
    "matbench_perovskites",
    "matbench_phonons",
    "matbench_steels",
)
_INFO: dict[str, type | tuple[type, ...]] = {
    "authors": str,
    "algorithm": str,
    "algorithm_long": str,
    "bibtex_refs": (str, list),
    "notes": str,
    "requirements": dict,
}


def write_matbench(
    folder: str | Path,
    task: str,
    folds: Sequence[str | Path],
    validation: str | Path,
    info: Mapping[str, Any],
) -> Path:
    """Writes the record of one task; tasks that the folder has already are kept.

    Args:
        folder: ``benchmarks/matbench_v0.1_<name>`` in a checkout of matbench.
        task: Such as ``matbench_mp_gap``.
        folds: Tables with ``id``, ``target`` and ``prediction``, of folds 0 to 4 in this order.
        validation: ``matbench_v0.1_validation.json`` of the matbench package, which says what each
            fold tests.
        info: The content of ``info.json``.

    Returns:
        ``results.json.gz``.

    Raises:
        SourceError: If a fold is not complete, has no labels, or ``info`` is not.

    Source:
        matbench 0.6: ``MatbenchBenchmark.from_dict``, ``util.hash_dictionary``.
    """
    folder = Path(folder)
    if task not in (*_CLASSES, *_REGRESSION):
        raise InvalidArgumentError(
            f"no task '{task}'; there are {', '.join((*_REGRESSION, *_CLASSES))}"
        )
    if len(folds) != _NUM_FOLDS:
        raise InvalidArgumentError(
            f"{task}: {len(folds)} tables of predictions, expected one for each of the "
            f"{_NUM_FOLDS} folds"
        )
    tests = _test_sets(Path(validation), task)
    results = {
        f"fold_{number}": _fold(task, read_predictions(path), test)
        for number, (path, test) in enumerate(zip(folds, tests, strict=True))
    }
    file = folder / "results.json.gz"
    tasks = _tasks_of(file)
    tasks[task] = {
        "@module": "matbench.task",
        "@class": "MatbenchTask",
        "benchmark_name": _BENCHMARK,
        "dataset_name": task,
        "results": results,
    }
    write_text(folder / "info.json", json.dumps(_checked(info), indent=2) + "\n")
    packed = gzip.compress(json.dumps(_record(tasks)).encode(), mtime=0)
    with atomic_path(file) as draft:
        draft.write_bytes(packed)
    return file


def hash_record(record: Mapping[str, Any]) -> str:
    """SHA-256 of the record's JSON with all keys sorted, as matbench computes it on load."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _record(tasks: Mapping[str, Any]) -> dict[str, Any]:
    record = {
        "@module": "matbench.bench",
        "@class": "MatbenchBenchmark",
        "version": _VERSION,
        "benchmark_name": _BENCHMARK,
        "tasks": dict(tasks),
        "user_metadata": {},
        "datestamp": datetime.now(UTC).strftime("%Y.%m.%d %H:%M.%S"),
    }
    return {**record, "hash": hash_record(record)}


def _tasks_of(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return dict[str, Any](json.loads(gzip.decompress(file.read_bytes()))["tasks"])
    except (ValueError, KeyError, TypeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{file}: damaged", "delete it and export all tasks again") from error


def _test_sets(validation: Path, task: str) -> list[list[str]]:
    try:
        splits = json.loads(validation.read_text(encoding="utf-8"))["splits"][task]
        return [list(splits[f"fold_{number}"]["test"]) for number in range(_NUM_FOLDS)]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{validation}: no folds of {task} in it; expected matbench's file of splits"
        ) from error


def _fold(task: str, found: Predictions, test: Sequence[str]) -> dict[str, Any]:
    check_complete(found, test, f"the fold of {task}")
    if unlabelled := [name for name in test if name not in found.label]:
        raise SourceError(f"{found.path}: no target for {unlabelled[0]}, which the scores need")
    prediction = np.array([found.prediction[name] for name in test])
    label = np.array([found.label[name] for name in test])
    if task in _CLASSES and not ((prediction >= 0) & (prediction <= 1)).all():
        raise SourceError(f"{found.path}: {task} is scored on probabilities, from 0 to 1")
    score = _class_scores if task in _CLASSES else _regression_scores
    return {
        "data": dict(zip(test, prediction.tolist(), strict=True)),
        "parameters": {},
        "scores": score(label, prediction),
        "uncertainty": None,
    }


def _regression_scores(
    label: NDArray[np.float64], prediction: NDArray[np.float64]
) -> dict[str, float]:
    error = np.abs(prediction - label)
    # As matbench does, labels of nearly zero do not count in relative errors.
    counted = np.abs(label) > 1e-5
    relative = error[counted] / np.abs(label[counted])
    return {
        "mae": float(error.mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "mape": float(relative.mean()) if counted.any() else 0.0,
        "max_error": float(error.max()),
    }


def _class_scores(label: NDArray[np.float64], prediction: NDArray[np.float64]) -> dict[str, float]:
    is_true, says = label > 0.5, prediction > 0.5
    hits = float((is_true & says).sum())
    sensitivity = hits / max(float(is_true.sum()), 1.0)
    specificity = float((~is_true & ~says).sum()) / max(float((~is_true).sum()), 1.0)
    balanced = (sensitivity + specificity) / 2
    return {
        "accuracy": float((is_true == says).mean()),
        "balanced_accuracy": balanced,
        "f1": 2 * hits / max(float(is_true.sum() + says.sum()), 1.0),
        # Of classes, not of probabilities: the area under two straight lines.
        "rocauc": balanced,
    }


def _checked(info: Mapping[str, Any]) -> dict[str, Any]:
    for key, kind in _INFO.items():
        if not isinstance(info.get(key), kind):
            raise SourceError(
                f"info.json: '{key}' is {info.get(key)!r}; the keys are {', '.join(_INFO)}"
            )
    if not 5 <= len(info["algorithm"]) <= 15:
        raise SourceError(
            f"info.json: 'algorithm' has 5 to 15 characters, not {len(info['algorithm'])}"
        )
    return dict(info)
