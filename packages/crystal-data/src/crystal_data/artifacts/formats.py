"""Formats of ``config.json``, and how each becomes the present one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from crystal_data.artifacts.files import CONFIG
from crystal_data.artifacts.registry import ArtifactError
from crystal_data.io.checked_json import verify_checksum
from crystal_data.io.own_files import DamagedFileError

FORMAT_VERSION = 3


def _add_files(config: dict[str, Any]) -> dict[str, Any]:
    """Format 1 kept no hashes of the files, so there is nothing to compare them with."""
    return {**config, "files": None}


def _add_kind_and_fields(config: dict[str, Any]) -> dict[str, Any]:
    """Format 2 held models alone, called their class ``model``, and kept only units of targets.

    None had a base model, and all targets were numbers of crystals.
    """
    rest = {key: value for key, value in config.items() if key != "model"}
    targets = {}
    for name, scale in config["targets"].items():
        others = {key: value for key, value in scale.items() if key != "unit"}
        field = {"name": name, "unit": scale.get("unit", ""), "shape": []}
        targets[name] = {**others, "field": field}
    return {
        **rest,
        "kind": "model",
        "class_name": config["model"],
        "base": None,
        "targets": targets,
    }


# Format version to the function that lifts a config.json of that version to the next one.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _add_files,
    2: _add_kind_and_fields,
}


def lifted(config: dict[str, Any]) -> dict[str, Any]:
    """A config of a known format in the present one.

    Raises:
        KeyError: If a part of it is missing.
    """
    for step in range(config["format_version"], FORMAT_VERSION):
        config = MIGRATIONS[step](config)
    return config


def verified_config(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The content of a ``config.json``, checked as far as all formats are, in the present format.

    Args:
        config: Its content.
        folder: The artifact, for messages.

    Raises:
        ArtifactError: If it was written by a newer version.
        DamagedFileError: If its checksum does not fit.
        KeyError: If a part of it is missing.
    """
    version = config.get("format_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ArtifactError(f"{folder / CONFIG}: format_version is {version!r}, not a number")
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"{folder}: written in format {version}, this version reads up to {FORMAT_VERSION}",
            f"upgrade {str(config.get('package', 'crystal-data')).replace('_', '-')}",
        )
    if version > 1:
        verify_checksum(config, folder / CONFIG)
        if not isinstance(config.get("files"), dict):
            raise DamagedFileError(folder / CONFIG, "the hashes of the files are missing")
    return lifted(config)
