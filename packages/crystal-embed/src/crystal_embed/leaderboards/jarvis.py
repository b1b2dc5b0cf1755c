"""The JARVIS leaderboard's contribution: one zipped CSV for each task, and ``metadata.json``."""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystal_data.errors import InvalidArgumentError, SourceError
from crystal_data.io import atomic_path, csv_text, write_text
from crystal_embed.leaderboards.tables import check_complete, read_predictions

# Keys of metadata.json, with what a value has to be.
_METADATA: dict[str, type] = {
    "model_name": str,
    "project_url": str,
    "date_submitted": str,
    "author_email": str,
    "database_version": str,
    "team_name": str,
    "time_taken_seconds": dict,
    "language": str,
    "os": str,
    "software_used": str,
    "hardware_used": str,
    "git_url": list,
}
_TASK = re.compile(
    r"AI-SingleProperty(Prediction(?=.*-mae)|Class(?=.*-acc))"
    r"-(?P<property>[^-]+)-(?P<dataset>[^-]+)-test-(mae|acc)"
)
_STAMP = (1980, 1, 1, 0, 0, 0)  # the same predictions give the same file


def write_jarvis(
    folder: str | Path,
    task: str,
    predictions: str | Path,
    truth: str | Path,
    metadata: Mapping[str, Any],
) -> Path:
    """Adds a task to the folder of a contribution.

    Args:
        folder: Of the contribution; ``metadata.json`` is written anew.
        task: The leaderboard's name of it, such as
            ``AI-SinglePropertyPrediction-formation_energy_peratom-dft_3d-test-mae``.
        predictions: Table with ``id`` and ``prediction``.
        truth: The benchmark's file, ``dft_3d_formation_energy_peratom.json.zip`` for this one, or
            the JSON in it: ``{"train": …, "val": …, "test": {id: value}}``.
        metadata: All keys of the leaderboard's; ``time_taken_seconds`` of this task is 0 unless it
            is given.

    Returns:
        The zipped table.

    Raises:
        SourceError: If a prediction is missing or foreign, or the metadata are not complete.

    Source:
        usnistgov/jarvis_leaderboard: its README and contributions.
    """
    folder, truth = Path(folder), Path(truth)
    parts = _TASK.fullmatch(task)
    if parts is None:
        raise InvalidArgumentError(
            f"'{task}': a task is called AI-SinglePropertyPrediction-<property>-<dataset>-test-mae "
            "or AI-SinglePropertyClass-<property>-<dataset>-test-acc"
        )
    stem = f"{parts['dataset']}_{parts['property']}"
    if truth.name not in {f"{stem}.json", f"{stem}.json.zip"}:
        raise SourceError(f"{truth}: the truth of {task} is called {stem}.json.zip")
    found = read_predictions(predictions)
    check_complete(found, _test_set(truth), f"the test set of {truth.name}")
    odd = set(found.prediction.values()) - {0.0, 1.0}
    if task.endswith("-acc") and odd:
        raise SourceError(f"{found.path}: classes are 0 and 1, not {min(odd):g}")
    archive = folder / f"{task}.csv.zip"
    checked = _checked(metadata, archive.name)
    table = csv_text(("id", "prediction"), ((k, f"{v:.9g}") for k, v in found.prediction.items()))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(zipfile.ZipInfo(f"{task}.csv", _STAMP), table)
    with atomic_path(archive) as draft:
        draft.write_bytes(content.getvalue())
    write_text(folder / "metadata.json", json.dumps(checked, indent=4) + "\n")
    return archive


def _test_set(truth: Path) -> Mapping[str, Any]:
    try:
        if truth.suffix == ".zip":
            with zipfile.ZipFile(truth) as packed:
                text = packed.read(packed.namelist()[0]).decode("utf-8")
        else:
            text = truth.read_text(encoding="utf-8")
        return dict[str, Any](json.loads(text)["test"])
    except (ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile) as error:
        raise SourceError(f'{truth}: expected {{"train": …, "test": {{id: value}}}}') from error


def _checked(metadata: Mapping[str, Any], file: str) -> dict[str, Any]:
    content = {"time_taken_seconds": {}, **metadata}
    content["time_taken_seconds"] = {file: 0, **content["time_taken_seconds"]}
    for key, kind in _METADATA.items():
        if not isinstance(content.get(key), kind):
            raise SourceError(
                f"metadata.json: '{key}' is {content.get(key)!r}, expected a {kind.__name__}; the "
                f"keys are {', '.join(_METADATA)}"
            )
    return content
