"""Crystals, changes of description and the contract that every model's tests inherit.

``InvariantModelContract`` needs pytest.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystal_data.testing.builders import elongated as elongated
    from crystal_data.testing.builders import face_centred as face_centred
    from crystal_data.testing.builders import isolated_atom as isolated_atom
    from crystal_data.testing.builders import perovskite as perovskite
    from crystal_data.testing.builders import random_crystal as random_crystal
    from crystal_data.testing.builders import random_crystals as random_crystals
    from crystal_data.testing.builders import rock_salt as rock_salt
    from crystal_data.testing.contract import InvariantModelContract as InvariantModelContract
    from crystal_data.testing.moves import MOVES as MOVES
    from crystal_data.testing.moves import change_cell as change_cell
    from crystal_data.testing.moves import change_images as change_images
    from crystal_data.testing.moves import double_cell as double_cell
    from crystal_data.testing.moves import permute_atoms as permute_atoms
    from crystal_data.testing.moves import reflect as reflect
    from crystal_data.testing.moves import rotate as rotate
    from crystal_data.testing.moves import shift_origin as shift_origin

# The contract needs torch and pytest, the builders neither.
_EXPORTS = {
    "InvariantModelContract": "contract",
    "MOVES": "moves",
    "change_cell": "moves",
    "change_images": "moves",
    "double_cell": "moves",
    "elongated": "builders",
    "face_centred": "builders",
    "isolated_atom": "builders",
    "permute_atoms": "moves",
    "perovskite": "builders",
    "random_crystal": "builders",
    "random_crystals": "builders",
    "reflect": "moves",
    "rock_salt": "builders",
    "rotate": "moves",
    "shift_origin": "moves",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
