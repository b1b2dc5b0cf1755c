"""Result files."""

import csv
import json
import math
import os

import numpy as np
import pytest

from crystal_data.crystal import Crystal
from crystal_data.metrics import (
    Evaluation,
    MetricResult,
    hash_crystals,
    read_results,
    write_results,
)
from crystal_data.versions import library_versions

RESULTS = [
    MetricResult("metre", 0.5, {"stol": 0.5, "n": [1, 2]}, {"numpy": "2"}, "ab", 7, 3),
    MetricResult("rmse/metre", math.nan, num_samples=7),
]


def test_results_survive_the_round_trip(tmp_path):
    path = tmp_path / "new" / "results.json"
    table = {"id": ["a", "ä,b"], "matched": [True, False], "rms": [0.125, math.nan]}
    write_results(path, RESULTS, table)
    first, second = read_results(path)
    assert first == RESULTS[0]
    assert math.isnan(second.value)
    assert second.seed is None
    assert "NaN" not in path.read_text()
    with path.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"id": "a", "matched": "true", "rms": "0.125"},
        {"id": "ä,b", "matched": "false", "rms": ""},
    ]
    assert sorted(p.name for p in path.parent.iterdir()) == ["results.csv", "results.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_results(path, RESULTS[:1])
    before = path.read_bytes()

    def full_disk(_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_results(path, RESULTS)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_wrong_files_are_named(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"results\.json: damaged: not a result file"):
        read_results(path)
    path.write_text(json.dumps({"format_version": 99, "results": []}))
    with pytest.raises(ValueError, match="format 99 is newer than 1; update crystal-data"):
        read_results(path)
    with pytest.raises(ValueError, match="differ in length"):
        write_results(path, RESULTS, {"a": [1], "b": []})
    with pytest.raises(ValueError, match=r"name it \.json"):
        write_results(tmp_path / "results.csv", RESULTS)


def test_an_unknown_metric_is_named():
    evaluation = Evaluation((RESULTS[0],), {})
    assert evaluation.value("metre") == 0.5
    with pytest.raises(KeyError, match="'match_rate' is not among"):
        evaluation.value("match_rate")


def test_versions_are_of_installed_libraries_only():
    versions = library_versions(["numpy", "no-such-library"])
    assert versions == {"numpy": np.__version__}
    assert {"crystal-data", "smact", "pymatgen-core"} <= set(library_versions())


def test_the_hash_sees_every_part_of_a_crystal():
    crystal = Crystal(np.eye(3) * 4, np.array([[0, 0, 0], [0.5, 0, 0]]), np.array([1, 8]), "a")
    others = [
        crystal.replace(lattice=np.eye(3) * 4.0000001),
        crystal.replace(frac_coords=crystal.frac_coords + 1),
        crystal.replace(atomic_numbers=np.array([8, 1])),
        crystal.replace(identifier="b"),
        None,
    ]
    hashes = [hash_crystals([each]) for each in (crystal, *others)]
    assert len(set(hashes)) == 6
    assert hash_crystals([crystal]) == hash_crystals([crystal.replace(properties={"x": 1})])
    assert hash_crystals([crystal, others[0]]) != hash_crystals([others[0], crystal])
