"""Ctrl-C and SIGTERM end a command with one line and the usual exit status."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

# 128 and the number of the signal, as shells have it.
_INTERRUPTED, _TERMINATED = 130, 143


class Terminated(SystemExit):
    """SIGTERM came; raised in the main thread, so that files and processes are cleaned up."""


def until_signal(program: str, run: Callable[[], int]) -> int:
    """Runs a command; a signal that ends it gives one line.

    Args:
        program: Name of the command, for the line.
        run: Returns the exit status.

    Returns:
        Exit status: that of ``run``, 130 after Ctrl-C, 143 after SIGTERM.
    """
    received: list[int] = []

    def terminate(number: int, _: object) -> NoReturn:
        received.append(number)
        # A second signal would interrupt the cleaning up.
        signal.signal(number, signal.SIG_IGN)
        raise Terminated(_TERMINATED)

    # Python lets no other thread handle signals.
    is_main = threading.current_thread() is threading.main_thread()
    earlier = signal.signal(signal.SIGTERM, terminate) if is_main else None
    try:
        return _with_interrupts(run)
    except (KeyboardInterrupt, Terminated) as error:
        # Some libraries turn any exception that comes into KeyboardInterrupt.
        what, status = ("terminated", _TERMINATED) if received else ("interrupted", _INTERRUPTED)
        _report(program, what, error)
        return status
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, earlier)


def _with_interrupts(run: Callable[[], int]) -> int:
    try:
        return run()
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        # Lightning ends an interrupted process with status 1, and lets it ignore further Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise error.__context__ from None


def _report(program: str, what: str, error: BaseException) -> None:
    # Of processes that train together the first one prints.
    if os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")) == "0":
        notes = getattr(error, "__notes__", [])
        print("; ".join([f"{program}: {what}", *notes]), file=sys.stderr, flush=True)
