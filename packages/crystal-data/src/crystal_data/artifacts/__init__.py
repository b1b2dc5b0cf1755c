"""What one stage hands to the next or a user publishes: weights and plain JSON, from a registry."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.artifacts.artifact import Artifact as Artifact
    from crystal_data.artifacts.artifact import TargetScale as TargetScale
    from crystal_data.artifacts.files import artifact_files as artifact_files
    from crystal_data.artifacts.kinds import ArtifactKind as ArtifactKind
    from crystal_data.artifacts.kinds import BaseModel as BaseModel
    from crystal_data.artifacts.pretrained import PretrainedModel as PretrainedModel
    from crystal_data.artifacts.registry import ArtifactError as ArtifactError
    from crystal_data.artifacts.registry import ModelRegistry as ModelRegistry
    from crystal_data.artifacts.state_report import StateReport as StateReport
    from crystal_data.artifacts.state_report import load_state_report as load_state_report

# torch takes seconds to import, so each part loads on first use.
_EXPORTS = {
    "Artifact": "crystal_data.artifacts.artifact",
    "ArtifactError": "crystal_data.artifacts.registry",
    "ArtifactKind": "crystal_data.artifacts.kinds",
    "BaseModel": "crystal_data.artifacts.kinds",
    "ModelRegistry": "crystal_data.artifacts.registry",
    "PretrainedModel": "crystal_data.artifacts.pretrained",
    "StateReport": "crystal_data.artifacts.state_report",
    "TargetScale": "crystal_data.artifacts.artifact",
    "artifact_files": "crystal_data.artifacts.files",
    "load_state_report": "crystal_data.artifacts.state_report",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
