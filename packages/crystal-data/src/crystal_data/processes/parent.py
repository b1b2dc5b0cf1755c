"""Processes that end with the one that started them, even if that one was killed."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PARENT = "CRYSTAL_PARENT"  # environment variable: process id of who started this command
_NAME = "crystal-parent-watch"
_SECONDS = 0.5
_NO_PARENT = 1  # process id of who adopts orphans


@contextmanager
def as_parent() -> Iterator[None]:
    """Processes started within the block end when this one does, if they are commands of ours.

    An environment variable tells them; after the block it is as it was before.
    """
    earlier = os.environ.get(_PARENT)
    os.environ[_PARENT] = str(os.getpid())
    try:
        yield
    finally:
        if earlier is None:
            os.environ.pop(_PARENT, None)
        else:
            os.environ[_PARENT] = earlier


def end_with_parent() -> None:
    """Ends this process, within a second, when the parent that asked for it has ended.

    Every command calls this first. It does nothing unless the process was started by another one
    within :func:`as_parent`. Python code runs no more when that happens, so a process that waits
    for its dead peers ends too; whatever is written is written atomically.
    """
    named, parent = os.environ.get(_PARENT), os.getppid()
    if named is None or any(thread.name == _NAME for thread in threading.enumerate()):
        return
    if named == str(parent):
        threading.Thread(target=_watch, args=(parent,), name=_NAME, daemon=True).start()
    elif parent == _NO_PARENT:
        _end()
    # Any other parent is a shell or a tool in between, which has its own way to end what it starts.


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    _end()


def _end() -> None:
    with suppress(OSError, ValueError):
        print("ended: the process that started this one is gone", file=sys.stderr, flush=True)
    os._exit(1)
