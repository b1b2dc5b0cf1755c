"""Parts that networks of several packages are built from: distances as vectors, sums and means."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.layers.basis import GaussianBasis as GaussianBasis
    from crystal_data.layers.basis import cosine_cutoff as cosine_cutoff
    from crystal_data.layers.pooling import mean_over_atoms as mean_over_atoms
    from crystal_data.layers.pooling import sum_over_atoms as sum_over_atoms
    from crystal_data.layers.pooling import sum_over_edges as sum_over_edges

_EXPORTS = {
    "GaussianBasis": "crystal_data.layers.basis",
    "cosine_cutoff": "crystal_data.layers.basis",
    "mean_over_atoms": "crystal_data.layers.pooling",
    "sum_over_atoms": "crystal_data.layers.pooling",
    "sum_over_edges": "crystal_data.layers.pooling",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
