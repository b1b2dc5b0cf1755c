"""Files from the network: resumed, retried, verified, and moved into place in one step."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from crystal_data.errors import CrystalError
from crystal_data.io.checked_json import read_json_object
from crystal_data.io.files import write_text
from crystal_data.io.own_files import DamagedFileError
from crystal_data.sources.hashing import hash_file, remembered_hash
from crystal_data.sources.transfer import GiveUpError, TryAgainError, forget, part_path, transfer

_SHA256 = re.compile("[0-9a-f]{64}")


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


class DownloadError(CrystalError):
    """A file that could not be fetched or is not the one expected."""


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
            f"{path} is missing, and no address is known for it",
            "place it there by hand, or set CRYSTAL_DATA_HOME to the folder that has it",
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
                transfer(url, path, timeout, _known_size(file, path))
                _accept(file, url, path)
                return
            except DownloadError:
                raise
            except TryAgainError as error:
                fault = f"{url}: {error}"
            except GiveUpError as error:
                fault = f"{url}: {error}"
                break
            except OSError as error:  # a full disk, a folder in the file's place
                fault = f"the file cannot be written: {error}"
                raise DownloadError(_advice(file, path, fault)) from error
        faults.append(fault)
    raise DownloadError(_advice(file, path, "; ".join(faults)))


def _known_size(file: RemoteFile, path: Path) -> int | None:
    entry = _recorded(path)
    return file.size if file.size is not None or entry is None else entry.size


def _accept(file: RemoteFile, url: str, path: Path) -> None:
    """Verify the part that has come in and move it to its place."""
    part = part_path(path)
    size, sha256 = part.stat().st_size, hash_file(part)
    recorded = _recorded(path)
    expected = file.sha256 or (recorded and recorded.sha256)
    if (file.size is not None and size != file.size) or (expected and sha256 != expected):
        forget(path)
        known = "the registry" if file.sha256 else f"{_log_path(path)} (first download)"
        raise GiveUpError(
            f"got {size} bytes with sha256 {sha256}, expected {file.size or 'any number of'} "
            f"bytes with sha256 {expected or 'not known'} from {known}"
        )
    if recorded is None:
        _record(path, url, size, sha256)
    part.replace(path)
    forget(path)


def _check_present(file: RemoteFile, found: Path, home: Path) -> None:
    if found != home / file.path:
        return  # packed otherwise by hand, so it has other bytes than the published file
    recorded = _recorded(found)
    expected = file.sha256 or (recorded and recorded.sha256)
    if expected is None:
        return
    # A hash that was remembered wrongly would blame the file for ever, so it is made again.
    if remembered_hash(found) != expected and (actual := hash_file(found)) != expected:
        origin = "the registry" if file.sha256 else str(_log_path(found))
        raise DownloadError(
            f"{found} has sha256 {actual}, but {origin} says {expected}; the file was "
            "changed or cut short: delete it, so that it is downloaded anew"
        )


def _log_path(path: Path) -> Path:
    return path.with_name("downloads.json")


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What the log says of a file at its first download."""

    size: int
    sha256: str


def _log(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(_log_path(path))
    except FileNotFoundError:
        return {}
    except DamagedFileError as error:
        raise _log_error(path, error.without_remedy) from error


def _recorded(path: Path) -> _Recorded | None:
    entry = _log(path).get(path.name)
    if entry is None:
        return None
    size, sha256 = (entry.get(k) if isinstance(entry, dict) else None for k in ("size", "sha256"))
    if not isinstance(size, int) or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise _log_error(path, f"{_log_path(path)}: no size and sha256 of {path.name}")
    return _Recorded(size, sha256)


def _log_error(path: Path, problem: str) -> DownloadError:
    return DownloadError(
        problem, f"delete {_log_path(path)}: what it holds is recorded again at the next download"
    )


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
