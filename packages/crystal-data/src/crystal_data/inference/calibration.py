"""The factor between the spread of an ensemble and its error, and how well it holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import InvalidArgumentError
from crystal_data.inference.predict import predict_source
from crystal_data.sources.paths import PathsSource

if TYPE_CHECKING:
    from crystal_data.inference.ensemble import Ensemble

COVERAGE = 0.9  # share of labels that the intervals of predictions hold
_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """One line of a calibration table.

    Args:
        expected: Share of labels that an interval should hold.
        as_is: Share that it holds where the members' deviation is taken for the error's.
        calibrated: Share that it holds with the factor.
        width: Mean width of the calibrated interval, in the target's unit: its sharpness.
    """

    expected: float
    as_is: float
    calibrated: float
    width: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What makes the intervals of an ensemble, and how well they hold.

    Args:
        scale: Factor of each target, as ``conformal_scale`` finds it.
        floor: For each target what is added to the members' deviation before the factor, in the
            target's unit.
        tables: Lines of each target.
    """

    scale: dict[str, float]
    floor: dict[str, float]
    tables: dict[str, list[CoverageRow]]


def half_width(std: NDArray[np.float64], scale: float, coverage: float) -> NDArray[np.float64]:
    """Half of an interval around the mean: a normal one, its deviation ``scale`` times ``std``."""
    return _quantile(coverage) * scale * std


def spread_floor(std: NDArray[np.float64]) -> float:
    """What is added to the members' deviation, in the unit of these.

    A few members agree by chance on some crystals, where the error is as usual. Divided by their
    deviation alone, errors would have a heavy tail, and the factor would make all intervals wide.

    Args:
        std: Deviation between the members, of the crystals that calibrate; shape
            ``[num_crystals]``.

    Source:
        A constant beside the estimated difficulty: Papadopoulos et al., J. Artif. Intell. Res. 40,
        815 (2011). Ours is the mean deviation.
    """
    return float(std.mean())


def conformal_scale(error: NDArray[np.float64], std: NDArray[np.float64]) -> float:
    """The factor by which intervals of 90 % hold 90 % of new labels.

    Args:
        error: Mean of the members minus label, of crystals that no member was trained on;
            shape ``[num_crystals]``.
        std: Deviation between the members, with the floor added if there is one; the same shape.

    Raises:
        InvalidArgumentError: If there are too few labels, or members that do not differ.

    Source:
        Split conformal prediction with scaled residuals: Lei et al., J. Am. Stat. Assoc. 113, 1094
        (2018), section 5.2.
    """
    rank = int(np.ceil((len(error) + 1) * COVERAGE))
    if rank > len(error):
        raise InvalidArgumentError(
            f"{len(error)} labels are too few to calibrate with; 9 are the fewest"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(error == 0, 0.0, np.abs(error) / std)
    quantile = float(np.sort(ratios)[rank - 1])
    if not np.isfinite(quantile):
        raise InvalidArgumentError(
            "the members give the same predictions, so their spread says nothing"
        )
    return quantile / _quantile(COVERAGE)


def coverage_table(
    error: NDArray[np.float64], std: NDArray[np.float64], scale: float, floor: float = 0.0
) -> list[CoverageRow]:
    """Expected against observed shares of labels, for crystals that ``scale`` was not found on."""
    rows = []
    for level in _LEVELS:
        width = half_width(std + floor, scale, level)
        rows.append(
            CoverageRow(
                level,
                float((np.abs(error) <= half_width(std, 1.0, level)).mean()),
                float((np.abs(error) <= width).mean()),
                float(2 * width.mean()),
            )
        )
    return rows


def calibrate(ensemble: "Ensemble", labelled: str | Path) -> Calibration:
    """Factor, floor and table of each target.

    Args:
        ensemble: Its own factors and floors are not used.
        labelled: Path of structures with labels that no member was trained on.

    Raises:
        InvalidArgumentError: If labels are missing or too few.
    """
    return calibrate_columns(*labelled_columns(ensemble, labelled))


def labelled_columns(
    ensemble: "Ensemble", labelled: str | Path
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Predictions and labels of the same crystals, as ``calibrate_columns`` takes them.

    Args:
        ensemble: Predicts.
        labelled: Path of structures with labels.

    Raises:
        InvalidArgumentError: If a target has no intervals, or labels are missing.
    """
    for field in ensemble.fields.values():
        if field.shape or field.per == "atom":
            raise InvalidArgumentError(
                f"{field.name} is {field.words}; intervals are made for numbers of crystals alone"
            )
    source = PathsSource([labelled], ensemble.targets)
    found = predict_source(ensemble.members, source)
    labels = found.store.targets(ensemble.targets, found.rows)
    return ensemble.combine(found.predictions), labels


def calibrate_columns(
    columns: Mapping[str, NDArray[np.float64]], labels: Mapping[str, NDArray[np.float64]]
) -> Calibration:
    """Factor, floor and table of each target.

    Factor and floor come from one half of the labels, the table from the other: measured on the
    labels that gave the factor, the shares would be too good.

    Args:
        columns: Target and ``target:std`` to predictions; shape ``[num_crystals]``.
        labels: Target to labels, NaN where there is none; shape ``[num_crystals]``.

    Raises:
        InvalidArgumentError: If labels are too few.
    """
    num_crystals = len(next(iter(labels.values())))
    shuffled = np.random.default_rng(0).permutation(num_crystals)
    found = Calibration({}, {}, {})
    for name in labels:
        rows = shuffled[np.isfinite(labels[name][shuffled])]
        fitted, checked = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        error, std = columns[name] - labels[name], columns[f"{name}:std"]
        floor = spread_floor(std[fitted])
        scale = conformal_scale(error[fitted], std[fitted] + floor)
        found.scale[name], found.floor[name] = scale, floor
        found.tables[name] = coverage_table(error[checked], std[checked], scale, floor)
    return found


def _quantile(coverage: float) -> float:
    """Half of the interval that holds this share of a standard normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + coverage / 2))
