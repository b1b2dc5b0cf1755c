"""Predicted relaxed structures against true ones: the two tables of the published system.

Errors of a, b, c, α, β, γ are those of the predicted cell. Errors of positions are distances
between predicted and true atoms in Å: in the true cell, each to its nearest image, the mean
drift of the crystal removed. Both are pooled over all crystals, as published (T2-Relax, tables of
mean absolute, mean squared and root mean squared errors), and each has a bootstrap interval over
crystals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.metrics import Interval, MetricResult, bootstrap_interval, hash_crystals
from crystal_data.trajectories import aligned, nearest_displacements
from crystal_data.versions import library_versions

Floats = NDArray[np.float64]

#: What errors are measured of, with their units.
UNITS: Mapping[str, str] = {
    "a": "Å",
    "b": "Å",
    "c": "Å",
    "alpha": "°",
    "beta": "°",
    "gamma": "°",
    "positions": "Å",
}
QUANTITIES = tuple(UNITS)
#: MAE, MSE, RMSE that T2-Relax reports, on data of its own.
PUBLISHED: Mapping[str, tuple[float, float, float]] = {
    "a": (0.053, 0.006, 0.080),
    "b": (0.053, 0.006, 0.080),
    "c": (0.074, 0.020, 0.140),
    "alpha": (0.086, 0.036, 0.189),
    "beta": (0.101, 0.070, 0.265),
    "gamma": (0.160, 0.104, 0.322),
    "positions": (0.066, 0.252, 0.502),
}
ALL, BARELY = "all", "barely moves"
_BARELY = 0.03  # Å; mean displacement of the atoms
_SEED = 0  # of the bootstrap


@dataclass(frozen=True)
class ErrorRow:
    """Errors of one quantity over one part of the crystals.

    Args:
        quantity: One of ``QUANTITIES``.
        part: ``all``, an origin, or ``barely moves``.
        mae: Mean absolute error.
        mse: Mean squared error.
        rmse: Its root.
        num_crystals: How many there are in the part.
    """

    quantity: str
    part: str
    mae: Interval
    mse: Interval
    rmse: Interval
    num_crystals: int


@dataclass(frozen=True, eq=False)
class RelaxationErrors:
    """Errors of predicted relaxed structures, crystal by crystal.

    Args:
        identifiers: Of the crystals.
        origins: What made each start; empty where it is not known.
        cell: Predicted less true a, b, c (Å), α, β, γ (degrees); ``[num_crystals, 6]``.
        positions: Distance of each atom from its true place; ``[num_atoms]`` of each crystal, Å.
        moved: How far its atoms truly move, beside the strain; mean of each crystal, Å.
        data_hash: Of the true structures.
    """

    identifiers: tuple[str, ...]
    origins: tuple[str, ...]
    cell: Floats
    positions: tuple[Floats, ...]
    moved: Floats
    data_hash: str

    @property
    def parts(self) -> dict[str, NDArray[np.bool_]]:
        """Parts of the crystals by name; those without a crystal are left out."""
        origins = np.array(self.origins)
        found = {ALL: np.ones(len(origins), dtype=np.bool_)}
        found |= {name: origins == name for name in sorted(set(self.origins)) if name}
        barely = self.moved < _BARELY
        return found | ({BARELY: barely} if barely.any() else {})

    @cached_property
    def per_crystal(self) -> dict[str, Floats]:
        """Mean absolute error of each crystal: of its lengths, angles and atoms."""
        return {
            "lengths": np.abs(self.cell[:, :3]).mean(axis=1),
            "angles": np.abs(self.cell[:, 3:]).mean(axis=1),
            "positions": np.array([one.mean() for one in self.positions]),
        }

    def rows(self) -> list[ErrorRow]:
        """The tables: each quantity over each part, with 95 % intervals."""
        return [
            self._row(quantity, part, chosen)
            for part, chosen in self.parts.items()
            for quantity in QUANTITIES
        ]

    def row(self, quantity: str, part: str = ALL) -> ErrorRow:
        """One row of the tables.

        Raises:
            InvalidArgumentError: If there is no such quantity or part.
        """
        if quantity not in QUANTITIES or part not in self.parts:
            raise InvalidArgumentError(
                f"no errors of '{quantity}' over '{part}'",
                f"there are {', '.join(QUANTITIES)} over {', '.join(self.parts)}",
            )
        return self._row(quantity, part, self.parts[part])

    def results(self, name: str) -> list[MetricResult]:
        """The tables as metrics ``mae/a/all``, with their intervals among the parameters.

        Args:
            name: Of what predicts.
        """
        found = []
        for row in self.rows():
            for metric in ("mae", "mse", "rmse"):
                interval: Interval = getattr(row, metric)
                found.append(
                    MetricResult(
                        f"{metric}/{row.quantity}/{row.part}",
                        interval.estimate,
                        {"of": name, "low": interval.low, "high": interval.high}
                        | {"confidence": interval.confidence, "unit": UNITS[row.quantity]},
                        library_versions(),
                        self.data_hash,
                        row.num_crystals,
                    )
                )
        return found

    def _row(self, quantity: str, part: str, chosen: NDArray[np.bool_]) -> ErrorRow:
        if quantity == "positions":
            errors = [self.positions[row] for row in np.flatnonzero(chosen)]
        else:
            errors = list(self.cell[chosen, QUANTITIES.index(quantity), None])
        mae = _pooled([np.abs(one) for one in errors])
        mse = _pooled([one**2 for one in errors])
        root = Interval(sqrt(mse.estimate), sqrt(mse.low), sqrt(mse.high), mse.confidence)
        return ErrorRow(quantity, part, mae, mse, root, len(errors))


def relaxation_errors(
    starts: Sequence[Crystal],
    predictions: Sequence[Crystal],
    ends: Sequence[Crystal],
    origins: Sequence[str] | None = None,
) -> RelaxationErrors:
    """Compare predicted relaxed structures with true ones.

    Args:
        starts: Before the relaxation.
        predictions: With the starts' axes and order of atoms.
        ends: After it; any axes, images, origin and orientation.
        origins: What made each start, to report parts apart.

    Raises:
        InvalidArgumentError: If the numbers or the atoms differ.
    """
    if not len(starts) == len(predictions) == len(ends) or not starts:
        raise InvalidArgumentError(
            f"{len(starts)} starts, {len(predictions)} predictions and {len(ends)} ends; each "
            "start needs one of both, and there has to be one"
        )
    cell, positions, moved = [], [], []
    true = [aligned(end, start) for start, end in zip(starts, ends, strict=True)]
    for start, prediction, end in zip(starts, predictions, true, strict=True):
        if not np.array_equal(prediction.atomic_numbers, start.atomic_numbers):
            raise InvalidArgumentError(
                f"{start.identifier}: the prediction has other atoms than the start",
                "elements, their order and number stay as they are",
            )
        cell.append(_parameters(prediction) - _parameters(end))
        positions.append(_distances(prediction, end))
        moved.append(_distances(start, end).mean())
    return RelaxationErrors(
        tuple(start.identifier for start in starts),
        tuple(origins or [""] * len(starts)),
        np.array(cell),
        tuple(positions),
        np.array(moved),
        hash_crystals(true),
    )


def _parameters(crystal: Crystal) -> Floats:
    return np.concatenate((crystal.lengths, crystal.angles))


def _distances(crystal: Crystal, true: Crystal) -> Floats:
    difference = nearest_displacements(crystal.frac_coords - true.frac_coords, true.lattice)
    return np.asarray(np.linalg.norm(difference, axis=1))


def _pooled(errors: Sequence[Floats]) -> Interval:
    """Mean over all values; the bootstrap draws crystals.

    A ratio of two sums over crystals, which is linear in small changes of both.
    """
    sums = np.array([one.sum() for one in errors])
    counts = np.array([len(one) for one in errors])
    ratio = sums.sum() / counts.sum()
    linear = ratio + (sums - ratio * counts) / counts.mean()
    found = bootstrap_interval(linear, rng=np.random.default_rng(_SEED))
    # No mean of absolute or squared values is negative, whatever the linear form says.
    return Interval(found.estimate, max(found.low, 0.0), max(found.high, 0.0), found.confidence)
