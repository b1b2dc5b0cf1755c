"""Folders that are there whole or not at all, made by one process at a time."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from crystal_data.store.manifest import sync_folder
from crystal_data.store.progress import say

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


@contextmanager
def build_folder(folder: Path) -> Iterator[Path]:
    """An empty folder that takes its place when the block ends, and vanishes if it fails.

    The caller holds the lock of the place. What stands there already is replaced: processes that
    have mapped its files keep them.
    """
    prefix = f".{folder.name}.building-"
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=prefix))
    try:
        yield temporary
        # Others of the group that shares a cache must be able to read it, as with any new folder.
        temporary.chmod(0o777 & ~_umask())
        if folder.exists():
            retired = folder.replace(temporary.with_name(f"{temporary.name}-old"))
            temporary.replace(folder)
            shutil.rmtree(retired)
        else:
            temporary.replace(folder)
        sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
