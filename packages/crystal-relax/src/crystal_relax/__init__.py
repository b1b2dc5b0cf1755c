"""Relaxed crystal structures, predicted from unrelaxed ones."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_relax.graph.model import GraphRelaxer as GraphRelaxer
    from crystal_relax.inference import Relaxer as Relaxer
    from crystal_relax.references import VolumeScaling as VolumeScaling
    from crystal_relax.scoring import RelaxationErrors as RelaxationErrors
    from crystal_relax.scoring import relaxation_errors as relaxation_errors
    from crystal_relax.text.model import TextRelaxer as TextRelaxer
    from crystal_relax.text.t5 import T5Relaxer as T5Relaxer
    from crystal_relax.training.module import RelaxationModule as RelaxationModule
    from crystal_relax.training.text_module import TextRelaxationModule as TextRelaxationModule

# Heavy parts load on first use, so that `crystal-relax --help` stays quick.
_EXPORTS = {
    "GraphRelaxer": "crystal_relax.graph.model",
    "RelaxationErrors": "crystal_relax.scoring",
    "RelaxationModule": "crystal_relax.training.module",
    "Relaxer": "crystal_relax.inference",
    "T5Relaxer": "crystal_relax.text.t5",
    "TextRelaxationModule": "crystal_relax.training.text_module",
    "TextRelaxer": "crystal_relax.text.model",
    "VolumeScaling": "crystal_relax.references",
    "relaxation_errors": "crystal_relax.scoring",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
