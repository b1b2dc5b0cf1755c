"""One function over many chunks, in several processes, results in order."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import chain
from typing import TypeVar

from crystal_data.errors import WorkerError
from crystal_data.processes.workers import WORKER_NUMBER, WorkerLostError, Workers

Item = TypeVar("Item")
Task = TypeVar("Task")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Task], Result],
    items: Iterable[Item],
    make_task: Callable[[Item], Task],
    *,
    num_workers: int | None,
    patience: float,
) -> Iterator[tuple[Item, Result]]:
    """Pairs of item and result, in the order of the items, which are read as they are needed.

    Args:
        function: A function of a module, so that it pickles.
        items: What is to be done; they stay in this process.
        make_task: What of an item travels to the function.
        num_workers: Processes; 0 works in this one. None begins in this one, and takes as many as
            there are cores if that turns out to be long.
        patience: How long that is, seconds: more than a worker needs to start and import.
    """
    remaining = iter(items)
    if not num_workers:
        started = time.monotonic()
        for item in remaining:
            yield item, function(make_task(item))
            if num_workers is None and time.monotonic() - started > patience:
                break
        num_workers = num_cores()
    if num_workers:
        yield from _map_by_workers(function, remaining, make_task, num_workers)


def _map_by_workers(
    function: Callable[[Task], Result],
    items: Iterator[Item],
    make_task: Callable[[Item], Task],
    num_workers: int,
) -> Iterator[tuple[Item, Result]]:
    first = next(items, None)
    if first is None:
        return
    # Enough in flight that no worker waits, few enough that memory stays bounded.
    pending: deque[tuple[Item, Future[Result]]] = deque()
    try:
        with Workers(num_workers) as workers:
            for item in chain([first], items):
                pending.append((item, workers.submit(function, make_task(item))))
                if len(pending) > 2 * num_workers + 1:
                    done, future = pending.popleft()
                    yield done, future.result()
            while pending:
                done, future = pending.popleft()
                yield done, future.result()
    except WorkerLostError as error:
        raise WorkerError(
            f"one of {num_workers} worker processes died, perhaps for want of memory",
            "fewer num_workers need less, 0 does all work in this process",
        ) from error


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_number() -> int:
    """Number of this worker among those that were started with it, from 0; 0 in another process."""
    return int(os.environ.get(WORKER_NUMBER, "0"))
