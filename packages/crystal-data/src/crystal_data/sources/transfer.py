"""One try to fetch a file: what a server says is not trusted, nor what lies in the folder."""

import os
import re
import stat
from pathlib import Path

import requests
from rich.console import Console
from rich.progress import Progress

from crystal_data.io.files import write_text

_RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHUNK = 1 << 16
# An ETag, or a date: what can be sent back to a server as it came.
_TAG = re.compile(r'"[!#-~]*"|[0-9A-Za-z][0-9A-Za-z ,:+-]*')


class TryAgainError(Exception):
    """A fault that may pass."""


class GiveUpError(Exception):
    """A fault that stays, so that only another address can help."""


def part_path(path: Path) -> Path:
    """Where a file is until it is whole."""
    return path.with_name(f"{path.name}.part")


def _tag_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.part.tag")


def transfer(url: str, path: Path, timeout: float, size: int | None) -> None:
    """One try: the rest of ``<path>.part`` if the server can go on there, else all of it.

    Args:
        url: Where it is fetched.
        path: Where it goes in the end.
        timeout: Seconds without an answer.
        size: In bytes, if it is known; no more are received.

    Raises:
        TryAgainError: If another try may succeed.
        GiveUpError: If it may not.
        OSError: If the file cannot be written.
    """
    part = part_path(path)
    _remove_strange(part)
    _remove_strange(_tag_path(path))
    tag = _kept_tag(path) if part.exists() else ""
    start = part.stat().st_size if tag else 0
    # identity: sizes and ranges are those of the file, not of a packed transfer.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": tag}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            _check_status(response, path)
            goes_on = response.status_code == requests.codes.partial_content
            if not goes_on:
                start = 0
            total = _announced_size(response, start, path)
            if size is not None and total is not None and total != size:
                raise GiveUpError(f"the server has {total} bytes, expected {size}")
            write_text(_tag_path(path), _strong_tag(response))
            _receive(response, path, start, total if size is None else size)
    # The libraries let a ValueError through where an address or a length makes no sense.
    except (requests.RequestException, ValueError) as error:
        raise TryAgainError(f"{type(error).__name__}: {error}") from None


def _remove_strange(path: Path) -> None:
    """Removes what is no file of our own: to write through a link would change another file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        path.unlink()


def forget(path: Path) -> None:
    """Removes what lies beside the file: the next try begins anew."""
    part_path(path).unlink(missing_ok=True)
    _tag_path(path).unlink(missing_ok=True)


def _check_status(response: requests.Response, path: Path) -> None:
    status = response.status_code
    if status == requests.codes.requested_range_not_satisfiable:
        forget(path)
        raise TryAgainError("the server refused to go on where the last try ended")
    if status in _RETRIED_STATUS:
        raise TryAgainError(f"HTTP status {status} {response.reason}")
    if status not in (requests.codes.ok, requests.codes.partial_content):
        raise GiveUpError(f"HTTP status {status} {response.reason}")


def _announced_size(response: requests.Response, start: int, path: Path) -> int | None:
    """Bytes of the whole file as the headers say; None if they do not.

    Args:
        response: Its body begins at ``start``.
        start: Bytes that are there already.
        path: Where the file goes; what has come in is removed if the body begins elsewhere.
    """
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise GiveUpError("the server sends the file packed, though it was asked not to")
    length = response.headers.get("Content-Length")
    if length is not None and not re.fullmatch("[0-9]{1,18}", length):
        raise TryAgainError(f"the header Content-Length is {length!r:.50}, expected a number")
    if response.status_code != requests.codes.partial_content:
        return None if length is None else int(length)
    given = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", given)
    if found is None or int(found[1]) != start or int(found[2]) < start:
        forget(path)
        raise TryAgainError(
            f"the server sent another range than asked for: Content-Range is {given!r:.50}"
        )
    return int(found[2]) + 1 if found[3] == "*" else int(found[3])


def _strong_tag(response: requests.Response) -> str:
    # Without a tag that names this very content, a resumed file could be half of each of two.
    tag = response.headers.get("ETag", "")
    tag = "" if tag.startswith("W/") else tag or response.headers.get("Last-Modified", "")
    return tag if _TAG.fullmatch(tag) else ""


def _kept_tag(path: Path) -> str:
    """The tag of what ``<path>.part`` holds; empty if it is not known."""
    try:
        tag = _tag_path(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
    return tag if _TAG.fullmatch(tag) else ""


def _receive(response: requests.Response, path: Path, start: int, total: int | None) -> None:
    """Writes the body behind the first ``start`` bytes, never beyond ``total``."""
    console = Console(stderr=True)
    # A link that has come there meanwhile is an error of the system; Windows has no such flag.
    mode = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    received = start
    with (
        os.fdopen(os.open(part_path(path), mode, 0o666), "wb") as out,
        Progress(console=console, disable=not console.is_terminal, transient=True) as progress,
    ):
        out.truncate(start)
        out.seek(start)
        task = progress.add_task(path.name, total=total, completed=start)
        for chunk in response.iter_content(_CHUNK):
            received += len(chunk)
            if total is not None and received > total:
                break
            out.write(chunk)
            progress.advance(task, len(chunk))
        out.flush()
        os.fsync(out.fileno())
    if total is not None and received > total:
        forget(path)
        raise GiveUpError(f"the server sent more than the {total} bytes that were expected")
    if total is not None and received != total:
        raise TryAgainError(f"the transfer ended after {received} of {total} bytes")
