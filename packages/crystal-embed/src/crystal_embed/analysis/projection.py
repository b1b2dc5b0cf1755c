"""Element vectors along their principal components."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import InvalidArgumentError
from crystal_embed.tables.table import ElementTable

# Source: the published analysis takes 89 × 128 numbers to 89 × 32.
NUM_COMPONENTS = 32


@dataclass(frozen=True)
class Projection:
    """Elements in the space of the largest principal components of their standardised vectors.

    Args:
        symbols: Elements, by atomic number.
        standardised: Vectors with mean 0 and standard deviation 1 in each dimension, 0 where all
            are equal; shape ``[num_elements, width]``.
        coords: Principal components; shape ``[num_elements, num_components]``.
        explained: Share of the variance in each; shape ``[num_components]``.
    """

    symbols: tuple[str, ...]
    standardised: NDArray[np.float64]
    coords: NDArray[np.float64]
    explained: NDArray[np.float64]

    @property
    def plane(self) -> tuple[NDArray[np.float64], tuple[float, float]]:
        """First two components, ``[num_elements, 2]``, and their shares; 0 where there is one."""
        missing = max(0, 2 - self.coords.shape[1])
        coords = np.pad(self.coords[:, :2], ((0, 0), (0, missing)))
        first, second = np.pad(self.explained[:2], (0, missing)).tolist()
        return coords, (first, second)


def project(table: ElementTable, num_components: int = NUM_COMPONENTS) -> Projection:
    """Principal components of the elements that a table was trained on.

    Args:
        table: Rows that training has never shown are left out.
        num_components: At most as many; there are no more than the vectors have dimensions, and
            one less than there are elements.

    Raises:
        InvalidArgumentError: If fewer than three elements are left.
    """
    trained = table.trained()
    if len(trained) < 3:
        raise InvalidArgumentError(
            f"element table '{table.name}': {len(trained)} elements are too few"
        )
    vectors = trained.vectors.astype(np.float64)
    centred = vectors - vectors.mean(axis=0)
    spread = centred.std(axis=0)
    standardised = np.where(spread > 1e-12, centred / np.maximum(spread, 1e-12), 0.0)
    left, singular, right = np.linalg.svd(standardised, full_matrices=False)
    # A component's sign means nothing; its largest loading counts as positive.
    largest = np.abs(right).argmax(axis=1)
    left = left * np.sign(right[np.arange(len(right)), largest])
    share = singular**2 / max(float((singular**2).sum()), 1e-12)
    kept = min(num_components, trained.width, len(trained) - 1)
    return Projection(
        symbols=tuple(trained.symbols),
        standardised=standardised,
        coords=left[:, :kept] * singular[:kept],
        explained=share[:kept],
    )
