"""Files from the network: resumed, retried, verified, and moved into place in one step."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import requests
from filelock import FileLock
from rich.console import Console
from rich.progress import Progress

from crystal_data.io.files import write_text
from crystal_data.sources.hashing import hash_file, remembered_hash

_RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A public file and where it goes.

    Args:
        path: Below the data home, such as ``"mp_20/train.csv"``.
        urls: Where it can be fetched, tried in this order; none if it is to be placed by hand.
        size: In bytes; None where nobody has verified it.
        sha256: Hexadecimal digits; None where nobody has verified it.
    """

    path: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None


class DownloadError(OSError):
    """A file that could not be fetched or is not the one expected."""


class _TryAgainError(Exception):
    """A fault that may pass."""


class _GiveUpError(Exception):
    """A fault that stays, so that only another address can help."""


def find_file(file: RemoteFile, home: Path) -> Path | None:
    """The file as published, or packed or unpacked by hand; None if it is not there."""
    path = home / file.path
    plain = path.with_suffix("") if path.suffix in (".gz", ".zip") else path
    for candidate in (path, plain, plain.with_name(f"{plain.name}.gz")):
        if candidate.is_file():
            return candidate
    return None


def fetch(
    file: RemoteFile,
    home: Path,
    *,
    attempts: int = 5,
    backoff: float = 1.0,
    timeout: float = 30.0,
) -> Path:
    """Path of a file, downloaded first if it is not there.

    Processes that ask for one file at once download it once. A hash that the registry does not
    know is written to ``downloads.json`` beside the file at the first download, and the file must
    have it from then on.

    Args:
        file: What to fetch.
        home: The data home.
        attempts: Tries for each address.
        backoff: Seconds before the second try; doubled for each further one.
        timeout: Seconds without an answer that count as a failed try.

    Raises:
        DownloadError: With the address and the path where a file fetched by hand is looked for.
    """
    found = find_file(file, home)
    if found is not None:
        _check_present(file, found, home)
        return found
    path = home / file.path
    if not file.urls:
        raise DownloadError(
            f"{path} is missing, and no address is known for it; place it there by hand, or set "
            "CRYSTAL_DATA_HOME to the folder that has it"
        )
    with _folder_lock(file, path):
        found = find_file(file, home)
        if found is None:
            _download(file, path, attempts, backoff, timeout)
            found = path
    return found


