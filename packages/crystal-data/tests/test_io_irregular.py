"""What a folder holds beside files: listed with a reason, and nothing waits for it."""

import os
import socket
from pathlib import Path

import pytest

from crystal_data.__main__ import main
from crystal_data.errors import Reason
from crystal_data.io.cif import to_cif
from crystal_data.io.read import read_crystals
from crystal_data.io.rejected import read_rejected
from crystal_data.sources import FolderSource, PathsSource
from crystal_data.store import open_store
from crystal_data.testing import rock_salt

WHAT = {
    "broken.cif": "a link to a file that does not exist",
    "folder.cif": "a folder",
    "loop.cif": "a link that leads to itself",
    "pipe.cif": "a pipe",
    "socket.cif": "a socket",
}

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders"),
    pytest.mark.timeout(60),  # reading a pipe would wait for ever
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(tmp_path / "cache"))
    # The path of a socket may have no more than some hundred characters.
    monkeypatch.chdir(tmp_path)
    place = Path("mine")
    place.mkdir()
    (place / "good.cif").write_text(to_cif(rock_salt()))
    (place / "linked.cif").symlink_to(to_elsewhere(tmp_path))
    (place / "broken.cif").symlink_to(tmp_path / "nowhere")
    (place / "loop.cif").symlink_to("loop.cif")
    os.mkfifo(place / "pipe.cif")
    (place / "folder.cif").mkdir()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(place / "socket.cif"))
    return place


def to_elsewhere(tmp_path):
    path = tmp_path / "elsewhere"
    path.write_text(to_cif(rock_salt(edge=5.7)))
    return path


def check(rejected):
    assert {Path(one.file).name for one in rejected} == set(WHAT)
    for one in rejected:
        name = Path(one.file).name
        assert one.identifier == name.removesuffix(".cif")
        assert one.detail.startswith(f"this is {WHAT[name]}, a file was expected")
        is_link = "link" in WHAT[name]
        assert one.reason == (Reason.MISSING_FILE if is_link else Reason.UNREADABLE)


def test_crystals_of_a_folder(folder):
    result = read_crystals(folder)
    assert [crystal.identifier for crystal in result.crystals] == ["good", "linked"]
    check(result.rejected)


@pytest.mark.parametrize("source", [FolderSource, lambda path: PathsSource([path])])
def test_sources(folder, source):
    store = open_store(source(folder), on_invalid="skip")
    assert list(store.strings("identifier")) == ["good", "linked"]
    check(read_rejected(store.path / "rejected.csv"))


def test_a_table_that_names_them(folder):
    names = [*WHAT, "good.cif"]
    (folder / "id_prop.csv").write_text("".join(f"{name},1\n" for name in names))
    store = open_store(FolderSource(folder), on_invalid="skip")
    assert list(store.strings("identifier")) == ["good"]
    check(read_rejected(store.path / "rejected.csv"))


@pytest.mark.parametrize("source", [FolderSource, lambda path: PathsSource([path])])
def test_one_that_comes_later_is_noticed(folder, source):
    before = source(folder).fingerprint()
    (folder / "new.cif").symlink_to("nowhere")
    assert source(folder).fingerprint() != before


@pytest.mark.parametrize("name", ["pipe.cif", "socket.cif"])
def test_one_that_is_given_by_itself(folder, name, capsys):
    assert main(["check", str(folder / name)]) == 0
    assert f"this is {WHAT[name]}" in capsys.readouterr().out


def test_subfolders_and_links_of_other_names_are_named(folder):
    (folder / "more").mkdir()
    (folder / "notes.txt").symlink_to("nowhere")
    ignored = read_crystals(folder).ignored
    assert [Path(path).name for path in ignored] == ["more", "notes.txt"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that fails to read")
def test_a_file_that_fails_to_read_stops_nothing(folder):
    (folder / "fails.cif").symlink_to("/proc/self/mem")
    store = open_store(FolderSource(folder), on_invalid="skip")
    assert list(store.strings("identifier")) == ["good", "linked"]
    details = {x.identifier: x.detail for x in read_rejected(store.path / "rejected.csv")}
    assert "cannot be read" in details["fails"]
