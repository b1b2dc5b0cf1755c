"""An equivariant network that learns crystals by repairing them, and then predicts and varies."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_gan.equiformer.backbone import Backbone as Backbone
    from crystal_gan.equiformer.sizes import EquiformerSizes as EquiformerSizes
    from crystal_gan.generator import Change as Change
    from crystal_gan.generator import Ranking as Ranking
    from crystal_gan.generator import RepairGenerator as RepairGenerator
    from crystal_gan.models.equiformer import Equiformer as Equiformer
    from crystal_gan.models.repair import RepairModel as RepairModel
    from crystal_gan.training.adversarial import AdversarialModule as AdversarialModule
    from crystal_gan.training.module import RepairModule as RepairModule

# Heavy parts load on first use, so that `crystal-gan --help` stays quick.
_EXPORTS = {
    "AdversarialModule": "crystal_gan.training.adversarial",
    "Backbone": "crystal_gan.equiformer.backbone",
    "Change": "crystal_gan.generator",
    "Equiformer": "crystal_gan.models.equiformer",
    "EquiformerSizes": "crystal_gan.equiformer.sizes",
    "Ranking": "crystal_gan.generator",
    "RepairGenerator": "crystal_gan.generator",
    "RepairModel": "crystal_gan.models.repair",
    "RepairModule": "crystal_gan.training.module",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
