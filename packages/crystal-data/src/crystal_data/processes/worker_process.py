"""The program of a worker process: reads calls from its input, writes their answers to its output.

It ends when its input does, so also when the process that started it was killed.
"""

import os
import pickle
import signal
import sys
import traceback
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

_LENGTH_BYTES = 8


def send(file: IO[bytes], content: bytes) -> None:
    """Writes one message."""
    file.write(len(content).to_bytes(_LENGTH_BYTES, "little"))
    file.write(content)
    file.flush()


def receive(file: IO[bytes]) -> bytes:
    """Reads one message.

    Raises:
        EOFError: If there is none any more, or only a part of one.
    """
    length = int.from_bytes(_read(file, _LENGTH_BYTES), "little")
    return _read(file, length)


def _read(file: IO[bytes], length: int) -> bytes:
    content = file.read(length)
    if len(content) < length:
        raise EOFError
    return content


def main() -> None:
    """Answers calls, one after the other."""
    # An interrupt goes to the whole group; the parent ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # What libraries print must not come between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # The process ends without a last flush.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    calls: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_read_calls, args=(calls,), daemon=True).start()
    while True:
        send(answers, _answer(calls.get()))


def _read_calls(calls: "SimpleQueue[bytes]") -> None:
    # In a thread of its own, so that the end of the parent ends a long call too.
    while True:
        try:
            calls.put(receive(sys.stdin.buffer))
        except EOFError:
            os._exit(0)


def _answer(call: bytes) -> bytes:
    """Whether the call went well, its result or exception, and the traceback as text."""
    try:
        function, arguments = pickle.loads(call)
        answer: tuple[bool, Any, str] = (True, function(*arguments), "")
        return pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        text = traceback.format_exc()
        try:
            return pickle.dumps((False, error, text))
        except Exception:  # an exception may hold anything
            return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}"), text))


if __name__ == "__main__":
    main()
