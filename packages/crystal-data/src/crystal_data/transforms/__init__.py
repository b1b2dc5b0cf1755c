"""Augmentation, masking and perturbation with counted random numbers; target scaling."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.transforms.augment import RandomCell as RandomCell
    from crystal_data.transforms.augment import RandomReflection as RandomReflection
    from crystal_data.transforms.augment import RandomRotation as RandomRotation
    from crystal_data.transforms.augment import RandomTranslation as RandomTranslation
    from crystal_data.transforms.base import Transform as Transform
    from crystal_data.transforms.corrupt import MaskAtoms as MaskAtoms
    from crystal_data.transforms.corrupt import PerturbAtoms as PerturbAtoms
    from crystal_data.transforms.corrupt import PerturbLattice as PerturbLattice
    from crystal_data.transforms.normalize import TargetNormalizer as TargetNormalizer
    from crystal_data.transforms.random import SampleRandom as SampleRandom

# torch takes seconds to import, so each part loads on first use.
_EXPORTS = {
    "MaskAtoms": "crystal_data.transforms.corrupt",
    "PerturbAtoms": "crystal_data.transforms.corrupt",
    "PerturbLattice": "crystal_data.transforms.corrupt",
    "RandomCell": "crystal_data.transforms.augment",
    "RandomReflection": "crystal_data.transforms.augment",
    "RandomRotation": "crystal_data.transforms.augment",
    "RandomTranslation": "crystal_data.transforms.augment",
    "SampleRandom": "crystal_data.transforms.random",
    "TargetNormalizer": "crystal_data.transforms.normalize",
    "Transform": "crystal_data.transforms.base",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
