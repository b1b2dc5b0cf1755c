"""Groups of elements."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystal_embed.analysis.projection import Projection

MAX_CLUSTERS = 12


@dataclass(frozen=True)
class Clusters:
    """Elements grouped by k-means.

    Args:
        symbols: Elements, by atomic number.
        labels: Cluster of each, from 0 in the order of their lightest elements.
        inertia: Sum of the squared distances to the clusters' centres.
    """

    symbols: tuple[str, ...]
    labels: tuple[int, ...]
    inertia: float

    def members(self) -> list[list[str]]:
        """Elements of each cluster."""
        groups: list[list[str]] = [[] for _ in range(max(self.labels) + 1)]
        for symbol, label in zip(self.symbols, self.labels, strict=True):
            groups[label].append(symbol)
        return groups


@dataclass(frozen=True)
class ClusterScan:
    """k-means over the number of clusters.

    Args:
        clusters: By their number, from 1.
        silhouette: Mean silhouette by the number, from 2: 1 is far apart, 0 is touching.
    """

    clusters: Mapping[int, Clusters]
    silhouette: Mapping[int, float]

    @property
    def best(self) -> int:
        """The number of clusters whose silhouette is largest."""
        return max(self.silhouette, key=lambda count: self.silhouette[count])


def k_means(projection: Projection, count: int, seed: int = 0) -> Clusters:
    """Groups elements by their principal components; the same input gives the same groups.

    Args:
        projection: The elements.
        count: Number of clusters; fewer where there are not so many elements.
        seed: Of the first centres.
    """
    from sklearn.cluster import KMeans

    count = min(count, len(projection.symbols))
    fitted = KMeans(n_clusters=count, n_init=20, random_state=seed).fit(projection.coords)
    rank = {label: place for place, label in enumerate(dict.fromkeys(fitted.labels_.tolist()))}
    labels = tuple(rank[label] for label in fitted.labels_.tolist())
    return Clusters(projection.symbols, labels, float(fitted.inertia_))


def scan_clusters(projection: Projection, seed: int = 0) -> ClusterScan:
    """k-means for each number of clusters up to 12, or one less than there are elements."""
    from sklearn.metrics import silhouette_score

    last = min(MAX_CLUSTERS, len(projection.symbols) - 1)
    clusters = {count: k_means(projection, count, seed) for count in range(1, last + 1)}
    silhouette = {
        count: float(silhouette_score(projection.coords, one.labels))
        for count, one in clusters.items()
        if count > 1
    }
    return ClusterScan(clusters, silhouette)


def tree(projection: Projection) -> NDArray[np.float64]:
    """Hierarchy of the elements, as SciPy's ``linkage`` writes it; shape ``[num_elements - 1, 4]``.

    Averages of the cosine distance between standardised vectors join first what is most alike;
    leaves are ordered so that neighbors are.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    from crystal_embed.analysis.neighbors import similarity

    distance = np.clip(1 - similarity(projection), 0, None)
    np.fill_diagonal(distance, 0.0)
    condensed = squareform(distance, checks=False)
    joined: NDArray[np.float64] = linkage(condensed, method="average", optimal_ordering=True)
    return joined
