"""Files opened for reading as they are or out of a ``.gz`` or ``.zip``."""

import codecs
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile, GzipFile
from pathlib import Path
from typing import IO, cast

from crystal_data.errors import SourceError


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
