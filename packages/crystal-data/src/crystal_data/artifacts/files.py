"""Names of the files of artifacts and ensembles, and where in a run's folder an artifact lies."""

from pathlib import Path

WEIGHTS, CONFIG, METADATA, CARD = "model.safetensors", "config.json", "metadata.json", "README.md"
ARTIFACT = "artifact"  # its folder within that of a run
ENSEMBLE = "ensemble.json"  # in the folder of several artifacts


def artifact_files(path: Path) -> list[Path]:
    """Files that decide what an artifact computes, whether they exist or not.

    Args:
        path: Folder of the artifact, or of a run that has one.
    """
    return [folder / name for folder in (path, path / ARTIFACT) for name in (WEIGHTS, CONFIG)]
