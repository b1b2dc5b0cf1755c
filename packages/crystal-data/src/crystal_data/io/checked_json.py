"""JSON files that carry a checksum of their own content."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystal_data.io.own_files import DamagedFileError

CHECKSUM = "sha256"


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content and, under ``sha256``, the hash of the rest.

    Line ends, indents and the order of keys do not count, so that an editor or a version control
    system may change them.

    Args:
        content: Plain JSON.
    """
    # Hashed as it will be read: tuples have become lists, keys text.
    plain: dict[str, Any] = json.loads(json.dumps(content))
    return {**plain, CHECKSUM: _digest(plain)}


def verify_checksum(content: Mapping[str, Any], path: Path) -> None:
    """Compares what was read with its checksum.

    Args:
        content: All of the file.
        path: Its name, for the message.

    Raises:
        DamagedFileError: If the checksum is missing or another.
    """
    rest = {key: value for key, value in content.items() if key != CHECKSUM}
    if content.get(CHECKSUM) != _digest(rest):
        raise DamagedFileError(path, "its checksum does not fit: it was changed or damaged")


def read_json_object(path: Path) -> dict[str, Any]:
    """Reads a JSON file whose outermost value is an object.

    Raises:
        FileNotFoundError: If there is no such file.
        DamagedFileError: If it cannot be read, or holds something else.
    """
    if path.exists() and not path.is_file():
        raise DamagedFileError(path, "a folder or pipe, where a file was expected")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except RecursionError:
        raise DamagedFileError(path, "the JSON is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise DamagedFileError(path, f"unreadable: {error}") from error
    if not isinstance(content, dict):
        raise DamagedFileError(path, f"a JSON object was expected, not {type(content).__name__}")
    return content


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
