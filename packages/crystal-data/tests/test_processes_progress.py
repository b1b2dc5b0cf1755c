"""Long work shows a sign of life, short work none; without a terminal as lines that grow rare."""

import subprocess
import sys
import time

import pytest

from crystal_data.processes import progress as module
from crystal_data.processes.progress import Pace, progress


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(module, "FIRST_SIGN", 0.05)


def test_lines_come_after_twice_the_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "FIRST_SIGN", 2.0)
    pace, due = Pace(), []
    for second in range(1200):
        now[0] = 100.0 + second
        if pace.is_due():
            due.append(second)
    assert due == [2, 4, 8, 16, 32, 64, 128, 256, 512, 812, 1112]


def test_a_file_gets_lines(capsys):
    with progress("reading x", total=3000) as advance:
        time.sleep(0.12)
        advance(2000)
        advance(1000)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "reading x …"
    assert second.startswith("reading x: 2,000 of 3,000, ")
    assert second.endswith("/s")


def test_short_work_says_nothing(capsys, monkeypatch):
    monkeypatch.setattr(module, "FIRST_SIGN", 5.0)
    with progress("reading x") as advance:
        advance(1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("loads", "expected"),
    [("import numpy, torch, pymatgen.core", ["loading torch …"]), ("import numpy", [])],
)
def test_commands_say_what_they_load(tmp_path, loads, expected):
    (tmp_path / "own.py").write_text(f"def main(args):\n    {loads}\n    return 0\n")
    code = (
        "from crystal_data.cli.lazy import Command, dispatch\n"
        "raise SystemExit(dispatch('own', 'x', {'run': Command('x', 'own:main')}, ['run']))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr.splitlines() == expected
