"""Crystals, changes of description and the contracts that tests of models inherit.

The contracts and ``briefly_trained`` need pytest; the rest does not.
"""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.testing.builders import elongated as elongated
    from crystal_data.testing.builders import face_centred as face_centred
    from crystal_data.testing.builders import isolated_atom as isolated_atom
    from crystal_data.testing.builders import perovskite as perovskite
    from crystal_data.testing.builders import random_crystal as random_crystal
    from crystal_data.testing.builders import random_crystals as random_crystals
    from crystal_data.testing.builders import rock_salt as rock_salt
    from crystal_data.testing.checkpoints import write_checkpoint as write_checkpoint
    from crystal_data.testing.contract import InvariantModelContract as InvariantModelContract
    from crystal_data.testing.equivariant_contract import (
        EquivariantModelContract as EquivariantModelContract,
    )
    from crystal_data.testing.generator_contract import GeneratorContract as GeneratorContract
    from crystal_data.testing.generator_contract import symmetry_error as symmetry_error
    from crystal_data.testing.gradient_contract import GradientContract as GradientContract
    from crystal_data.testing.graph_models import GraphModelContract as GraphModelContract
    from crystal_data.testing.graph_models import batch_for as batch_for
    from crystal_data.testing.graph_models import briefly_trained as briefly_trained
    from crystal_data.testing.moves import MOVES as MOVES
    from crystal_data.testing.moves import change_cell as change_cell
    from crystal_data.testing.moves import change_images as change_images
    from crystal_data.testing.moves import double_cell as double_cell
    from crystal_data.testing.moves import permute_atoms as permute_atoms
    from crystal_data.testing.moves import reflect as reflect
    from crystal_data.testing.moves import rotate as rotate
    from crystal_data.testing.moves import shift_origin as shift_origin
    from crystal_data.testing.moves import turned as turned
    from crystal_data.testing.toy_generator import ToyGenerator as ToyGenerator
    from crystal_data.testing.toy_generator import group_requests as group_requests
    from crystal_data.testing.toy_generator import toy_requests as toy_requests
    from crystal_data.testing.toy_models import AtomVectors as AtomVectors
    from crystal_data.testing.toy_models import CrystalTensors as CrystalTensors

# The contracts need torch and pytest, the builders neither.
_EXPORTS = {
    "AtomVectors": "crystal_data.testing.toy_models",
    "CrystalTensors": "crystal_data.testing.toy_models",
    "EquivariantModelContract": "crystal_data.testing.equivariant_contract",
    "GeneratorContract": "crystal_data.testing.generator_contract",
    "GradientContract": "crystal_data.testing.gradient_contract",
    "GraphModelContract": "crystal_data.testing.graph_models",
    "InvariantModelContract": "crystal_data.testing.contract",
    "MOVES": "crystal_data.testing.moves",
    "batch_for": "crystal_data.testing.graph_models",
    "briefly_trained": "crystal_data.testing.graph_models",
    "change_cell": "crystal_data.testing.moves",
    "change_images": "crystal_data.testing.moves",
    "double_cell": "crystal_data.testing.moves",
    "elongated": "crystal_data.testing.builders",
    "face_centred": "crystal_data.testing.builders",
    "group_requests": "crystal_data.testing.toy_generator",
    "isolated_atom": "crystal_data.testing.builders",
    "permute_atoms": "crystal_data.testing.moves",
    "perovskite": "crystal_data.testing.builders",
    "random_crystal": "crystal_data.testing.builders",
    "random_crystals": "crystal_data.testing.builders",
    "reflect": "crystal_data.testing.moves",
    "rock_salt": "crystal_data.testing.builders",
    "rotate": "crystal_data.testing.moves",
    "shift_origin": "crystal_data.testing.moves",
    "turned": "crystal_data.testing.moves",
    "write_checkpoint": "crystal_data.testing.checkpoints",
    "symmetry_error": "crystal_data.testing.generator_contract",
    "toy_requests": "crystal_data.testing.toy_generator",
    "ToyGenerator": "crystal_data.testing.toy_generator",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
