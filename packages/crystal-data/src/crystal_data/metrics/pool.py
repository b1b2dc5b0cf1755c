"""A map over processes in which no single call can hold up the rest."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from crystal_data.errors import InvalidArgumentError
from crystal_data.processes.parallel import num_cores
from crystal_data.processes.workers import WorkerLostError, Workers

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
        on_done: Receives the place of each call that is done, in order.

    Returns:
        One result for each call, in order.

    Raises:
        InvalidArgumentError: If ``timeout`` is not above 0.
        WorkerError: If a process cannot start.
    """
    if not timeout > 0:
        raise InvalidArgumentError(f"timeout is {timeout} s; it must be above 0")
    results: list[Result | Failure] = []

    def keep(result: Result | Failure) -> None:
        results.append(result)
        if on_done is not None:
            on_done(len(results) - 1)

    if num_workers == 0:
        for each in arguments:
            keep(_attempt(function, each))
        return results
    size = num_workers or min(num_cores(), -(-len(arguments) // _CALLS_WORTH_A_PROCESS))
    if not arguments:
        return []
    with Workers(size, prepare=prepare, start_limit=_START_LIMIT) as workers:
        futures = [workers.submit(_attempt, function, each, timeout=timeout) for each in arguments]
        for future in futures:
            keep(_outcome(future))
    return results


def _outcome(future: "Future[Result | Failure]") -> Result | Failure:
    try:
        return future.result()
    except WorkerLostError as error:
        return Failure(str(error), error.timed_out)


def _attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # one bad pair must not end an evaluation of thousands
        return Failure(f"{type(error).__name__}: {error}")
