"""Lines with checksums, appended by any number of processes and read after any kill."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO
from zlib import crc32

SUFFIX = ".jsonl"
_NAME = "{pid}-{token}" + SUFFIX


def checked_line(values: Mapping[str, Any]) -> bytes:
    """Plain values as a line with its own checksum; numbers keep all their digits."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
    return b"%08x %s\n" % (crc32(text), text)


def values_of_line(line: bytes) -> dict[str, Any] | None:
    """The values of a line without its line feed; None if it is not whole."""
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % crc32(text) or not text:
        return None
    values: dict[str, Any] = json.loads(text)
    return values


def read_checked_lines(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The whole lines of some files; what a kill has cut is passed over."""
    for path in files:
        with path.open("rb") as file:
            for line in file:
                values = values_of_line(line.removesuffix(b"\n"))
                if values is not None:
                    yield values


class LineFile:
    """A file of its own to which one process appends lines.

    A process that is started again begins another file, so that nothing is ever written behind a
    line that a kill has cut.

    Args:
        folder: Of the files of all processes; made when the first line is written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME.format(pid=os.getpid(), token=token_hex(4))
        self._file: BinaryIO | None = None

    def append(self, lines: Iterable[bytes]) -> None:
        """Write lines at once; they are on disk when this returns."""
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
        self._file.write(b"".join(lines))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