@contextmanager
def _folder_lock(file: RemoteFile, path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{path}.lock")
        lock.acquire()
    except OSError as error:
        raise DownloadError(_advice(file, path, f"the folder cannot be written: {error}")) from None
    try:
        yield
    finally:
        lock.release()


def _advice(file: RemoteFile, path: Path, faults: str) -> str:
    return (
        f"{path.name} could not be downloaded: {faults}. Fetch {' or '.join(file.urls)} by other "
        f"means and place it at {path}, or set CRYSTAL_DATA_HOME to a folder that has {file.path}"
    )


def _download(file: RemoteFile, path: Path, attempts: int, backoff: float, timeout: float) -> None:
    faults = []
    for url in file.urls:
        for attempt in range(attempts):
            if attempt:
                time.sleep(backoff * 2 ** (attempt - 1))
            try:
                _transfer(url, path, timeout)
                _accept(file, url, path)
                return
            except _TryAgainError as error:
                fault = f"{url}: {error}"
            except _GiveUpError as error:
                fault = f"{url}: {error}"
                break
        faults.append(fault)
    raise DownloadError(_advice(file, path, "; ".join(faults)))


def _transfer(url: str, path: Path, timeout: float) -> None:
    """One try: the rest of ``<path>.part`` if the server can go on there, else all of it."""
    part, tag_file = _part(path), _tag_file(path)
    tag = tag_file.read_text(encoding="utf-8") if tag_file.is_file() and part.is_file() else ""
    start = part.stat().st_size if tag else 0
    # identity: sizes and ranges are those of the file, not of a packed transfer.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": tag}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            _check_status(response, part)
            goes_on = response.status_code == requests.codes.partial_content
            if goes_on and not _range_starts_at(response, start):
                part.unlink(missing_ok=True)
                raise _TryAgainError("the server sent another range than asked for")
            tag_file.write_text(_strong_tag(response), encoding="utf-8")
            _receive(response, part, start if goes_on else 0)
    except requests.RequestException as error:
        raise _TryAgainError(f"{type(error).__name__}: {error}") from None


def _check_status(response: requests.Response, part: Path) -> None:
    status = response.status_code
    if status == requests.codes.requested_range_not_satisfiable:
        part.unlink(missing_ok=True)
        raise _TryAgainError("the server refused to go on where the last try ended")
    if status in _RETRIED_STATUS:
        raise _TryAgainError(f"HTTP status {status} {response.reason}")
    if status not in (requests.codes.ok, requests.codes.partial_content):
        raise _GiveUpError(f"HTTP status {status} {response.reason}")


def _range_starts_at(response: requests.Response, start: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _strong_tag(response: requests.Response) -> str:
    # Without a tag that names this very content, a resumed file could be half of each of two.
    tag = response.headers.get("ETag", "")
    return "" if tag.startswith("W/") else tag or response.headers.get("Last-Modified", "")


def _receive(response: requests.Response, part: Path, start: int) -> None:
    length = response.headers.get("Content-Length")
    total = start + int(length) if length is not None else None
    console = Console(stderr=True)
    with (
        part.open("ab" if start else "wb") as out,
        Progress(console=console, disable=not console.is_terminal, transient=True) as progress,
    ):
        task = progress.add_task(part.stem, total=total, completed=start)
        for chunk in response.iter_content(_CHUNK):
            out.write(chunk)
            progress.advance(task, len(chunk))
        out.flush()
        os.fsync(out.fileno())
        received = out.tell()
    if total is not None and received != total:
        raise _TryAgainError(f"the transfer ended after {received} of {total} bytes")


def _accept(file: RemoteFile, url: str, path: Path) -> None:
    """Verify the part that has come in and move it to its place."""
    part = _part(path)
    size, sha256 = part.stat().st_size, hash_file(part)
    recorded = _recorded(path)
    expected = file.sha256 or recorded
    if (file.size is not None and size != file.size) or (expected and sha256 != expected):
        part.unlink()
        _tag_file(path).unlink(missing_ok=True)
        known = "the registry" if file.sha256 else f"{_log_path(path)} (first download)"
        raise _GiveUpError(
            f"got {size} bytes with sha256 {sha256}, expected {file.size or 'any number of'} "
            f"bytes with sha256 {expected or 'not known'} from {known}"
        )
    if recorded is None:
        _record(path, url, size, sha256)
    part.replace(path)
    _tag_file(path).unlink(missing_ok=True)


def _check_present(file: RemoteFile, found: Path, home: Path) -> None:
    if found != home / file.path:
        return  # packed otherwise by hand, so it has other bytes than the published file
    recorded = _recorded(found)
    expected = file.sha256 or recorded
    if expected is None:
        return
    actual = remembered_hash(found)
    if actual != expected:
        origin = "the registry" if file.sha256 else str(_log_path(found))
        raise DownloadError(
            f"{found} has sha256 {actual}, but {origin} says {expected}; the file was "
            "changed or cut short: delete it, so that it is downloaded anew"
        )


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _tag_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.part.tag")


def _log_path(path: Path) -> Path:
    return path.with_name("downloads.json")


def _log(path: Path) -> dict[str, dict[str, object]]:
    log = _log_path(path)
    return json.loads(log.read_text(encoding="utf-8")) if log.is_file() else {}


def _recorded(path: Path) -> str | None:
    entry = _log(path).get(path.name)
    return str(entry["sha256"]) if entry else None


def _record(path: Path, url: str, size: int, sha256: str) -> None:
    with FileLock(f"{_log_path(path)}.lock"):
        entry: dict[str, object] = {
            "url": url,
            "size": size,
            "sha256": sha256,
            "downloaded": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        entries = _log(path) | {path.name: entry}
        write_text(_log_path(path), json.dumps(entries, indent=2, sort_keys=True) + "\n")
