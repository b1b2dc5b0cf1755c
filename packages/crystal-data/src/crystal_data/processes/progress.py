"""What a build says while it runs: to stderr, so that a command's output stays clean."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

# Work shorter than this needs no bar, and longer work says so after it. Imports take nearly a
# second before it.
FIRST_SIGN = 1.0  # seconds
# In a file, which cannot be erased, each line comes after twice the time of the one before.
_LONGEST_SILENCE = 300.0  # seconds


def say(message: str) -> None:
    """Prints one line to stderr."""
    print(message, file=sys.stderr, flush=True)


class Pace:
    """When the next line is due, where there is no terminal: after 1 s, 2 s, 4 s and so on."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._due = FIRST_SIGN

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def is_due(self) -> bool:
        """Whether it is time for a line; the next one is then due later."""
        if self.seconds < self._due:
            return False
        self._due = self.seconds + min(self._due, _LONGEST_SILENCE)
        return True


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Shows how far work is once it turns out to be long: a bar on a terminal, else some lines.

    Args:
        description: What is being done.
        total: Structures to do, if that is known.

    Yields:
        A function to call with the number of structures that are newly done.
    """
    pace, done = Pace(), 0
    bar: Progress | None = None
    is_terminal = sys.stderr.isatty()

    def advance(count: int) -> None:
        nonlocal done, bar
        done += count
        rate = f"{done / max(pace.seconds, 1e-9):.0f}/s"
        if is_terminal and pace.seconds > FIRST_SIGN:
            bar = bar or _bar(description, total)
            bar.update(bar.task_ids[0], completed=done, rate=rate)
        elif not is_terminal and pace.is_due():
            say(f"{description}: {done:,}{f' of {total:,}' if total else ''}, {rate}")

    # The first part of the work may take long by itself.
    first = threading.Timer(FIRST_SIGN, lambda: None if done else say(f"{description} …"))
    first.daemon = True
    first.start()
    try:
        yield advance
    finally:
        first.cancel()
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
