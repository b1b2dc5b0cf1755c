"""Which elements are most alike."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystal_embed.analysis.projection import Projection


@dataclass(frozen=True)
class Neighbors:
    """The elements nearest to one, the nearest first.

    Args:
        symbol: The one.
        by_cosine: Others and their cosine similarity to it, from −1 to 1.
        by_distance: Others and their Euclidean distance from it, in standard deviations.
    """

    symbol: str
    by_cosine: tuple[tuple[str, float], ...]
    by_distance: tuple[tuple[str, float], ...]


def similarity(projection: Projection) -> NDArray[np.float64]:
    """Cosine of the angle between standardised vectors; ``[num_elements, num_elements]``."""
    length = np.linalg.norm(projection.standardised, axis=1, keepdims=True)
    unit = projection.standardised / np.maximum(length, 1e-12)
    return np.asarray(unit @ unit.T)


def nearest(projection: Projection, count: int = 5) -> dict[str, Neighbors]:
    """The most alike of each element, by standardised vectors.

    Args:
        projection: The elements.
        count: How many; fewer where there are not so many elements.
    """
    alike = similarity(projection)
    vectors = projection.standardised
    squared = (vectors**2).sum(axis=1)
    apart = np.sqrt(np.clip(squared[:, None] + squared - 2 * vectors @ vectors.T, 0, None))
    np.fill_diagonal(alike, -np.inf)
    np.fill_diagonal(apart, np.inf)
    return {
        symbol: Neighbors(
            symbol,
            by_cosine=_first(projection, alike[row], np.argsort(-alike[row], kind="stable"), count),
            by_distance=_first(
                projection, apart[row], np.argsort(apart[row], kind="stable"), count
            ),
        )
        for row, symbol in enumerate(projection.symbols)
    }


def _first(
    projection: Projection, values: NDArray[np.float64], order: NDArray[np.int64], count: int
) -> tuple[tuple[str, float], ...]:
    # The element itself comes last.
    return tuple((projection.symbols[k], float(values[k])) for k in order[:-1][:count])
