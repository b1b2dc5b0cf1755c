"""Memory of a training on the CPU, whose steps ask for the same large blocks again and again."""

import ctypes
import sys

# Parameters of mallopt in malloc.h, and the values they get, bytes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1
_LARGEST = 2**25  # what glibc accepts at most


def keep_freed_memory() -> None:
    """Makes the process keep what it has freed, up to its largest need so far.

    By default glibc gives large blocks back to the system and asks anew, which then clears each
    page: a third of the time of a CGCNN step. Does nothing where the C library is another.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST)
    mallopt(_TRIM_THRESHOLD, _NEVER)
