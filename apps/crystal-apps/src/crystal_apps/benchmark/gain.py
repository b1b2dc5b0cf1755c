"""By how much one row's error is smaller than another's, structure by structure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystal_data.io import DamagedFileError
from crystal_data.metrics import bootstrap_interval
from crystal_data.run_folder import RunFolder


@dataclass(frozen=True)
class Gain:
    """By which share the error is smaller than the baseline's, with a 95 % interval."""

    estimate: float
    low: float
    high: float


def structure_errors(runs: Sequence[Path], target: str) -> dict[str, float]:
    """Test structure to its absolute error, the mean over the runs that tested it.

    Args:
        runs: Folders of the runs of one seed: one, or those of all folds.
        target: Name of the property.
    """
    found: dict[str, list[float]] = {}
    for run in runs:
        for structure, error in _read_errors(RunFolder(run), target).items():
            found.setdefault(structure, []).append(error)
    return {structure: float(np.mean(errors)) for structure, errors in found.items()}


def _read_errors(run: RunFolder, target: str) -> dict[str, float]:
    tables = run.predictions("test")
    if not tables:
        return {}
    table, path = tables.get(target, tables.get("")), run.predictions_file("test")
    if table is None:
        raise DamagedFileError(path, f"it has no predictions of {target}")
    if table.target is None:
        raise DamagedFileError(path, f"it has no labels of {target}")
    is_labelled = ~np.isnan(table.target)
    errors = np.abs(table.prediction - table.target)
    if np.isnan(errors[is_labelled]).any():
        raise DamagedFileError(path, f"a structure with a label of {target} has no prediction")
    return {
        structure: float(error)
        for structure, error, counts in zip(table.identifiers, errors, is_labelled, strict=True)
        if counts
    }


def paired_gain(
    baseline: Mapping[int, Mapping[str, float]], other: Mapping[int, Mapping[str, float]]
) -> Gain | None:
    """Paired bootstrap over test structures of one less the ratio of errors, summed over seeds.

    Seeds may differ in what they test. A structure is drawn with its errors of all seeds, so that
    one that was tested often is not taken for several.

    Args:
        baseline: Seed to test structure to error.
        other: The same of the row whose gain is asked for.

    Returns:
        None if no structure was tested in both with the same seed.
    """
    pairs: dict[str, NDArray[np.float64]] = {}
    for seed in sorted(baseline.keys() & other.keys()):
        for one in sorted(baseline[seed].keys() & other[seed].keys()):
            pair = np.array([baseline[seed][one], other[seed][one]])
            pairs[one] = pairs.get(one, np.zeros(2)) + pair
    if not pairs:
        return None
    found = bootstrap_interval(
        np.stack(list(pairs.values())), rng=np.random.default_rng(0), statistic=_smaller_by
    )
    return Gain(found.estimate, found.low, found.high)


def _smaller_by(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    means = pairs.mean(axis=-2)
    smaller: NDArray[np.float64] = 1.0 - means[..., 1] / means[..., 0]
    return smaller
