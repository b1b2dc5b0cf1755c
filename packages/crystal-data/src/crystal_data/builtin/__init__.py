"""The data set that quickstart and tests use, computed by our own code; see ``README.md`` here."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.builtin.ewald import ewald_energy as ewald_energy
    from crystal_data.builtin.prototypes import PROTOTYPES as PROTOTYPES
    from crystal_data.builtin.source import BuiltinSource as BuiltinSource

# The source pulls in the energy model; the command line wants names only.
_EXPORTS = {
    "BuiltinSource": "crystal_data.builtin.source",
    "PROTOTYPES": "crystal_data.builtin.prototypes",
    "ewald_energy": "crystal_data.builtin.ewald",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
