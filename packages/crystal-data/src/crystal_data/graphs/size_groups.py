"""Splits crystals of unlike size into rectangles that waste little."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# Candidates (pairs × images) tested at once: what stays in a core's cache, or fills a GPU.
_CHUNK = {"cpu": 2**19, "cuda": 2**25}
# Padding by this many candidates costs as much as one more chunk.
_CHUNK_OVERHEAD = {"cpu": 10**5, "cuda": 10**7}
# A pair also costs its difference vector, as much as this many images.
_PAIR_COST = 8


def max_candidates(device: str) -> int:
    """Candidates that one pass may hold at once on a ``"cpu"`` or ``"cuda"`` device."""
    return _CHUNK.get(device, _CHUNK["cpu"])


def groups_of_like_size(
    num_atoms: NDArray[np.int64], num_images: NDArray[np.int64], device: str
) -> Iterator[NDArray[np.int64]]:
    """Rows of crystals that are searched together, padded to the largest among them.

    Args:
        num_atoms: Shape ``[num_crystals]``.
        num_images: Images to test for each pair; shape ``[num_crystals]``.
        device: ``"cpu"`` or ``"cuda"``.

    Yields:
        Row numbers; each row once. A crystal larger than a whole chunk is alone.
    """
    order = np.lexsort((num_images, num_atoms))
    chunk = max_candidates(device)
    for begin, stop in _size_classes(num_atoms[order], num_images[order], device):
        rows = order[begin:stop]
        rows = rows[np.argsort(num_images[rows], kind="stable")]
        cost = np.cumsum(num_atoms[rows].max() ** 2 * (num_images[rows] + _PAIR_COST))
        yield from np.split(rows, np.flatnonzero(np.diff(cost // chunk)) + 1)


def _size_classes(
    num_atoms: NDArray[np.int64], num_images: NDArray[np.int64], device: str
) -> list[tuple[int, int]]:
    """Ranges of the sorted sizes; a smaller size joins a larger one while padding is cheap."""
    overhead = _CHUNK_OVERHEAD.get(device, _CHUNK_OVERHEAD["cpu"])
    sizes, first, counts = np.unique(num_atoms, return_index=True, return_counts=True)
    depths = np.maximum.reduceat(num_images, first)
    ranges = []
    stop, width, depth = len(num_atoms), int(sizes[-1]), int(depths[-1])
    for place in range(len(sizes) - 2, -1, -1):
        size, top = int(sizes[place]), int(depths[place])
        padded = width**2 * (max(depth, top) + _PAIR_COST)
        if (padded - size**2 * (top + _PAIR_COST)) * int(counts[place]) > overhead:
            ranges.append((int(first[place + 1]), stop))
            stop, width, depth = int(first[place + 1]), size, top
        depth = max(depth, top)
    ranges.append((0, stop))
    return ranges
