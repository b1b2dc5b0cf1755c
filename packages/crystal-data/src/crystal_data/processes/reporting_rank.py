"""Of the processes that train together, the one that tells the user why the run ends."""

import atexit
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from crystal_data.processes.distributed import world_size
from crystal_data.processes.launched import is_launched_first

# Under this key of the processes' common store lies whether the user has been told of a mistake.
_TOLD = "crystal/told"
_PATIENCE = timedelta(seconds=3)
_LINGER = 1.5  # seconds
_LOST = ("closed by peer", "reset by peer", "Broken pipe", "remote worker", "failed to connect")


def lost_other_process(error: BaseException) -> bool:
    """Whether an error only says that another process is gone, not why."""
    if not (dist.is_available() and isinstance(error, RuntimeError)) or world_size() == 1:
        return False
    return isinstance(error, dist.DistError) or any(words in str(error) for words in _LOST)


def is_reporting_rank(*, knows_why: bool) -> bool:
    """Whether this process tells the user why the run ends, so that exactly one does.

    All of them may make the same mistake, or one makes it and the others lose the connection to
    it. The first process goes ahead; others wait a little for it. If it has only lost a connection
    it waits for the process that knows why.

    Args:
        knows_why: False for a process that has only lost the connection to another.
    """
    if world_size() == 1:
        return is_launched_first()  # they have not met yet
    first = dist.get_rank() == 0
    if not first and not knows_why:
        return False
    store = dist.distributed_c10d._get_default_store()
    if not (first and knows_why) and _somebody_told(store):
        return False
    if store.add(_TOLD, 1) > 1:
        return False
    if first:
        # The store ends with this process; another that makes the same mistake may still ask.
        atexit.register(_linger)
    return True


def _linger() -> None:
    with suppress(KeyboardInterrupt):
        time.sleep(_LINGER)


def _somebody_told(store: Any) -> bool:
    try:
        store.wait([_TOLD], _PATIENCE)
    except dist.DistStoreError:
        return False
    except dist.DistNetworkError:
        pass  # the first process has ended, and said why
    return True
