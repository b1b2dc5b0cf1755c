"""A map over processes in which no single call can hold up the rest."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from crystal_data.processes.parallel import without_main

Result = TypeVar("Result")

_START_LIMIT = 300.0  # seconds for a process to import what the function needs
_CALLS_WORTH_A_PROCESS = 50  # starting one takes seconds


@dataclass(frozen=True)
class Failure:
    """A call without a result.

    Args:
        detail: What went wrong, in words.
        timed_out: Whether it was ended for taking too long.
    """

    detail: str
    timed_out: bool = False


def map_with_timeout(
    function: Callable[..., Result],
    arguments: Sequence[tuple[Any, ...]],
    *,
    timeout: float,
    num_workers: int | None = None,
    prepare: Callable[[], None] | None = None,
    on_done: Callable[[int], None] | None = None,
) -> list[Result | Failure]:
    """Call a function with each tuple of arguments, in parallel.

    A call that raises gives a `Failure`. One that takes longer than ``timeout``, or kills its
    process, gives one too, and its process is replaced.

    Args:
        function: Importable by its name.
        arguments: One tuple for each call; they and the results must pickle.
        timeout: Seconds for one call.
        num_workers: Processes; if None one for each core, but fewer for few calls; 0 calls in this
            process, without time-outs.
        prepare: Called once in each process before the clock runs, for slow imports.
        on_done: Receives the place of each call that is done.

    Returns:
        One result for each call, in order.

    Raises:
        ValueError: If ``timeout`` is not above 0.
        RuntimeError: If a process cannot start.
    """
    if not timeout > 0:
        raise ValueError(f"timeout is {timeout} s; it must be above 0")
    report = on_done or (lambda _: None)
    if num_workers == 0:
        results: list[Any] = []
        for index, each in enumerate(arguments):
            results.append(_attempt(function, each))
            report(index)
        return results
    results = [None] * len(arguments)
    todo = list(range(len(arguments)))[::-1]
    size = num_workers or min(_num_cores(), -(-len(arguments) // _CALLS_WORTH_A_PROCESS))
    size = min(size, len(arguments))
    workers = [_Worker(function, prepare) for _ in range(size)]
    try:
        while todo or any(worker.task is not None for worker in workers):
            for worker in workers:
                if worker.ready and worker.task is None and todo:
                    index = todo.pop()
                    worker.give(index, arguments[index], timeout)
            for worker in _wait(workers):
                task = worker.task
                answer = worker.take()
                if task is not None:
                    results[task] = answer
                    report(task)
            for worker in workers:
                overdue = worker.stop_if_overdue()
                if overdue is not None:
                    results[overdue] = Failure("took longer than the time-out", timed_out=True)
                    report(overdue)
            lost = sum(not worker.alive for worker in workers)
            workers = [worker for worker in workers if worker.alive]
            workers += [_Worker(function, prepare) for _ in range(min(lost, len(todo)))]
    finally:
        for worker in workers:
            worker.stop()
    return results


class _Worker:
    """One process, at most one call at a time."""

    def __init__(self, function: Callable[..., Any], prepare: Callable[[], None] | None) -> None:
        # Spawned, since forking a process that has threads (torch has) can deadlock.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, function, prepare), daemon=True
        )
        with without_main():
            self._process.start()
        theirs.close()
        self.task: int | None = None
        self.ready = False
        self.alive = True
        self.deadline = time.monotonic() + _START_LIMIT

    def give(self, task: int, arguments: tuple[Any, ...], timeout: float) -> None:
        self.task = task
        self.deadline = time.monotonic() + timeout
        self.connection.send(arguments)

    def take(self) -> Any:
        """The answer that has come; the first message only says that the process is ready."""
        self.deadline = float("inf")
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            self._require_ready()
            self.stop()
            answer = Failure(f"the process ended with exit code {self._process.exitcode}")
        self.ready = True
        self.task = None
        return answer

    def stop_if_overdue(self) -> int | None:
        """The call that was ended for taking too long, if one was."""
        if not self.alive or time.monotonic() < self.deadline:
            return None
        self._require_ready()
        self.stop()
        overdue, self.task = self.task, None
        return overdue

    def stop(self) -> None:
        self.alive = False
        self._process.kill()
        self._process.join()
        self.connection.close()

    def _require_ready(self) -> None:
        if not self.ready:
            raise RuntimeError(
                "a worker process could not start; its own message is above "
                "(num_workers=0 needs no other process)"
            )


def _wait(workers: Sequence[_Worker]) -> list[_Worker]:
    """Workers with a message, once there is one or a deadline has passed."""
    remaining = min(worker.deadline for worker in workers) - time.monotonic()
    limit = None if remaining == float("inf") else max(0.0, remaining)
    waiting: dict[Any, _Worker] = {worker.connection: worker for worker in workers}
    return [waiting[each] for each in wait(list(waiting), limit)]


def _serve(
    connection: Connection, function: Callable[..., Any], prepare: Callable[[], None] | None
) -> None:
    # An interrupt goes to the whole group; the parent ends its processes itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if prepare is not None:
        prepare()
    connection.send(None)
    while True:
        try:
            arguments = connection.recv()
        except EOFError:
            return
        connection.send(_attempt(function, arguments))


def _attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # one bad pair must not end an evaluation of thousands
        return Failure(f"{type(error).__name__}: {error}")


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
