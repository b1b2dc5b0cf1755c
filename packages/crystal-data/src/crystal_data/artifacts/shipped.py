"""The trained models that come with the installed packages, found by name."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from crystal_data.artifacts.registry import ArtifactError
from crystal_data.shipped_configs import announcing_packages


@cache
def announced_artifacts() -> Mapping[str, Path]:
    """Name and folder of each model in ``pretrained/`` of a package that announces configs."""
    files = (
        file
        for package in announcing_packages()
        for file in sorted((package / "pretrained").glob("*/config.json"))
    )
    return {file.parent.name: file.parent for file in files}


def find_artifact(text: str) -> str | Path:
    """The folder of a model that ships, where no folder is called so; all else as it is.

    Raises:
        ArtifactError: If the text is nearly the name of a model that ships.
    """
    if Path(text).expanduser().exists():
        return text
    shipped = announced_artifacts()
    if text not in shipped and (near := get_close_matches(text, shipped, n=1)):
        raise ArtifactError(f"no model or folder '{text}'; did you mean '{near[0]}'?")
    return shipped.get(text, text)
