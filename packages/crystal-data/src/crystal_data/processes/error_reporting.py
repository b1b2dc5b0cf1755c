"""Answers a user's own mistake with one line; a fault of the program keeps its traceback."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import ParamSpec

_Options = ParamSpec("_Options")
_TRACEBACK = "CRYSTAL_TRACEBACK"  # environment variable: any value asks for the whole traceback
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNWRITABLE = (*_FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST)
_LOST = (
    "another process of this run has ended without a word; it may have been killed for want of "
    f"memory. {_TRACEBACK}=1 shows where this one was"
)


def report_errors(main: Callable[_Options, int]) -> Callable[_Options, int]:
    """Makes a command answer with one line, and status 1, where its input is at fault.

    Where several processes train together one of them answers for all.
    """

    @wraps(main)
    def wrapped(*args: _Options.args, **options: _Options.kwargs) -> int:
        try:
            return main(*args, **options)
        except Exception as error:
            message = user_message(error)
            lost = message is None and _lost_other_process(error)
            if (message is None and not lost) or _TRACEBACK in os.environ:
                raise
            if _is_reporting_rank(knows_why=not lost):
                print(f"error: {message or _LOST}", file=sys.stderr, flush=True)
            return 1

    return wrapped


def user_message(error: BaseException) -> str | None:
    """What to tell the user, or None for an error that only a developer understands.

    A message to the user is what the system says of files, an error of a class of these packages,
    or a ``ValueError`` that their own code raised. Libraries wrap what a constructor raises, so
    causes are searched too.
    """
    for one in _causes(error):
        if isinstance(one, BrokenPipeError):
            return None
        if isinstance(one, OSError) and one.strerror:
            return _of_the_system(one)
        if type(one).__module__.startswith("safetensors") and "os error" in str(one):
            return str(one)
        is_ours = _is_our_module(type(one).__module__)
        if isinstance(one, OSError) or is_ours or (type(one) is ValueError and _raised_here(one)):
            # str() of a KeyError puts quotes around the message.
            return str(one.args[0]) if type(one).__str__ is KeyError.__str__ else str(one)
    return None


def _of_the_system(error: OSError) -> str:
    """The file, what the system says, and a remedy where there is one."""
    from crystal_data.homes import cache_home

    named = error.filename if isinstance(error.filename, str | os.PathLike) else None
    message = f"{named}: {error.strerror}" if named is not None else str(error.strerror)
    cache = cache_home()
    if error.errno in _UNWRITABLE and named is not None and cache in (p := Path(named), *p.parents):
        return f"{message}; set CRYSTAL_CACHE_HOME to a folder that can be written"
    if error.errno in _FULL:
        return f"{message}; free some space, or write to another disk"
    return message


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _lost_other_process(error: BaseException) -> bool:
    if not _has_torch():
        return False
    from crystal_data.processes.reporting_rank import lost_other_process

    return lost_other_process(error)


def _is_reporting_rank(*, knows_why: bool) -> bool:
    if not _has_torch():
        return True
    from crystal_data.processes.reporting_rank import is_reporting_rank

    return is_reporting_rank(knows_why=knows_why)


def _has_torch() -> bool:
    # Without it there is one process, and a mistake should not cost the time of importing it.
    return "torch.distributed" in sys.modules


def _raised_here(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and _is_our_module(str(trace.tb_frame.f_globals.get("__name__")))


def _is_our_module(name: str) -> bool:
    return name.startswith("crystal_")
