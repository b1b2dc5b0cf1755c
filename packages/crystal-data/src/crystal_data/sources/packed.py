"""Files opened for reading as they are or out of a ``.gz`` or ``.zip``."""

import codecs
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile, GzipFile
from pathlib import Path
from typing import IO, Any, cast

from typing_extensions import override

from crystal_data.errors import SourceError

_CHUNK = 1 << 18


@contextmanager
def open_packed(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading bytes, out of a ``.gz`` or a ``.zip`` that holds one file.

    Raises:
        SourceError: If a ``.zip`` holds none or several files, or the file is damaged.
    """
    try:
        suffix = path.suffix.lower()
        if suffix == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(_only_name(archive, path)) as file:
                yield io.BufferedReader(cast(io.RawIOBase, file))
        elif suffix == ".gz":
            with GzipFile(path) as unpacked:
                yield io.BufferedReader(cast(io.RawIOBase, unpacked))
        else:
            with path.open("rb") as plain:
                yield plain
    except (BadGzipFile, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise SourceError(f"{path} is damaged: {error}", "fetch or pack it anew") from error
    except (NotImplementedError, RuntimeError) as error:  # a password, an unknown compression
        if suffix != ".zip":
            raise
        raise SourceError(f"{path} cannot be unpacked: {error}", "unpack it first") from error
    except UnicodeError as error:
        raise SourceError(f"{path} is not text in UTF-8: {error}", "save it as UTF-8") from error


def _only_name(archive: zipfile.ZipFile, path: Path) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        raise SourceError(f"{path} holds {len(names)} files; expected exactly one")
    return names[0]


@contextmanager
def open_text(path: Path, longest_line: int | None = None) -> Iterator[IO[str]]:
    """Open a text file, packed or not, in UTF-8 or in UTF-16 with its mark, line ends as stored.

    Args:
        path: The file.
        longest_line: Bytes; a file with a longer line is refused before the line is held.

    Raises:
        SourceError: If the file is damaged, is no text, or has a line that is too long.
    """
    with open_packed(path) as packed:
        file = packed
        if longest_line is not None:
            file = io.BufferedReader(_BoundedLines(packed, longest_line, path), _CHUNK)
        wide = file.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        with io.TextIOWrapper(file, "utf-16" if wide else "utf-8-sig", newline="") as text:
            yield text


class _BoundedLines(io.RawIOBase):
    """Bytes of a file, as long as no line of them is too long."""

    def __init__(self, file: io.BufferedReader, longest: int, path: Path) -> None:
        super().__init__()
        self._file = file
        self._longest = longest
        self._path = path
        self._length = 0  # of the line so far

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer)
        chunk = bytes(buffer[:count])
        last = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        self._length = count - last - 1 if last >= 0 else self._length + count
        if self._length > self._longest:
            raise SourceError(
                f"{self._path} has a line of more than {self._longest >> 20} MB, so it is no table "
                "of structures"
            )
        return count
