"""What a build says while it runs: to stderr, so that a command's output stays clean."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Work shorter than this needs no bar.
_QUIET_SECONDS = 2.0


def say(message: str) -> None:
    """Prints one line to stderr."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A progress bar that appears on a terminal once the work turns out to be long.

    Args:
        description: What is being done.
        total: Structures to do, if that is known.

    Yields:
        A function to call with the number of structures that are newly done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    task = bar.add_task(description, total=total, rate="")
    started = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        seconds = time.monotonic() - started
        if seconds > _QUIET_SECONDS and bar.console.is_terminal:
            bar.start()
            bar.update(task, completed=done, rate=f"{done / seconds:.0f}/s")

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
