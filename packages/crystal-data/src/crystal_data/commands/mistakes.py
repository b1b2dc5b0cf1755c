"""Answers a user's own mistake with one line; a fault of the program keeps its traceback."""

import dis
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import wraps

_Main = Callable[[Sequence[str] | None], int]
_RAISE = dis.opmap["RAISE_VARARGS"]


def says_errors(main: _Main) -> _Main:
    """Makes a command answer with one line, and status 1, where its input is at fault."""

    @wraps(main)
    def wrapped(argv: Sequence[str] | None = None) -> int:
        try:
            return main(argv)
        except Exception as error:
            message = mistake(error)
            if message is None:
                raise
            print(f"error: {message}", file=sys.stderr)
            return 1

    return wrapped


def mistake(error: BaseException) -> str | None:
    """What to tell the user, or None for an error that only a developer understands.

    Libraries wrap what a constructor of ours raises, so causes are searched too. An error is a
    message to the user if a ``raise`` statement of these packages made it, or the system did.
    """
    for one in _causes(error):
        if isinstance(one, BrokenPipeError):
            return None
        if isinstance(one, OSError):
            return str(one)
        if isinstance(one, (ValueError, KeyError, TypeError)) and _is_ours(one):
            # str() of a plain KeyError puts quotes around the message.
            return str(one.args[0] if type(one) is KeyError else one)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_ours(error: BaseException) -> bool:
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    code, module = trace.tb_frame.f_code, str(trace.tb_frame.f_globals.get("__name__"))
    return module.startswith("crystal_") and code.co_code[trace.tb_lasti] == _RAISE
