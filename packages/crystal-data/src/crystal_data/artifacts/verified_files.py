"""Reads the files of an artifact, each as it was written or not at all."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystal_data.artifacts.files import CONFIG, METADATA, WEIGHTS
from crystal_data.artifacts.kinds import WITHOUT_WEIGHTS, is_file_name
from crystal_data.io.own_files import DamagedFileError


def sha256(content: bytes) -> str:
    """The hash that ``config.json`` keeps of a file."""
    return hashlib.sha256(content).hexdigest()


def hashes_in(config: Mapping[str, Any]) -> dict[str, str | None]:
    """The hash of each file that an artifact has by its config, None for those of format 1.

    Raises:
        KeyError: If that of the metadata is missing, or of weights that this kind has.
    """
    if config["files"] is None:
        return {WEIGHTS: None, METADATA: None}
    needed = [METADATA] if config["kind"] in WITHOUT_WEIGHTS else [WEIGHTS, METADATA]
    listed = {**{name: config["files"][name] for name in needed}, **config["files"]}
    return {name: str(value) for name, value in listed.items()}


def read_verified(folder: Path, hashes: Mapping[str, str | None]) -> dict[str, bytes]:
    """Contents of an artifact's files by name.

    Args:
        folder: The artifact.
        hashes: SHA-256 by file name; None where it is not known.

    Raises:
        DamagedFileError: If a name leads out of the folder, or a file is missing, a link, no
            regular file, or of another hash.
        OSError: If a file cannot be read.
    """
    contents = {}
    for name, expected in hashes.items():
        if not is_file_name(name):
            raise DamagedFileError(folder / CONFIG, f"{name!r:.100} is no name of a file beside it")
        contents[name] = _read(folder, name, is_listed=expected is not None)
        if expected is not None and sha256(contents[name]) != expected:
            raise DamagedFileError(
                folder / name, f"its sha256 is not that of {CONFIG}: it was changed or damaged"
            )
    return contents


def _read(folder: Path, name: str, *, is_listed: bool) -> bytes:
    path = folder / name
    if not _lies_in(folder, name):
        raise DamagedFileError(path, "a link, where a file was expected; put the file itself there")
    if not path.exists():
        raise DamagedFileError(path, f"missing; {CONFIG} lists it" if is_listed else "missing")
    if not path.is_file():
        raise DamagedFileError(path, "a folder or pipe, where a file was expected")
    return path.read_bytes()


def _lies_in(folder: Path, name: str) -> bool:
    """Whether a name leads to a file below the folder itself, and not through a link elsewhere.

    The hub's cache keeps the content of every file in ``blobs`` and links to it from
    ``snapshots/<commit>``, which is the folder.
    """
    home, file = folder.resolve(), (folder / name).resolve()
    is_cached = home.parent.name == "snapshots" and file.parent == home.parents[1] / "blobs"
    return is_cached or file == home / name
