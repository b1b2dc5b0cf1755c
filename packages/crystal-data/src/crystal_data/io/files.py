"""Bytes of a file to text; files and folders that are whole or absent."""

import csv
import errno
import io
import os
import re
import shutil
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from gzip import GzipFile
from pathlib import Path
from secrets import token_hex
from typing import Any

from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.csv_cells import written_cell

# What atomic_path and atomic_folder write into.
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.tmp|\..+\.building-[0-9a-f]{8}(-old)?")
MAX_TEXT_BYTES = 256 << 20  # of one file that is read as a whole, unpacked
_UTF8_MARK, _UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES,
                errno.EISDIR}  # fmt: skip
_CONTROL = "".join(map(chr, set(range(32)) - set(b"\t\n\v\f\r")))
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_HEADS = {b"PK\x03\x04": "a zip archive", b"%PDF": "a PDF", b"\x1f\x8b": "gzip data"}


def read_text(path: Path, identifier: str = "") -> str:
    """Text of a file: UTF-8, UTF-16 with or without byte-order mark, or Latin-1; unpacks ``.gz``.

    Raises:
        InvalidCrystalError: ``MISSING_FILE``, ``EMPTY``, or ``UNREADABLE`` for what is no text, no
            regular file, or more than 256 MB, unpacked.
    """
    what = irregular_kind(path)
    if what:
        reason = Reason.MISSING_FILE if path.is_symlink() else Reason.UNREADABLE
        detail = f"this is {what}, a file was expected; put the file itself here"
        raise InvalidCrystalError(identifier, reason, detail)
    try:
        with path.open("rb") as file:
            is_packed = path.suffix.lower() == ".gz"
            # No more is unpacked than the limit: 3 MB can hold 3 GB.
            data = (GzipFile(fileobj=file) if is_packed else file).read(MAX_TEXT_BYTES + 1)
    except FileNotFoundError as error:
        detail = f"there is no file {path}"
        raise InvalidCrystalError(identifier, Reason.MISSING_FILE, detail) from error
    except (OSError, EOFError, zlib.error) as error:
        detail = f"{path} cannot be read: {error}"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail) from error
    if len(data) > MAX_TEXT_BYTES:
        detail = (
            f"the file has more than {MAX_TEXT_BYTES >> 20} MB{' unpacked' if is_packed else ''}; "
            "divide it, or put many structures into a table: CSV, Parquet or JSON Lines"
        )
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    return decode(data, identifier)


def irregular_kind(path: Path) -> str:
    """What stands at a path instead of a file; empty for a file, and where there is nothing."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link to a file that does not exist" if path.is_symlink() else ""
    except OSError as error:
        return "a link that leads to itself" if error.errno == errno.ELOOP else ""
    return next((what for is_kind, what in _KINDS if is_kind(mode)), "")


def decode(data: bytes, identifier: str = "") -> str:
    """Text of bytes; see ``read_text``."""
    if not data.strip(b" \t\r\n\0"):
        raise InvalidCrystalError(identifier, Reason.EMPTY, "the file is empty")
    for head, what in _HEADS.items():
        if data.startswith(head):
            detail = f"this is {what}, a text was expected; unpack or convert it first"
            raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    encoding = _encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    text = text.lstrip("\ufeff").rstrip("\x1a")  # Ctrl-Z ends old DOS files
    if any(map(text.__contains__, _CONTROL)):
        detail = "this is binary data, a text was expected"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    if text.lstrip()[:1] == "<":
        detail = f"this is HTML or XML, not a structure: {text.strip()[:40]!r}"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    return text


def _encoding(data: bytes) -> str:
    if data.startswith(_UTF16_MARKS):
        return "utf-16"
    if data.startswith(_UTF8_MARK):
        return "utf-8-sig"
    head = data[:200]
    # ASCII in UTF-16 has a zero in every second byte; which one gives the order.
    if len(head) > 3 and not any(head[1::2]):
        return "utf-16-le"
    if len(head) > 3 and not any(head[::2]):
        return "utf-16-be"
    return "utf-8"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path to write to; moved to ``path`` when the block ends well, removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{token_hex(8)}.tmp")
    try:
        with errors_named(path):
            yield temporary
            _sync_file(temporary)
            temporary.replace(path)
            _sync_folder(path.parent)
    finally:
        with suppress(OSError):  # on a read-only disk even if there is no such file
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """An empty folder that takes its place when the block ends well, and vanishes when it does not.

    What stands there already is replaced: processes that have mapped its files keep them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.building-{token_hex(4)}")
    temporary.mkdir()
    try:
        with errors_named(path):
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync_file(file)
            _replace_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Removes what a process that was killed while it wrote has left in a folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if _UNFINISHED.fullmatch(path.name) and path.is_dir():
            shutil.rmtree(path)
        elif _UNFINISHED.fullmatch(path.name):
            path.unlink(missing_ok=True)


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Errors of a full disk and the like name what was to be written, not a temporary file.

    Args:
        path: What is written within the block.
    """
    try:
        yield
    except OSError as error:
        inner = error.filename is None or path.parent in Path(error.filename).parents
        if error.errno in _OF_THE_DISK and inner:
            error.filename, error.filename2 = str(path), None
        raise


def _replace_folder(new: Path, path: Path) -> None:
    # A folder that is not empty cannot be replaced in one step, so the old one is moved aside.
    retired = new.with_name(f"{new.name}-old")
    if path.exists():
        path.replace(retired)
    try:
        new.replace(path)
    except OSError:
        if retired.exists():
            retired.replace(path)
        raise
    _sync_folder(path.parent)
    shutil.rmtree(retired, ignore_errors=True)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # cannot do that
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text in one step: the file has all of it or is as it was."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def csv_text(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table as the text of a CSV file, with line feeds on every system.

    Text that a spreadsheet would run as a formula is written as text; see ``written_cell``.
    """
    return csv_lines([header, *rows])


def csv_lines(rows: Iterable[Iterable[Any]]) -> str:
    """Rows of a CSV file as ``csv_text`` writes them, without a header."""
    text = io.StringIO()
    plain = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        cells = [written_cell(cell) for cell in row]
        # The csv module quotes line feeds by itself, but not carriage returns.
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (quoted if has_return else plain).writerow(cells)
    return text.getvalue()
