"""Content hashes of files, remembered while size and time of change stay the same."""

import hashlib
import json
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from crystal_data.homes import cache_home
from crystal_data.io.files import write_text

# A file that was changed this recently may change again without a new time stamp.
_SETTLED_SECONDS = 2.0


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_hash(path: Path) -> str:
    """:func:`hash_file`, read through once while size and time of change stay the same."""
    return _remembered("file", [path], lambda: hash_file(path))


def hash_files(paths: Sequence[Path]) -> str:
    """SHA-256 over names and contents of files, in their order; one that cannot be read has none.

    The result is remembered in the cache home under paths, sizes and times of change, so that a
    folder of many files is read through once.

    Raises:
        FileNotFoundError: If one of the files does not exist.
    """

    def compute() -> str:
        digest = hashlib.sha256()
        for path in paths:
            try:
                content = hash_file(path)
            except FileNotFoundError:
                raise
            except OSError:  # what reads it says so, and goes on with the others
                content = "unreadable"
            digest.update(f"{path.name}\0{content}\n".encode())
        return digest.hexdigest()

    return _remembered("files", paths, compute)


def _remembered(what: str, paths: Sequence[Path], compute: Callable[[], str]) -> str:
    stats = [path.stat() for path in paths]
    places = [
        (str(path.absolute()), stat.st_size, stat.st_mtime_ns)
        for path, stat in zip(paths, stats, strict=True)
    ]
    key = hashlib.sha256(json.dumps([what, places]).encode()).hexdigest()
    memo = cache_home() / "fingerprints" / key
    if known := _read_memo(memo):
        return known
    digest = compute()
    newest = max((stat.st_mtime for stat in stats), default=0.0)
    if time.time() - newest > _SETTLED_SECONDS:
        try:
            write_text(memo, _with_checksum(digest))
        except OSError:
            # A cache home that cannot be written costs time, never correctness.
            return digest
    return digest


def _with_checksum(digest: str) -> str:
    return f"{digest} {zlib.crc32(digest.encode()):08x}"


def _read_memo(path: Path) -> str:
    """The hash that was remembered; empty if there is none, or the file is damaged."""
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
    digest = text.partition(" ")[0]
    return digest if text == _with_checksum(digest) else ""
