"""What a prediction has to beat: doing nothing, and a cell of another volume."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from crystal_data.crystal import Crystal
from crystal_data.elements import SYMBOLS
from crystal_data.errors import InvalidArgumentError
from crystal_relax.relaxer import StructureRelaxer

Floats = NDArray[np.float64]

_PENALTIES = np.logspace(-3, 3, 13)  # of which leave-one-out errors choose one


class Identity(StructureRelaxer):
    """Predicts that nothing changes."""

    @property
    @override
    def name(self) -> str:
        return "identity"

    @override
    def relax(self, crystals: Sequence[Crystal]) -> list[Crystal]:
        return list(crystals)


class VolumeScaling(StructureRelaxer):
    """Scales each cell to the volume that a linear model expects; fractional coordinates stay.

    The logarithm of the ratio of volumes is linear in the logarithm of the start's volume per
    atom, in that of the mean cube of the covalent radii, and in the atomic fractions of the
    elements. Weights of the elements are penalized by ridge regression; the penalty has the
    smallest leave-one-out error. An element that no training crystal has counts nothing beside its
    radius.

    Args:
        weights: Of the constant, the two logarithms, and the 118 elements; ``[121]``.
    """

    def __init__(self, weights: Floats) -> None:
        self.weights = weights

    @classmethod
    def fit(cls, starts: Sequence[Crystal], ends: Sequence[Crystal]) -> Self:
        """Fit to training relaxations.

        Raises:
            InvalidArgumentError: If there are none, or the numbers differ.
        """
        if len(starts) != len(ends) or not starts:
            raise InvalidArgumentError(
                f"{len(starts)} starts and {len(ends)} ends; the volume needs pairs to be fitted to"
            )
        features = np.array([_features(start) for start in starts])
        ratios = np.log(
            [end.volume / start.volume for start, end in zip(starts, ends, strict=True)]
        )
        fits = [_ridge(features, ratios, penalty) for penalty in _PENALTIES]
        return cls(min(fits, key=lambda one: one[1])[0])

    @property
    @override
    def name(self) -> str:
        return "volume scaling"

    @override
    def relax(self, crystals: Sequence[Crystal]) -> list[Crystal]:
        return [
            crystal.replace(lattice=crystal.lattice * np.exp(_features(crystal) @ self.weights / 3))
            for crystal in crystals
        ]


def _features(crystal: Crystal) -> Floats:
    from ase.data import covalent_radii

    numbers = crystal.atomic_numbers
    fractions = np.bincount(numbers, minlength=len(SYMBOLS))[1:] / len(numbers)
    density = np.log(crystal.volume / crystal.num_atoms)
    radii = np.log((covalent_radii[numbers] ** 3).mean())
    return np.concatenate(([1.0, density, radii], fractions))


def _ridge(features: Floats, values: Floats, penalty: float) -> tuple[Floats, float]:
    """Weights, and the mean squared error of each row predicted from the others."""
    # The constant and the two logarithms are not penalized, but for the sake of the inverse.
    diagonal = np.full(features.shape[1], penalty)
    diagonal[:3] = 1e-9
    inverse = np.linalg.inv(features.T @ features + np.diag(diagonal))
    weights = inverse @ features.T @ values
    leverage = np.einsum("ni,ij,nj->n", features, inverse, features)
    left_out = (values - features @ weights) / np.maximum(1 - leverage, 1e-9)
    return weights, float((left_out**2).mean())
