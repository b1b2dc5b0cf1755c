"""Calls of functions in other processes, which know nothing of the caller's script."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Event, Lock, Timer
from types import TracebackType
from typing import IO, Any, Self, TypeVar, cast

from crystal_data.errors import WorkerError
from crystal_data.processes import worker_process
from crystal_data.processes.worker_process import receive, send

Result = TypeVar("Result")
WORKER_NUMBER = "CRYSTAL_WORKER_NUMBER"  # environment variable of each process, from 0


class WorkerLostError(RuntimeError):
    """A worker process that ended before it had answered.

    Args:
        exit_code: Of the process; negative for the number of a signal.
        timed_out: Whether it was ended because the call took too long.
    """

    def __init__(self, exit_code: int, *, timed_out: bool) -> None:
        how = "took longer than the time-out" if timed_out else f"ended with exit code {exit_code}"
        super().__init__(f"the process {how}")
        self.exit_code = exit_code
        self.timed_out = timed_out


class WorkerTracebackError(Exception):
    """The traceback of an exception in a worker, shown as the cause of that exception."""


class _Worker:
    """One process, one call at a time.

    ``multiprocessing`` would import the caller's script again in each process, so that a script
    without ``if __name__ == "__main__":`` starts itself anew there. A plain process does not.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        # The same modules as here; without -P, those of the working folder would come first.
        command = [sys.executable, "-P", "-m", worker_process.__name__]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            WORKER_NUMBER: str(number),
        }
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._calls = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)

    def call(
        self, function: Callable[..., Result], arguments: tuple[Any, ...], timeout: float | None
    ) -> Result:
        """The result of a function, or what it raised.

        Raises:
            WorkerLostError: If the process ended, or was ended after ``timeout`` seconds.
        """
        content = pickle.dumps((function, arguments), pickle.HIGHEST_PROTOCOL)
        has_timed_out = Event()

        def end_it() -> None:
            has_timed_out.set()
            self._process.kill()

        timer = None if timeout is None else Timer(timeout, end_it)
        if timer is not None:
            timer.start()
        try:
            answer = self._exchange(content)
        except (EOFError, OSError, ValueError):  # the last where the pipes were closed before
            answer = None
        if timer is not None:
            timer.cancel()
            timer.join()  # it may be ending the process right now
        if answer is None or has_timed_out.is_set():
            exit_code = self.end()
            raise WorkerLostError(exit_code, timed_out=has_timed_out.is_set())
        is_well, value, traceback = pickle.loads(answer)
        if not is_well:
            raise value from WorkerTracebackError(f"\n{traceback}")
        result: Result = value
        return result

    def _exchange(self, content: bytes) -> bytes:
        send(self._calls, content)
        return receive(self._answers)

    @property
    def is_alive(self) -> bool:
        """Whether it can take a further call."""
        return self._process.poll() is None

    def end(self) -> int:
        """Ends the process, whatever it does; its exit code."""
        self._process.kill()
        with suppress(OSError):  # what could not be sent
            self._calls.close()
        self._answers.close()
        return self._process.wait()


class Workers:
    """Up to some number of worker processes, started as they are needed.

    Leaving the block ends all of them.

    Args:
        count: Most processes.
        prepare: Called first in each process, for slow imports.
        start_limit: Seconds that starting and ``prepare`` may take; None for any time.
    """

    def __init__(
        self,
        count: int,
        *,
        prepare: Callable[[], None] | None = None,
        start_limit: float | None = None,
    ) -> None:
        self._prepare = prepare
        self._start_limit = start_limit
        # Each thread waits for the answer of one process.
        self._threads = ThreadPoolExecutor(count)
        self._lock = Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._is_closed = True
            workers = list(self._all)
        for worker in workers:
            worker.end()
        self._threads.shutdown()

    def submit(
        self,
        function: Callable[..., Result],
        *arguments: Any,
        timeout: float | None = None,
    ) -> "Future[Result]":
        """Calls a function in one of the processes.

        Args:
            function: A function of a module; it, the arguments and the result must pickle.
            arguments: Its arguments.
            timeout: Seconds for the call; None for any time.

        Returns:
            A future. It raises what the function raised, ``WorkerLostError`` if the process ended
            before, and ``WorkerError`` if none could be started.
        """
        return self._threads.submit(self._call, function, arguments, timeout)

    def _call(
        self, function: Callable[..., Result], arguments: tuple[Any, ...], timeout: float | None
    ) -> Result:
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is None:
            worker = self._started()
        try:
            return worker.call(function, arguments, timeout)
        finally:
            with self._lock:
                if worker.is_alive:
                    self._idle.append(worker)
                else:
                    self._all.discard(worker)

    def _started(self) -> _Worker:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the workers have ended")
            taken = {worker.number for worker in self._all}
            worker = _Worker(next(n for n in range(len(taken) + 1) if n not in taken))
            self._all.add(worker)
        try:
            # A call all the same, so that a call that counts is not blamed for a failing start.
            worker.call(self._prepare or os.getpid, (), self._start_limit)
        except WorkerLostError as error:
            raise WorkerError(
                "a worker process could not start",
                "its own message is above (num_workers=0 does all work in this process)",
            ) from error
        return worker
