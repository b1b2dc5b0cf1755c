"""JSON lists that are too large to hold, read one element at a time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crystal_data.errors import SourceError
from crystal_data.sources.packed import open_text

_CHUNK = 1 << 20
_LARGEST_ELEMENT = 256 << 20  # characters
_SPACE = " \t\r\n"


def iter_json_list(path: Path) -> Iterator[Any]:
    """Elements of the list that a JSON file holds, in memory for one at a time.

    Args:
        path: A ``.json`` file, or one inside ``.gz`` or ``.zip``.

    Raises:
        SourceError: If the file does not hold a list, ends within it, or has an element of more
            than 256 MB.
    """
    decoder = json.JSONDecoder()
    with open_text(path) as file:
        buffer = file.read(_CHUNK).lstrip(_SPACE)
        if not buffer.startswith("["):
            raise SourceError(f"{path} does not hold a JSON list: it begins {buffer[:40]!r}")
        position, ended = 1, False
        while True:
            position = _skip(buffer, position, _SPACE + ",")
            if buffer.startswith("]", position):
                return
            try:
                value, after = decoder.raw_decode(buffer, position)
            except json.JSONDecodeError as error:
                if ended:
                    raise SourceError(f"{path} is not complete JSON: {error}") from None
            except (ValueError, RecursionError) as error:  # a number or nesting beyond all bounds
                raise SourceError(f"{path} is no list of structures: {error}") from None
            else:
                # Only what follows tells that a number does not go on in the next chunk.
                if buffer.startswith(("]", ","), _skip(buffer, after, _SPACE)):
                    yield value
                    position = after
                    continue
                if ended:
                    raise SourceError(f"{path} ends within its list")
            if len(buffer) - position > _LARGEST_ELEMENT:
                raise SourceError(
                    f"{path} has an element of more than {_LARGEST_ELEMENT >> 20} MB, or is no JSON"
                )
            chunk = file.read(max(_CHUNK, len(buffer) - position))
            ended = not chunk
            buffer, position = buffer[position:] + chunk, 0


def _skip(buffer: str, position: int, characters: str) -> int:
    while position < len(buffer) and buffer[position] in characters:
        position += 1
    return position
