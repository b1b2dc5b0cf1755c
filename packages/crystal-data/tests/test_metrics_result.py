"""Result files and bootstrap intervals."""

import csv
import json
import math
import os

import numpy as np
import pytest
from scipy import stats

from crystal_data.crystal import Crystal
from crystal_data.metrics import (
    Evaluation,
    MetricResult,
    bootstrap_interval,
    hash_crystals,
    paired_bootstrap_interval,
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


def test_interval_agrees_with_scipy():
    values = np.random.default_rng(0).exponential(size=200)
    ours = bootstrap_interval(values, rng=np.random.default_rng(1))
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.estimate == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)
    assert ours == bootstrap_interval(values, rng=np.random.default_rng(1))


def test_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [
        bootstrap_interval(rng.normal(size=100), rng=rng, confidence=0.9, num_resamples=500)
        for _ in range(300)
    ]
    covered = np.mean([each.low <= 0 <= each.high for each in intervals])
    assert 0.84 < covered < 0.95


def test_pairs_are_kept_together():
    rng = np.random.default_rng(0)
    hard = rng.normal(size=300) * 10
    gain = paired_bootstrap_interval(hard + 0.1, hard, rng=rng)
    assert gain.low == pytest.approx(0.1)
    assert gain.high == pytest.approx(0.1)
    unpaired = bootstrap_interval(hard, rng=rng)
    assert unpaired.high - unpaired.low > 1


def test_other_statistics_take_rows():
    rows = np.random.default_rng(0).normal(size=(150, 2)) @ np.array([[1, 0.8], [0, 0.6]])

    def correlation(samples):
        centred = samples - samples.mean(axis=1, keepdims=True)
        product = (centred[..., 0] * centred[..., 1]).sum(axis=1)
        return product / np.sqrt((centred**2).sum(axis=1).prod(axis=1))

    interval = bootstrap_interval(rows, rng=np.random.default_rng(0), statistic=correlation)
    assert interval.estimate == pytest.approx(np.corrcoef(rows.T)[0, 1])
    assert interval.low < 0.8 < interval.high


def test_what_cannot_be_resampled_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="of which 1 are not finite"):
        bootstrap_interval([1.0, math.nan], rng=rng)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([], rng=rng)
    with pytest.raises(ValueError, match="confidence is 95"):
        bootstrap_interval([1.0], rng=rng, confidence=95)
    with pytest.raises(ValueError, match="same length"):
        paired_bootstrap_interval([1.0], [1.0, 2.0], rng=rng)
