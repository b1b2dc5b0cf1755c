"""Trained models of symmetry, whichever kind they are of."""

from pathlib import Path

from crystal_data.artifacts import Artifact
from crystal_data.errors import InvalidArgumentError
from crystal_gen.wyckoff.symmetry_model import SymmetryModel


def load_symmetry_model(path_or_hub_id: str | Path, *, base: str | None = None) -> SymmetryModel:
    """A trained model of symmetry: the compact one, a small language model, or an adapter.

    Args:
        path_or_hub_id: Folder of the artifact or of a run that has one, or ``owner/name``.
        base: Folder of the published model that an adapter belongs to; None takes it from where
            training took it.

    Raises:
        ArtifactError: If the artifact or the published model cannot be read.
        InvalidArgumentError: If a base is given and the model is no adapter.
    """
    if Artifact.load(path_or_hub_id).kind == "adapter":
        from crystal_gen.language.adapter import LanguageAdapter

        return LanguageAdapter.from_pretrained(path_or_hub_id, base=base)
    if base is not None:
        raise InvalidArgumentError(
            f"{path_or_hub_id}: a whole model, which has no base", "leave the base out"
        )
    return SymmetryModel.from_pretrained(path_or_hub_id)
