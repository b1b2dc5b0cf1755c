"""How far the spread of an ensemble says how wrong it is, and the factor that makes it say so."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from crystal_data.errors import InvalidArgumentError

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


def half_width(std: NDArray[np.float64], scale: float, coverage: float) -> NDArray[np.float64]:
    """Half of an interval around the mean: a normal one, its deviation ``scale`` times ``std``."""
    return norm.ppf(0.5 + coverage / 2) * scale * std


def conformal_scale(error: NDArray[np.float64], std: NDArray[np.float64]) -> float:
    """The factor by which intervals of 90 % hold 90 % of new labels.

    Args:
        error: Mean of the members minus label, of crystals that no member was trained on;
            shape ``[num_crystals]``.
        std: Deviation between the members; the same shape.

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
    return quantile / float(norm.ppf(0.5 + COVERAGE / 2))


def coverage_table(
    error: NDArray[np.float64], std: NDArray[np.float64], scale: float
) -> list[CoverageRow]:
    """Expected against observed shares of labels, for crystals that ``scale`` was not found on."""
    rows = []
    for level in _LEVELS:
        width = half_width(std, scale, level)
        rows.append(
            CoverageRow(
                level,
                float((np.abs(error) <= half_width(std, 1.0, level)).mean()),
                float((np.abs(error) <= width).mean()),
                float(2 * width.mean()),
            )
        )
    return rows
