"""Augmentation, masking and perturbation with counted random numbers; target scaling."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystal_data.transforms.augment import RandomCell as RandomCell
    from crystal_data.transforms.augment import RandomReflection as RandomReflection
    from crystal_data.transforms.augment import RandomRotation as RandomRotation
    from crystal_data.transforms.augment import RandomTranslation as RandomTranslation
    from crystal_data.transforms.base import Transform as Transform
    from crystal_data.transforms.corrupt import MaskAtoms as MaskAtoms
    from crystal_data.transforms.corrupt import PerturbAtoms as PerturbAtoms
    from crystal_data.transforms.normalize import TargetNormalizer as TargetNormalizer
    from crystal_data.transforms.random import SampleRandom as SampleRandom

# torch takes seconds to import, so each part loads on first use.
_EXPORTS = {
    "MaskAtoms": "corrupt",
    "PerturbAtoms": "corrupt",
    "RandomCell": "augment",
    "RandomReflection": "augment",
    "RandomRotation": "augment",
    "RandomTranslation": "augment",
    "SampleRandom": "random",
    "TargetNormalizer": "normalize",
    "Transform": "base",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
