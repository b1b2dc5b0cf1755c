"""How well predicted probabilities of a class tell both classes apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crystal_apps.report.figures import Axis, Mark, Tick, Values
from crystal_apps.report.runs import Predictions, Run

_NUM_BINS = 10  # of the calibration curve
_FEWEST = 5  # structures of a bin that is drawn
_MOST_STEPS = 400  # of the ROC curve as it is drawn


@dataclass(frozen=True)
class ClassScores:
    """Scores of the rows of a test; a row is of the class where its probability is above 1/2.

    Args:
        guess: Accuracy of the more frequent class for all.
        auroc: Area under the ROC curve, exact; NaN where all rows are of one class, as ``mcc``.
        mcc: Matthews correlation.
        confusion: Rows by true class (not, of the class), then by predicted class.
    """

    accuracy: float
    guess: float
    f1: float
    auroc: float
    mcc: float
    cross_entropy: float
    confusion: tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class SquareChart:
    """A curve or points between 0 and 1, px, beside the diagonal."""

    title: str
    caption: str
    x_label: str
    y_label: str
    path: str
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]  # along x
    y_ticks: tuple[Tick, ...]
    size: int
    box: tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class ClassRow:
    """A line of the table of class scores; ``best`` as in that of errors, by the area."""

    run: Run
    color: int
    target: str
    test: Predictions
    scores: ClassScores
    best: bool


def class_rows(runs: Sequence[Run], colors: Mapping[str, int]) -> list[ClassRow]:
    """The tests of all targets whose predictions are probabilities, the best first.

    Args:
        runs: Of the page.
        colors: Name of a run to its color.
    """
    found = [
        (run, target, test, class_scores(test))
        for run in runs
        for target, test in run.predictions.items()
        if run.is_probability(target)
    ]
    rows = []
    for run, target, test, scores in found:
        rivals = [
            other.auroc
            for one, name, _, other in found
            if name == target and one.train_size == run.train_size
        ]
        best = len(rivals) > 1 and scores.auroc == np.nanmax([*rivals, -np.inf])
        rows.append(ClassRow(run, colors[run.name], target, test, scores, bool(best)))
    return sorted(rows, key=lambda row: (row.target, -np.nan_to_num(row.scores.auroc)))


def class_scores(test: Predictions) -> ClassScores:
    """Scores of probabilities against labels of 0 and 1."""
    # Only now, because torch takes seconds to import, and most pages have no classes.
    import torch
    from torchmetrics.functional.classification import (
        binary_accuracy,
        binary_auroc,
        binary_confusion_matrix,
        binary_f1_score,
        binary_matthews_corrcoef,
    )

    probability = torch.from_numpy(test.prediction)
    truth = torch.from_numpy(test.target > 0.5).long()
    share = float(truth.double().mean())
    has_both = 0.0 < share < 1.0
    (true_not, false_is), (false_not, true_is) = binary_confusion_matrix(
        probability, truth
    ).tolist()
    return ClassScores(
        accuracy=float(binary_accuracy(probability, truth)),
        guess=max(share, 1.0 - share),
        f1=float(binary_f1_score(probability, truth)),
        auroc=float(binary_auroc(probability, truth)) if has_both else float("nan"),
        mcc=float(binary_matthews_corrcoef(probability, truth)) if has_both else float("nan"),
        cross_entropy=float(
            torch.nn.functional.binary_cross_entropy(probability, truth.to(probability))
        ),
        confusion=((true_not, false_is), (false_not, true_is)),
    )


def roc_chart(test: Predictions, scores: ClassScores) -> SquareChart | None:
    """The ROC curve; None where all rows are of one class."""
    if np.isnan(scores.auroc):
        return None
    import torch
    from torchmetrics.functional.classification import binary_roc

    false_rate, true_rate, _ = binary_roc(
        torch.from_numpy(test.prediction), torch.from_numpy(test.target > 0.5).long()
    )
    steps = np.unique(np.linspace(0, len(false_rate) - 1, _MOST_STEPS).astype(np.int64))
    return _square(
        "ROC curve",
        f"area {scores.auroc:.3f}; the diagonal is chance",
        "false positive rate",
        "true positive rate",
        false_rate.double().numpy()[steps],
        true_rate.double().numpy()[steps],
        (),
    )


def calibration_chart(test: Predictions) -> SquareChart:
    """How often structures of like probability are of the class, which should be as often."""
    bins = np.minimum((test.prediction * _NUM_BINS).astype(np.int64), _NUM_BINS - 1)
    means, shares, counts = [], [], []
    for number in range(_NUM_BINS):
        inside = bins == number
        if inside.sum() >= _FEWEST:
            means.append(float(test.prediction[inside].mean()))
            shares.append(float(test.target[inside].mean()))
            counts.append(int(inside.sum()))
    titles = [
        f"predicted {mean:.2f}, true {share:.2f}: {count} structures"
        for mean, share, count in zip(means, shares, counts, strict=True)
    ]
    return _square(
        "Calibration",
        "on the diagonal predictions are as frequent as they say",
        "predicted probability",
        "observed share",
        np.array(means),
        np.array(shares),
        titles,
    )


def misclassified(test: Predictions) -> Predictions:
    """The same rows with classes in place of probabilities: the mean error is the share wrong."""
    return Predictions(
        test.identifiers,
        test.target,
        (test.prediction > 0.5).astype(np.float64),
        test.structures,
    )


def _square(
    title: str,
    caption: str,
    x_label: str,
    y_label: str,
    x: Values,
    y: Values,
    titles: Sequence[str],
) -> SquareChart:
    size, left, top, right, bottom = 300, 46.0, 10.0, 290.0, 254.0
    across, up = Axis(0.0, 1.0, left, right), Axis(0.0, 1.0, bottom, top)
    px, py = across.position(x).tolist(), up.position(y).tolist()
    points = [f"{a:.1f} {b:.1f}" for a, b in zip(px, py, strict=True)]
    marks = [Mark(a, b, name) for a, b, name in zip(px, py, titles, strict=False)]
    return SquareChart(
        title, caption, x_label, y_label, "M" + "L".join(points) if points else "", tuple(marks),
        across.ticks(5), up.ticks(5), size, (left, top, right, bottom),
    )  # fmt: skip
