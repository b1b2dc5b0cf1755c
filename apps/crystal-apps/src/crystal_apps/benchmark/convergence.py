"""Whether trainings have converged: what their validation curves still did at the end."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path

import numpy as np

from crystal_data.io import read_number
from crystal_data.run_folder import RunFolder

# A row of a table is unconverged if its validation error fell by more than this share over the
# last tenth of the epochs.
MOST_LATE_DROP = 0.01
UNCONVERGED_MARK = "†"
_WINDOW_SHARE = 0.1
_SHORTEST_WINDOW = 3


def late_drop(curve: Sequence[float]) -> float | None:
    """Share by which an error still fell over the last tenth of a training.

    A straight line through the last tenth of the values, three at least, tells the trend from the
    noise between epochs; negative if the error rose. A learning rate that ends near zero flattens
    any curve, so a small drop does not say that more epochs would not help; a large one says that
    the training was cut off.

    Args:
        curve: Validation error after each epoch.

    Returns:
        None for a curve that is too short to tell: fewer than twice three values.
    """
    if len(curve) < 2 * _SHORTEST_WINDOW:
        return None
    last = np.asarray(curve[-max(_SHORTEST_WINDOW, ceil(_WINDOW_SHARE * len(curve))) :])
    slope, start = np.polyfit(np.arange(len(last)), last, 1)
    return float(-slope * (len(last) - 1) / start) if start > 0 else 0.0


def validation_curve(run: Path, metric: str) -> list[float]:
    """Errors by a metric's validation counterpart over the epochs of a run.

    Args:
        run: Folder of the run.
        metric: Such as ``test/mae/band_gap``, which has ``val/mae/band_gap`` beside it.

    Returns:
        Nothing if the run did not train, or without validation. Of similarities it is 1 less the
        value, which falls as an error does.
    """
    files = RunFolder(run)
    column = f"val/{metric.partition('/')[2]}"
    cells = [row[column] for row in files.metrics() if row.get(column)]
    values = [read_number(files.metrics_file, column, cell) for cell in cells]
    return [1 - value for value in values] if is_similarity(metric) else values


def is_similarity(metric: str) -> bool:
    """Whether larger values of a metric are better, such as of ``test/cosine/phonon_dos``."""
    return metric.split("/")[1] == "cosine"
