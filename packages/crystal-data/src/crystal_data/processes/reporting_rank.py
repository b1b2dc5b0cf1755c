"""Of the processes that train together, the one that tells the user why the run ends."""

import atexit
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from crystal_data.processes.distributed import world_size
from crystal_data.processes.launched import is_launched_first

# Under this key of the processes' common store lies how many of them have ended with an error.
_ENDED = "crystal/ended"
_PATIENCE = timedelta(seconds=3)
_LINGER = 5.0  # seconds
_NOTE = (
    "If this is about a lost connection: another process of this run has ended and reported "
    "nothing. It may have been killed for want of memory."
)


def is_reporting_rank() -> bool:
    """Whether this process tells the user of a mistake, so that exactly one does.

    All of them may make the same mistake, or one makes it and the others lose the connection to
    it. The first process goes ahead; others wait a little for it.
    """
    if world_size() == 1:
        return is_launched_first()  # they have not met yet
    if dist.get_rank() > 0:
        with suppress(dist.DistError):  # nobody yet, or the first process has ended and said why
            dist.distributed_c10d._get_default_store().wait([_ENDED], _PATIENCE)
    return _is_first_to_end()


def follows_another(error: Exception) -> bool:
    """Whether an error of no mistake only comes of the end of another process, which said why.

    Collectives raise a ``DistError`` or, over gloo, a ``RuntimeError`` of no kind of its own when
    another process is gone. A process says why it ends before it closes its connections, so the
    others end after it.

    Args:
        error: What this process ends with. If it may be about a process that has said nothing, it
            receives a note.
    """
    if world_size() == 1:
        return False
    first = _is_first_to_end()
    if not (isinstance(error, dist.DistError) or type(error) is RuntimeError):
        return False
    if first:
        error.add_note(_NOTE)
    return not first


def _is_first_to_end() -> bool:
    store, size = dist.distributed_c10d._get_default_store(), world_size()
    try:
        first: bool = store.add(_ENDED, 1) == 1
    except dist.DistError:
        return False  # the store has ended with the first process
    if first and dist.get_rank() == 0:
        # The store ends with this process; others may still ask.
        atexit.register(_linger, store, size)
    return first


def _linger(store: Any, size: int) -> None:
    """Waits until all processes have ended with an error, or for some seconds."""
    end = time.monotonic() + _LINGER
    if dist.is_initialized() and dist.get_backend() == "gloo":
        # Those that wait for this process in a sum lose it now, while they can still ask.
        dist.destroy_process_group()
    with suppress(KeyboardInterrupt, dist.DistError):
        while store.add(_ENDED, 0) < size and time.monotonic() < end:
            time.sleep(0.05)
