"""The published structure model: symmetry-constrained diffusion of all atoms of the cell."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_gen.published.model import PublishedDiT as PublishedDiT

_EXPORTS = {"PublishedDiT": "crystal_gen.published.model"}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
