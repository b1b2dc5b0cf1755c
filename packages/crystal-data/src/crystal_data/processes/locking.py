"""Folders that one process at a time makes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from crystal_data.processes.progress import say

# Long enough that a build which is about to end goes without a message.
_PATIENCE_SECONDS = 2.0


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder that need not exist yet, and clears what killed builds left.

    The system frees the lock of a process that dies. So whoever holds it knows that the folders
    of unfinished builds beside it belong to nobody.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        lock.acquire(timeout=_PATIENCE_SECONDS)
    except Timeout:
        say(f"waiting for another process that is building {folder}")
        lock.acquire()
    try:
        for leftover in folder.parent.glob(f".{folder.name}.building-*"):
            shutil.rmtree(leftover)
        yield
    finally:
        lock.release()
