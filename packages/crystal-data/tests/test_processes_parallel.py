"""Chunks in worker processes: order, scripts without a guard, and what a kill leaves."""

import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crystal_data.processes.parallel import map_in_order

# No `if __name__ == "__main__"`: started anew in a worker, it would start workers of its own.
SCRIPT = """
import sys, time
from crystal_data.processes.parallel import map_in_order
print("started", flush=True)
done = map_in_order(time.sleep, [float(sys.argv[1])] * 4, float, num_workers=2, patience=0)
print(len(list(done)))
"""


def test_order_is_kept_when_workers_take_over():
    seen = []

    def items():
        for number in range(40):
            seen.append(number)
            yield str(number)

    pairs = map_in_order(operator.neg, items(), int, num_workers=None, patience=0.0)
    assert next(pairs) == ("0", 0)
    assert seen == [0]
    assert list(pairs) == [(str(number), -number) for number in range(1, 40)]


def test_errors_of_workers_arrive():
    pairs = map_in_order(operator.not_, [1], lambda _: [].pop, num_workers=0, patience=0)
    assert list(pairs) == [(1, False)]
    with pytest.raises(TypeError):
        list(map_in_order(operator.neg, ["a"], str, num_workers=1, patience=0))


def test_a_script_needs_no_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    out = subprocess.run(
        [sys.executable, str(script), "0"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    assert out == "started\n4\n"


def children(pid: int) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen([sys.executable, str(script), "600"], stdout=subprocess.PIPE) as parent:
        wait_until(lambda: len(children(parent.pid)) >= 3)  # two workers and a tracker
        workers = children(parent.pid)
        time.sleep(1.0)  # let them reach their tasks
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
