"""JSON lists that are too large to hold, read one element at a time."""

import codecs
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile, GzipFile
from pathlib import Path
from typing import IO, Any, cast

from crystal_data.errors import SourceError

_CHUNK = 1 << 20
_SPACE = " \t\r\n"


@contextmanager
def open_packed(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading bytes, out of a ``.gz`` or a ``.zip`` that holds one file.

    Raises:
        SourceError: If a ``.zip`` holds none or several files, or the file is damaged.
    """
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(_only_name(archive, path)) as file:
                yield io.BufferedReader(cast(io.RawIOBase, file))
        elif path.suffix == ".gz":
            with GzipFile(path) as unpacked:
                yield io.BufferedReader(cast(io.RawIOBase, unpacked))
        else:
            with path.open("rb") as plain:
                yield plain
    except (BadGzipFile, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise SourceError(f"{path} is damaged: {error}; fetch or pack it anew") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not text in UTF-8: {error}") from error


def _only_name(archive: zipfile.ZipFile, path: Path) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        raise SourceError(f"{path} holds {len(names)} files; expected exactly one")
    return names[0]


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Open a text file, packed or not, in UTF-8 or in UTF-16 with its mark, line ends as stored."""
    with open_packed(path) as file:
        wide = file.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        with io.TextIOWrapper(file, "utf-16" if wide else "utf-8-sig", newline="") as text:
            yield text


def iter_json_list(path: Path) -> Iterator[Any]:
    """Elements of the list that a JSON file holds, in memory for one at a time.

    Args:
        path: A ``.json`` file, or one inside ``.gz`` or ``.zip``.

    Raises:
        SourceError: If the file does not hold a list, or ends within it.
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
            else:
                # Only what follows tells that a number does not go on in the next chunk.
                if buffer.startswith(("]", ","), _skip(buffer, after, _SPACE)):
                    yield value
                    position = after
                    continue
                if ended:
                    raise SourceError(f"{path} ends within its list")
            chunk = file.read(max(_CHUNK, len(buffer) - position))
            ended = not chunk
            buffer, position = buffer[position:] + chunk, 0


def _skip(buffer: str, position: int, characters: str) -> int:
    while position < len(buffer) and buffer[position] in characters:
        position += 1
    return position
