"""What a user reads after a mistake of her own, and what a developer reads after one of ours."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from crystal_data.commands.lazy import Command, dispatch
from crystal_data.commands.mistakes import says_errors
from crystal_data.commands.signals import Terminated, until_signal
from crystal_data.crystal import Crystal

COMMANDS = {"interrupt": Command("", "test_commands_mistakes:interrupt")}


def interrupt(arguments):
    raise KeyboardInterrupt


def wrapped():
    try:
        Crystal(np.eye(3), [[0, 0, 0]], [0])
    except ValueError as error:
        raise RuntimeError("a library could not build it") from error


def missing_file():
    Path("nowhere.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("action", "message"), [(wrapped, "an atomic number is outside"), (missing_file, "nowhere.txt")]
)
def test_a_mistake_is_one_line(action, message, capsys):
    assert says_errors(lambda argv: action())([]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("error", [ValueError, KeyError, TypeError, RuntimeError])
def test_a_fault_keeps_its_traceback(error):
    def action(argv):
        raise error("of a library")

    with pytest.raises(error):
        says_errors(action)([])


def test_the_whole_traceback_can_be_asked_for(monkeypatch, capsys):
    monkeypatch.setenv("CRYSTAL_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError):
        says_errors(lambda argv: missing_file())([])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments", [["--help"], ["list"]])
def test_a_reader_that_leaves_is_no_error(arguments):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "crystal_data", *arguments],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert done.stderr == b""


@pytest.mark.parametrize("later", [Terminated, KeyboardInterrupt])
def test_terminated(later, capsys):
    """Also where a library turns the exception into that of Ctrl-C, as CatBoost does."""

    def run():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except SystemExit as error:
            raise later from error

    handler = signal.getsignal(signal.SIGTERM)
    assert until_signal("toy", run) == 143
    assert capsys.readouterr().err == "toy: terminated\n"
    assert signal.getsignal(signal.SIGTERM) is handler


def test_of_several_processes_the_first_one_reports(monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert until_signal("toy", lambda: interrupt([])) == 130
    assert capsys.readouterr().err == ""


def test_interrupted(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "test_commands_mistakes", sys.modules[__name__])
    assert dispatch("toy", "", COMMANDS, ["interrupt"]) == 130
    assert capsys.readouterr().err == "toy: interrupted\n"
