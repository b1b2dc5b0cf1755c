"""Commands that end with who started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crystal_data.processes.parent import as_parent

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc who is there")

# A parent that starts a child and waits; the child says its own process id and waits too.
CHILD = (
    "import os, time; from crystal_data.processes.parent import end_with_parent; "
    "end_with_parent(); print(os.getpid(), flush=True); {wait}"
)
PARENT = """
import subprocess, sys, time
from contextlib import nullcontext
from crystal_data.processes.parent import as_parent
with {how}:
    subprocess.Popen([sys.executable, "-c", {child!r}])
{end}
"""


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    # An orphan that nobody has waited for yet is dead all the same.
    return status.rpartition(")")[2].split()[0] != "Z"


def gone(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not alive(pid):
            return True
        time.sleep(0.05)
    return not alive(pid)


def orphan(how: str, wait: str = "time.sleep(60)") -> int:
    """Process id of a child whose parent was killed."""
    code = PARENT.format(how=how, child=CHILD.format(wait=wait), end="time.sleep(60)")
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.send_signal(signal.SIGKILL)
    return child


@pytest.mark.parametrize(
    "wait",
    ["time.sleep(60)", "import socket; s = socket.create_server(('', 0)); s.accept()"],
    ids=["sleeping", "blocked"],
)
def test_a_child_ends_when_its_parent_is_killed(wait):
    # Within a second on an idle machine; by itself it would end after a minute or never.
    assert gone(orphan("as_parent()", wait), 30)


def test_a_child_that_was_not_asked_outlives_its_parent():
    child = orphan("nullcontext()")
    try:
        assert not gone(child, 1.5)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_child_whose_parent_is_gone_before_it_looks_ends_at_once():
    slow = "n = os.environ['CRYSTAL_PARENT']\nwhile str(os.getppid()) == n: time.sleep(0.01)\n"
    child = f"import os, time\n{slow}{CHILD.format(wait='')}"
    code = PARENT.format(how="as_parent()", child=child, end="")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    # The pipes are read until the child has closed them too. Where orphans go to another process
    # than number 1, they cannot be told from a child of that process.
    if done.stdout == "":
        assert "the process that started this one is gone" in done.stderr


def test_the_environment_is_as_it_was(monkeypatch):
    monkeypatch.delenv("CRYSTAL_PARENT", raising=False)
    with as_parent():
        assert os.environ["CRYSTAL_PARENT"] == str(os.getpid())
    assert "CRYSTAL_PARENT" not in os.environ
