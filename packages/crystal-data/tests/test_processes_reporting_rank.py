"""Of two processes that work together one says why both end."""

import os
import signal
import socket
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys
import torch
import torch.distributed as dist
from crystal_data.errors import CrystalError
from crystal_data.processes import report_errors

@report_errors
def main(end):
    dist.init_process_group("gloo")
    dist.all_reduce(torch.ones(1))
    if end == "mistake":
        raise CrystalError("a.csv is empty", "fill it")
    if end == "fault":
        raise RuntimeError("a fault of ours")
    if end == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    dist.all_reduce(torch.ones(1))  # the other does not come
    return 0

sys.exit(main(sys.argv[1]))
"""


def run_together(ends):
    """Exit statuses and standard errors of processes that end as named."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(len(ends))}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, end],
            env={**os.environ, **place, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, end in enumerate(ends)
    ]
    errors = [process.communicate(timeout=240)[1] for process in started]
    return [process.returncode for process in started], errors


@pytest.mark.slow
@pytest.mark.parametrize(
    "ends", [("mistake", "wait"), ("wait", "mistake"), ("mistake", "mistake")], ids="-".join
)
def test_a_mistake_is_one_line_of_one_process(ends):
    statuses, errors = run_together(ends)
    assert statuses == [1, 1]
    assert "Traceback" not in "".join(errors)
    lines = "".join(errors).splitlines()
    assert [one for one in lines if one.startswith("error: ")] == ["error: a.csv is empty; fill it"]


@pytest.mark.slow
@pytest.mark.parametrize("faulty", [0, 1])
def test_a_fault_is_the_traceback_of_the_process_that_had_it(faulty):
    ends = ["wait", "wait"]
    ends[faulty] = "fault"
    statuses, errors = run_together(ends)
    assert statuses == [1, 1]
    assert "RuntimeError: a fault of ours" in errors[faulty]
    assert "Traceback" not in errors[1 - faulty]
    assert "error: " not in errors[1 - faulty].replace("RuntimeError: ", "")


@pytest.mark.slow
def test_a_process_that_was_killed_is_named_as_a_cause():
    statuses, errors = run_together(("wait", "killed"))
    assert statuses == [1, -signal.SIGKILL]
    assert "Traceback" in errors[0]
    assert "another process of this run has ended and reported nothing" in errors[0]
