"""The folder of an artifact: a local one, or one that the hub gives."""

from pathlib import Path

from crystal_data.artifacts.files import ARTIFACT, CARD, CONFIG, ENSEMBLE, METADATA, WEIGHTS
from crystal_data.artifacts.kinds import is_file_name
from crystal_data.artifacts.registry import ArtifactError
from crystal_data.io.checked_json import read_json_object


def find_artifact(path_or_hub_id: str | Path) -> Path:
    """The local folder of an artifact, or that of a run which holds one; ``owner/name`` is fetched.

    Raises:
        ArtifactError: If there is no such folder and the hub does not give one.
    """
    folder = Path(path_or_hub_id)
    for place in (folder, folder / ARTIFACT):
        if (place / CONFIG).is_file():
            return place
    if folder.is_file():
        raise ArtifactError(f"{folder}: a file, and an artifact is a folder")
    if (folder / ENSEMBLE).is_file():
        raise ArtifactError(
            f"{folder}: an ensemble, where one model was expected",
            f"take one of its members, such as {folder / 'member-1'}",
        )
    if folder.exists():
        raise ArtifactError(
            f"{folder}: no {CONFIG} in it or in {ARTIFACT}/, so it is no artifact and no "
            "finished run"
        )
    name = str(path_or_hub_id)
    if isinstance(path_or_hub_id, Path) or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ArtifactError(
            f"{name}: no such folder, and not a hub id, which looks like owner/name"
        )
    try:
        return _fetched(name)
    # The hub's client lets errors of several network libraries through.
    except Exception as error:
        reason, _, _ = str(error).partition("\n")
        raise ArtifactError(
            f"{name}: there is no folder of that name here, and the hub gave nothing "
            f"({type(error).__name__}: {reason})",
            f"where the hub cannot be reached, copy {CONFIG} and the files that it lists into a "
            "folder and give its path",
        ) from error


def _fetched(name: str) -> Path:
    """Fetches what ``config.json`` lists, and nothing else of the repository."""
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download(name, allow_patterns=[CONFIG, METADATA, CARD]))
    listed = read_json_object(folder / CONFIG).get("files")
    names = [WEIGHTS, *filter(is_file_name, listed if isinstance(listed, dict) else ())]
    return Path(snapshot_download(name, allow_patterns=[CONFIG, METADATA, CARD, *names]))
