"""One function over many chunks, in several processes, results in order."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread
from types import ModuleType
from typing import TypeVar

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
        num_workers = _default_workers()
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
    pool = ProcessPoolExecutor(
        num_workers, mp_context=get_context("spawn"), initializer=_end_with_parent
    )
    # Enough in flight that no worker waits, few enough that memory stays bounded.
    pending: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in chain([first], items):
            with without_main():
                pending.append((item, pool.submit(function, make_task(item))))
            if len(pending) > 2 * num_workers + 1:
                done, future = pending.popleft()
                yield done, future.result()
        while pending:
            done, future = pending.popleft()
            yield done, future.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"one of {num_workers} worker processes died, perhaps for want of memory; "
            "fewer num_workers need less, 0 does all work in this process"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _default_workers() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _end_with_parent() -> None:
    """Lets a worker end when its parent is killed, which would otherwise leave it waiting."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def without_main() -> Iterator[None]:
    """Keeps new workers from importing the caller's script again.

    They need nothing of it, and a script without a ``__main__`` guard would start itself anew in
    every worker.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
