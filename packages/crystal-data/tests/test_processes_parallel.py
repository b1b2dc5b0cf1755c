"""Chunks in worker processes: order, scripts without a guard, and what a kill leaves."""

import operator
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from crystal_data.processes.parallel import map_in_order
from crystal_data.processes.workers import WorkerLostError, Workers, _Worker

# No `if __name__ == "__main__"`: started anew in a worker, it would start workers of its own.
SCRIPT = """
import sys, time
from crystal_data.processes.parallel import map_in_order
print("started", flush=True)
done = map_in_order(time.sleep, [float(sys.argv[1])] * 4, float, num_workers=2, patience=0)
print(len(list(done)))
"""


# The same with a time limit for each call.
TIMED = """
import sys, time
from crystal_data.metrics.pool import map_with_timeout
print("started", flush=True)
calls = [(float(sys.argv[1]),)] * 4
print(len(map_with_timeout(time.sleep, calls, timeout=60, num_workers=2)))
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


def test_what_a_worker_raises_has_its_traceback_as_the_cause():
    with pytest.raises(ZeroDivisionError) as caught:
        list(map_in_order(eval, ["1 / 0"], str, num_workers=1, patience=0))
    assert 'File "<string>", line 1' in str(caught.value.__cause__)
    no_result = map_in_order(
        eval, ["open(__import__('os').devnull)"], str, num_workers=1, patience=0
    )
    with pytest.raises(TypeError, match=r"cannot pickle '_io\.TextIOWrapper'"):
        list(no_result)


def test_a_worker_that_dies_is_an_error():
    pairs = map_in_order(os._exit, range(4), int, num_workers=2, patience=0)
    with pytest.raises(RuntimeError, match="one of 2 worker processes died, perhaps for want of"):
        list(pairs)


def test_what_a_worker_prints_is_no_answer(capfd):
    pairs = list(map_in_order(print, ["a", "b"], str, num_workers=1, patience=0))
    assert pairs == [("a", None), ("b", None)]
    assert capfd.readouterr() == ("", "a\nb\n")


def test_an_iteration_that_is_left_ends_its_workers():
    pairs = map_in_order(time.sleep, [0.0, 600.0, 600.0], float, num_workers=2, patience=0)
    assert next(pairs) == (0.0, None)
    started = time.monotonic()
    pairs.close()
    assert time.monotonic() - started < 60


def test_a_call_that_takes_too_long_costs_its_process_alone():
    with Workers(1) as workers:
        late = workers.submit(time.sleep, 600, timeout=0.2)
        fine = workers.submit(operator.neg, 1, timeout=60)
        with pytest.raises(WorkerLostError, match="took longer than the time-out"):
            late.result()
        assert fine.result() == -1


def test_a_worker_that_was_ended_leaves_no_timer_behind():
    worker = _Worker(0)
    worker.end()
    with pytest.raises(WorkerLostError, match="ended with exit code -9"):
        worker.call(time.sleep, (600,), timeout=600)
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def run(script: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, script.name, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=script.parent,
    )
    return done.stdout


@pytest.mark.parametrize("script", [SCRIPT, TIMED])
def test_a_script_needs_no_guard(tmp_path, script):
    (tmp_path / "script.py").write_text(script)
    assert run(tmp_path / "script.py", "0") == "started\n4\n"


def test_modules_of_the_working_folder_are_not_taken_for_others(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "script.py").write_text(SCRIPT)
    (tmp_path / "pickle.py").write_text("raise SystemExit('the wrong pickle')")
    done = subprocess.run(
        [sys.executable, "scripts/script.py", "0"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.stdout, done.stderr) == ("started\n4\n", "")


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
        wait_until(lambda: len(children(parent.pid)) >= 2)
        workers = children(parent.pid)
        time.sleep(1.0)  # let them reach their tasks
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_an_interrupt_is_told_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(script), "600"], stderr=subprocess.PIPE, start_new_session=True
    ) as parent:
        wait_until(lambda: len(children(parent.pid)) >= 2)
        workers = children(parent.pid)
        time.sleep(1.0)  # let them reach their tasks
        os.killpg(parent.pid, signal.SIGINT)
        told = parent.stderr.read().decode()
    assert told.count("KeyboardInterrupt") == 1
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
