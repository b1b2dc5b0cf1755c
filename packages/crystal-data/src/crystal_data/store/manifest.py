"""``manifest.json``: what a folder of columns holds, and the check that all of it is there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT_VERSION = 2
MANIFEST = "manifest.json"


class StoreError(RuntimeError):
    """A store that cannot be used: incomplete, damaged, or of a format from the future."""


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes the manifest, with the size of every other file of the folder."""
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    text = json.dumps({"format_version": FORMAT_VERSION, **content, "files": sizes}, indent=1)
    (folder / MANIFEST).write_text(text, encoding="utf-8", newline="\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads the manifest and checks the folder's files against it.

    Raises:
        StoreError: If it is missing, of a newer format, or a file has another size.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        found = manifest["format_version"]
        sizes = manifest["files"]
    except FileNotFoundError:
        raise StoreError(f"{folder}: there is no {MANIFEST}, so this is no store") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{folder / MANIFEST}: unreadable ({error}); delete the folder to have it built anew"
        ) from error
    if found != FORMAT_VERSION:
        raise StoreError(
            f"{folder}: store format {found}, this crystal-data reads format {FORMAT_VERSION}; "
            "upgrade crystal-data, or delete the folder to have it built anew"
        )
    for name, expected in sizes.items():
        try:
            size = (folder / name).stat().st_size
        except FileNotFoundError:
            size = -1
        if size != expected:
            state = "is missing" if size < 0 else f"has {size} bytes, expected {expected}"
            raise StoreError(
                f"{folder / name}: {state}; the store is damaged, delete {folder} to have it "
                "built anew"
            )
    return manifest
