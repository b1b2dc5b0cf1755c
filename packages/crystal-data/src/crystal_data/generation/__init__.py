"""From a wish to files: requests, and generated structures written and read."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.generation.read import GeneratedStructure as GeneratedStructure
    from crystal_data.generation.read import read_generated as read_generated

_EXPORTS = {
    "GeneratedStructure": "crystal_data.generation.read",
    "read_generated": "crystal_data.generation.read",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
