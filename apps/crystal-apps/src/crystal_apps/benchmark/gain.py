"""By how much one row's error is smaller than another's, structure by structure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from crystal_data.io import DamagedFileError
from crystal_data.metrics import SeedInterval, seed_gain_interval
from crystal_data.run_folder import RunFolder


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
        raise DamagedFileError(path, f"it has no numbers that are predictions of {target}")
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
) -> SeedInterval | None:
    """One less the ratio of errors, with an interval over seeds and test structures.

    Seeds may differ in what they test. The errors of a structure stay together over all seeds, so
    that one that was tested often does not count as several.

    Args:
        baseline: Seed to test structure to error.
        other: The same of the row whose gain is asked for.

    Returns:
        None if no structure was tested in both with the same seed, or all errors of the baseline
        are zero.
    """
    pairs = {
        seed: {
            one: (baseline[seed][one], other[seed][one])
            for one in baseline[seed].keys() & other[seed].keys()
        }
        for seed in sorted(baseline.keys() & other.keys())
    }
    pairs = {seed: found for seed, found in pairs.items() if found}
    structures = sorted({one for found in pairs.values() for one in found})
    missing = (np.nan, np.nan)
    table = np.array([[found.get(one, missing) for one in structures] for found in pairs.values()])
    if not np.nansum(table[..., :1]) > 0:
        return None
    return seed_gain_interval(table[..., 0], table[..., 1])
