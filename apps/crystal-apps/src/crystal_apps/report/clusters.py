"""Which elements an embedding holds for alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystal_apps.report.figures import NUM_COLOURS
from crystal_data import ATOMIC_NUMBERS


@dataclass(frozen=True)
class ElementClusters:
    """Elements grouped by k-means on their standardised vectors.

    Args:
        symbols: Elements, by atomic number.
        labels: Cluster of each, from 0 in the order of their lightest elements.
        coords: First two principal components; shape ``[num_elements, 2]``.
        explained: Share of the variance in each of the two.
        neighbours: The elements most alike (cosine), for each element.
    """

    symbols: tuple[str, ...]
    labels: tuple[int, ...]
    coords: NDArray[np.float64]
    explained: tuple[float, float]
    neighbours: tuple[tuple[str, ...], ...]

    def members(self) -> list[list[str]]:
        """Elements of each cluster."""
        groups: list[list[str]] = [[] for _ in range(max(self.labels) + 1)]
        for symbol, label in zip(self.symbols, self.labels, strict=True):
            groups[label].append(symbol)
        return groups


def cluster_elements(symbols: Sequence[str], vectors: NDArray[np.float64]) -> ElementClusters:
    """Groups elements; the same input gives the same groups.

    Args:
        symbols: Elements that the embedding was trained on.
        vectors: One row for each; shape ``[num_elements, width]``.
    """
    from sklearn.cluster import KMeans

    order = np.argsort([ATOMIC_NUMBERS[symbol] for symbol in symbols])
    symbols = [symbols[row] for row in order]
    centred = vectors[order] - vectors.mean(axis=0)
    scaled = centred / np.maximum(centred.std(axis=0), 1e-12)
    count = min(NUM_COLOURS, len(symbols))
    raw = KMeans(n_clusters=count, n_init=20, random_state=0).fit_predict(scaled)
    rank = {label: place for place, label in enumerate(dict.fromkeys(raw.tolist()))}

    left, singular, _ = np.linalg.svd(scaled, full_matrices=False)
    share = singular**2 / max(float((singular**2).sum()), 1e-12)
    coords = np.zeros((len(symbols), 2))
    shown = min(2, len(singular))
    coords[:, :shown] = left[:, :shown] * singular[:shown]

    unit = scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -np.inf)
    nearest = np.argsort(-alike, axis=1)[:, : min(4, len(symbols) - 1)]
    return ElementClusters(
        symbols=tuple(symbols),
        labels=tuple(rank[label] for label in raw.tolist()),
        coords=coords,
        explained=(float(share[0]), float(share[1]) if shown == 2 else 0.0),
        neighbours=tuple(tuple(symbols[k] for k in row) for row in nearest),
    )


def table_position(symbol: str) -> tuple[int, int]:
    """Row (1 to 7; 9 and 10 for the f block) and column (1 to 18) in the periodic table."""
    z = ATOMIC_NUMBERS[symbol]
    for first, last, row in ((57, 70, 9), (89, 102, 10)):
        if first <= z <= last:
            return row, z - first + 3
    # Atomic number of each period's first element; the noble gas before the next closes the row.
    starts = (1, 3, 11, 19, 37, 55, 87, 119)
    row = next(period for period in range(1, 8) if starts[period] > z)
    from_left, from_right = z - starts[row - 1], starts[row] - 1 - z
    s_block = 1 if row == 1 else 2
    in_d_block = row >= 4 and from_right > 5 and from_left >= s_block
    if from_left < s_block and z != 2:
        return row, from_left + 1
    if in_d_block:
        f_block = 14 if row >= 6 else 0
        return row, from_left + 1 - f_block
    return row, 18 - from_right
