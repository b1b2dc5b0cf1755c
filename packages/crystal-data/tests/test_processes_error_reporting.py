"""What a user reads after a mistake of her own, and what a developer reads after one of ours."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from crystal_data.cli.check import main as check
from crystal_data.cli.lazy import Command, dispatch
from crystal_data.crystal import Crystal
from crystal_data.io import to_cif, write_text
from crystal_data.io.files import atomic_folder
from crystal_data.processes.error_reporting import report_errors
from crystal_data.processes.signals import Terminated, until_signal
from crystal_data.testing import rock_salt

COMMANDS = {"interrupt": Command("", "test_processes_error_reporting:interrupt")}


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
    assert report_errors(lambda argv: action())([]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("error", [ValueError, KeyError, TypeError, RuntimeError])
def test_a_fault_keeps_its_traceback(error):
    def action(argv):
        raise error("of a library")

    with pytest.raises(error):
        report_errors(action)([])


def test_the_whole_traceback_can_be_asked_for(monkeypatch, capsys):
    monkeypatch.setenv("CRYSTAL_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError):
        report_errors(lambda argv: missing_file())([])
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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="asks for a device that is full")
def test_standard_output_that_is_full():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "crystal_data", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ")
    assert b"No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@contextmanager
def largest_file(size):
    """Files of this process stay below a size, as on a full disk."""
    resource = pytest.importorskip("resource")
    earlier = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, earlier[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, earlier)


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(tmp_path / "cache"))
    path, folder = tmp_path / "table.csv", tmp_path / "cache" / "store"

    def fill_a_folder():
        with atomic_folder(folder) as draft:
            (draft / "column.bin").write_bytes(bytes(9000))

    for action, named, remedy in (
        (lambda: write_text(path, "x" * 9000), path, "free some space"),
        (fill_a_folder, folder, "set CRYSTAL_CACHE_HOME to a folder that can be written"),
    ):
        with largest_file(100):
            assert report_errors(lambda argv, action=action: action())([]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"error: {named}: File too large; {remedy}")
        assert len(error.splitlines()) == 1
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []


@pytest.mark.parametrize("kind", ["file", "read-only"])
def test_a_cache_that_cannot_be_written(kind, tmp_path, monkeypatch, capsys):
    cache = tmp_path / "cache"
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(cache))
    if kind == "file":
        cache.write_text("", encoding="utf-8")
    else:
        cache.mkdir()
        cache.chmod(0o500)
        if os.access(cache, os.W_OK):
            pytest.skip("this user may write everywhere")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.cif").write_text(to_cif(rock_salt()), encoding="utf-8")
    assert check([str(tmp_path / "data"), "--out", str(tmp_path / "rejected.csv")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {cache}")
    assert error.endswith("; set CRYSTAL_CACHE_HOME to a folder that can be written\n")


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


def test_interrupted_within_lightning(capsys):
    """Its trainer turns Ctrl-C into status 1, and ignores further ones."""

    def run():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            sys.exit(1)

    assert until_signal("toy", run) == 130
    assert capsys.readouterr().err == "toy: interrupted\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(SystemExit):
        until_signal("toy", lambda: sys.exit(2))


def test_of_several_processes_the_first_one_reports(monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert until_signal("toy", lambda: interrupt([])) == 130
    assert capsys.readouterr().err == ""


def test_interrupted(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "test_processes_error_reporting", sys.modules[__name__])
    assert dispatch("toy", "", COMMANDS, ["interrupt"]) == 130
    assert capsys.readouterr().err == "toy: interrupted\n"
