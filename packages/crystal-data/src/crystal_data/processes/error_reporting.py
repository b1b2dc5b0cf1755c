"""Answers a user's own mistake with one line; a fault of the program keeps its traceback."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from crystal_data.errors import CrystalError

_Options = ParamSpec("_Options")
_TRACEBACK = "CRYSTAL_TRACEBACK"  # environment variable: any value asks for the whole traceback
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNWRITABLE = (*_FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST)


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
            if _TRACEBACK in os.environ:
                raise
            if message is None:
                if not _follows_another(error):
                    raise
            elif _is_reporting_rank():
                print(f"error: {message}", file=sys.stderr, flush=True)
            return 1

    return wrapped


def user_message(error: BaseException) -> str | None:
    """What to tell the user, or None for an error that only a developer understands.

    A message to the user is a ``CrystalError``, or what the system says of files. Libraries wrap
    what a constructor raises, so causes are searched too.
    """
    for one in _causes(error):
        if isinstance(one, BrokenPipeError):
            return None
        if isinstance(one, CrystalError):
            return str(one)
        if isinstance(one, OSError):
            return _of_the_system(one) if one.strerror else str(one)
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


def _follows_another(error: Exception) -> bool:
    if not _has_torch():
        return False
    from crystal_data.processes.reporting_rank import follows_another

    return follows_another(error)


def _is_reporting_rank() -> bool:
    if not _has_torch():
        return True
    from crystal_data.processes.reporting_rank import is_reporting_rank

    return is_reporting_rank()


def _has_torch() -> bool:
    # Without it there is one process, and a mistake should not cost the time of importing it.
    return "torch.distributed" in sys.modules
