"""What a build says while it runs: to stderr, so that a command's output stays clean."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

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
    started = time.monotonic()
    done = 0
    bar: Progress | None = None

    def advance(count: int) -> None:
        nonlocal done, bar
        done += count
        seconds = time.monotonic() - started
        if seconds > _QUIET_SECONDS and sys.stderr.isatty():
            bar = bar or _bar(description, total)
            rate = f"{done / seconds:.0f}/s"
            bar.update(bar.task_ids[0], completed=done, rate=rate)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.stop()


def _bar(description: str, total: int | None) -> "Progress":
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
    bar.add_task(description, total=total, rate="")
    bar.start()
    return bar
