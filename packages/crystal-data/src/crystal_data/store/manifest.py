"""``manifest.json``: what a folder of columns holds, and the check that it still holds that.

Every file is kept with its size and CRC-32, which finds all errors of up to 32 bits in a row and
others with a chance of 1 - 2e-10. It reads 1 to 4 GB in a second, so the 0.4 GB of a million
structures are checked in less than the time that Python takes to import torch.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from crystal_data.errors import CrystalError
from crystal_data.io.checked_json import (
    read_json_object,
    verify_checksum,
    with_checksum,
)
from crystal_data.io.own_files import DamagedFileError
from crystal_data.store.columns import map_array

FORMAT_VERSION = 3
MANIFEST = "manifest.json"

_BUFFER_BYTES = 1 << 20


class StoreError(CrystalError):
    """A store that cannot be used: incomplete, damaged, or of another format."""


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes the manifest, with size and checksum of every other file of the folder."""
    files = {
        path.name: {"bytes": path.stat().st_size, "crc32": _crc32(path)}
        for path in sorted(folder.iterdir())
        if path.is_file()
    }
    manifest = with_checksum({"format_version": FORMAT_VERSION, **content, "files": files})
    text = json.dumps(manifest, indent=1)
    (folder / MANIFEST).write_text(text, encoding="utf-8", newline="\n")


def read_manifest(folder: Path, *, check: bool = True) -> dict[str, Any]:
    """Reads the manifest and checks the folder's files against it.

    Args:
        folder: Of the columns.
        check: Read all files and compare their checksums. Without it only their sizes are
            compared, which is for processes whose parent has just checked them.

    Raises:
        StoreError: If it is missing, of another format, or a file is not as it was written.
    """
    path = folder / MANIFEST
    remedy = f"delete {folder} to have it built again"
    try:
        manifest = read_json_object(path)
        found = manifest.get("format_version")
        if found == FORMAT_VERSION:
            verify_checksum(manifest, path)
    except FileNotFoundError:
        raise StoreError(f"{folder}: there is no {MANIFEST}, so this is no store") from None
    except DamagedFileError as error:
        raise StoreError(error.without_remedy, remedy) from error
    if found != FORMAT_VERSION:
        raise StoreError(
            f"{folder}: store format {found!r}, this crystal-data reads format {FORMAT_VERSION}",
            f"use the crystal-data that wrote it, or {remedy}",
        )
    for name, expected in manifest["files"].items():
        fault = _fault(folder / name, expected, check=check)
        if fault:
            raise StoreError(f"{folder / name}: {fault}: the store is damaged", remedy)
    return manifest


def map_columns(
    folder: Path, *, check: bool = True
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The manifest, and each ``.npy`` file as a memory map, by its name without the suffix.

    Raises:
        StoreError: As ``read_manifest``; also for a file that is no column.
    """
    manifest = read_manifest(folder, check=check)
    names = [name for name in manifest["files"] if name.endswith(".npy")]
    try:
        arrays = {name.removesuffix(".npy"): map_array(folder / name) for name in names}
    except (OSError, ValueError) as error:
        remedy = f"delete {folder} to have it built again"
        raise StoreError(f"{error}: the store is damaged", remedy) from error
    return manifest, arrays


def _fault(path: Path, expected: Mapping[str, Any], *, check: bool) -> str:
    """What is wrong with one file, empty if nothing is."""
    try:
        size = path.stat().st_size
        if size != expected["bytes"]:
            return f"has {size} bytes, expected {expected['bytes']}"
        if check and _crc32(path) != expected["crc32"]:
            return "its checksum does not fit"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def _crc32(path: Path) -> str:
    checksum, buffer = 0, memoryview(bytearray(_BUFFER_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            checksum = zlib.crc32(buffer[:count], checksum)
    return f"{checksum:08x}"
