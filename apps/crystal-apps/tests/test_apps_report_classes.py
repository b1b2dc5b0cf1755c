"""The report of classes: scores and figures from tables of probabilities written by hand."""

import csv
import json
import math
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from crystal_apps.report.classes import (
    calibration_chart,
    class_scores,
    misclassified,
    roc_chart,
)
from crystal_apps.report.page import write_report
from crystal_apps.report.runs import Predictions, read_run
from crystal_data import to_cif
from crystal_data.run_folder import RunFolder, StructureOfTest
from crystal_data.testing import perovskite, rock_salt

STABLE = "stable"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def probabilities(rng: np.random.Generator, num_rows: int = 60) -> Predictions:
    """Rows that are told apart better than by chance; some share a probability."""
    target = (rng.random(num_rows) < 0.4).astype(float)
    prediction = np.round(np.clip(0.3 * target + rng.random(num_rows) * 0.7, 0.01, 0.99), 2)
    return Predictions(tuple(f"row-{i}" for i in range(num_rows)), target, prediction)


def write_class_run(folder: Path, test: Predictions) -> Path:
    """A run's folder as a classification leaves it behind."""
    for name in ("predictions", "artifact"):
        (folder / name).mkdir(parents=True)
    with (folder / "predictions" / "test.csv").open("w", encoding="utf-8", newline="") as file:
        rows = zip(test.identifiers, test.target, test.prediction, strict=True)
        csv.writer(file).writerows([("id", "target", "prediction"), *rows])
    scale = {"mean": 0.0, "std": 1.0, "field": {"name": STABLE, "unit": "1"}}
    config = {"class_name": "CGCNN", "targets": {STABLE: {**scale, "is_probability": True}}}
    (folder / "artifact" / "config.json").write_text(json.dumps(config))
    curves = "epoch,step,train/cross_entropy,val/cross_entropy,val/cross_entropy/stable\n"
    curves += "".join(f"{e},{e},{0.7 / e},{0.8 / e},{0.8 / e}\n" for e in (1, 2))
    (folder / "metrics.csv").write_text(curves)
    crystals = [rock_salt(), perovskite()]
    RunFolder(folder).write_tested_structures(
        StructureOfTest(
            name,
            tuple(sorted(crystals[row % 2].composition)),
            crystals[row % 2].num_atoms,
            to_cif(crystals[row % 2]) if row < 4 else "",
        )
        for row, name in enumerate(test.identifiers)
    )
    return folder


def test_scores_are_those_of_counts_and_pairs(rng: np.random.Generator) -> None:
    test = probabilities(rng)
    scores = class_scores(test)
    of_class, called = test.target > 0.5, test.prediction > 0.5
    (true_not, false_is), (false_not, true_is) = scores.confusion
    assert true_is == (of_class & called).sum()
    assert false_not == (of_class & ~called).sum()
    assert false_is == (~of_class & called).sum()
    assert true_not == (~of_class & ~called).sum()
    assert scores.accuracy == pytest.approx((called == of_class).mean())
    assert scores.guess == pytest.approx(max(of_class.mean(), 1 - of_class.mean()))
    assert scores.f1 == pytest.approx(2 * true_is / (2 * true_is + false_is + false_not))
    assert scores.mcc == pytest.approx(np.corrcoef(of_class, called)[0, 1])
    logs = np.log(np.where(of_class, test.prediction, 1 - test.prediction))
    assert scores.cross_entropy == pytest.approx(-logs.mean())
    pairs = product(test.prediction[of_class], test.prediction[~of_class])
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs]
    assert scores.auroc == pytest.approx(np.mean(wins), abs=1e-6)


def test_one_class_alone_has_no_area() -> None:
    test = Predictions(("a", "b"), np.ones(2), np.array([0.2, 0.9]))
    scores = class_scores(test)
    assert math.isnan(scores.auroc)
    assert math.isnan(scores.mcc)
    assert scores.accuracy == pytest.approx(0.5)
    assert roc_chart(test, scores) is None


def test_the_roc_curve_has_the_area_that_is_stated(rng: np.random.Generator) -> None:
    test = probabilities(rng)
    scores = class_scores(test)
    chart = roc_chart(test, scores)
    assert chart is not None
    left, top, right, bottom = chart.box
    points = np.array([p.split() for p in chart.path[1:].split("L")], dtype=float)
    x, y = (points[:, 0] - left) / (right - left), (bottom - points[:, 1]) / (bottom - top)
    assert np.trapezoid(y, x) == pytest.approx(scores.auroc, abs=2e-3)
    assert (x[0], y[0]) == pytest.approx((0, 0))
    assert (x[-1], y[-1]) == pytest.approx((1, 1))


def test_true_probabilities_lie_on_the_diagonal(rng: np.random.Generator) -> None:
    prediction = rng.random(20000)
    target = (rng.random(20000) < prediction).astype(float)
    chart = calibration_chart(Predictions(("",) * 20000, target, prediction))
    found = [re.match(r"predicted ([\d.]+), true ([\d.]+)", m.title) for m in chart.marks]
    assert len(found) == 10
    for match in found:
        assert match is not None
        assert float(match[1]) == pytest.approx(float(match[2]), abs=0.05)


def test_the_page_shows_classes_in_place_of_errors(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    test = probabilities(rng)
    run = write_class_run(tmp_path / "run", test)
    text = write_report([run], tmp_path / "r.html").read_text(encoding="utf-8")
    scores = class_scores(read_run(run).predictions[STABLE])
    assert f"<b>{scores.auroc:.3f}</b>" in text
    assert f'<td class="n">{scores.mcc:.3f}</td>' in text
    for name in ("ROC curve", "Calibration", "Confusion", "cross-entropy"):
        assert name in text
    for name in ("R²", "RMSE", "Predicted against true"):
        assert name not in text
    wrong = misclassified(read_run(run).predictions[STABLE])
    assert f"Na: 30 structures, share wrong {np.abs(wrong.errors[::2]).mean():.3g}" in text


def test_the_better_of_two_is_marked(tmp_path: Path, rng: np.random.Generator) -> None:
    good = probabilities(rng)
    poor = Predictions(good.identifiers, good.target, rng.permutation(good.prediction))
    runs = [write_class_run(tmp_path / n, t) for n, t in (("poor", poor), ("good", good))]
    text = write_report(runs, tmp_path / "r.html").read_text(encoding="utf-8")
    rows = re.findall(r'<tr( class="best")?>\s*<td><span class="key c\d"></span>(\w+)', text)
    assert rows == [(' class="best"', "good"), ("", "poor")]
