"""Downloads from a real server on this machine that fails in the ways servers do."""

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from crystal_data.sources.download import DownloadError, RemoteFile, fetch
from crystal_data.sources.hashing import hash_file, hash_files, remembered_hash

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one content; ``faults`` says what goes wrong, one entry for each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.faults: list[str] = []
        self.ranges = True
        self.tag: str | None = '"one"'
        self.requests: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file.bin"

    def handle_error(self, *args: object) -> None:
        """A client that hangs up early is no fault of the server's."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(dict(self.headers))
        fault = server.faults.pop(0) if server.faults else ""
        if fault.isdigit():
            self.send_error(int(fault))
            return
        body, start = server.content, 0
        wanted = self.headers.get("Range", "")
        current = self.headers.get("If-Range") in (None, server.tag)
        if wanted and server.ranges and current:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.tag:
            self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if fault == "truncate":
            self.wfile.write(body[start : start + 100_000])
            self.wfile.flush()
            self.close_connection = True
        else:
            self.wfile.write(body[start:])

    def log_message(self, *args: object) -> None:
        pass


class RawServer:
    """Answers each request with the same bytes, whatever they are, and hangs up."""

    def __init__(self, answer: bytes, *, repeats: int = 1) -> None:
        self._answer, self._repeats = answer, repeats
        self.sent = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if not connection.recv(1 << 16).startswith(b"GET"):
                    return
                try:
                    for _ in range(self._repeats):
                        connection.sendall(self._answer)
                        self.sent += len(self._answer)
                except OSError:
                    continue

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/file.bin"

    def __enter__(self) -> "RawServer":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as last:
            last.sendall(b"bye")
        self._thread.join()
        self._socket.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(tmp_path / "cache"))


def remote(server: Server, **known: object) -> RemoteFile:
    return RemoteFile("set/file.bin", (server.url,), **known)  # type: ignore[arg-type]


def get(file: RemoteFile, home: Path, attempts: int = 3) -> Path:
    return fetch(file, home, attempts=attempts, backoff=0.01, timeout=5.0)


def test_whole_file_arrives_and_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    file = remote(server, size=len(CONTENT), sha256=SHA256)
    path = get(file, tmp_path)
    assert path == tmp_path / "set" / "file.bin"
    assert path.read_bytes() == CONTENT
    assert get(file, tmp_path) == path
    assert len(server.requests) == 1
    assert not list(path.parent.glob("*.part*"))


def test_truncated_transfer_goes_on_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.faults = ["truncate", "truncate"]
    assert get(remote(server), tmp_path).read_bytes() == CONTENT
    starts = [r.get("Range", "bytes=0-").removeprefix("bytes=") for r in server.requests]
    # What had come in whole pieces of 64 KiB when the server went away is kept.
    assert starts == ["0-", "65536-", "131072-"]


def test_truncated_transfer_starts_anew_without_range_support(
    server: Server, tmp_path: Path
) -> None:
    server.faults, server.ranges = ["truncate"], False
    assert get(remote(server), tmp_path).read_bytes() == CONTENT


def test_part_without_a_tag_is_not_trusted(server: Server, tmp_path: Path) -> None:
    server.faults, server.tag = ["truncate"], None
    assert get(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.requests[1].get("Range") is None


def test_file_changed_between_tries_is_not_mixed(server: Server, tmp_path: Path) -> None:
    server.faults = ["truncate"]
    with pytest.raises(DownloadError):
        get(remote(server), tmp_path, attempts=1)
    server.content, server.tag = CONTENT[::-1], '"two"'
    assert get(remote(server), tmp_path).read_bytes() == CONTENT[::-1]


def test_errors_that_pass_are_retried(server: Server, tmp_path: Path) -> None:
    server.faults = ["500", "503"]
    assert get(remote(server), tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_missing_file_is_not_retried_and_the_message_helps(server: Server, tmp_path: Path) -> None:
    server.faults = ["404", "404", "404"]
    with pytest.raises(DownloadError) as caught:
        get(remote(server), tmp_path)
    assert len(server.requests) == 1
    for part in ("404", server.url, str(tmp_path / "set" / "file.bin"), "CRYSTAL_DATA_HOME"):
        assert part in str(caught.value)


def test_second_address_is_tried(server: Server, tmp_path: Path) -> None:
    server.faults = ["404"]
    file = RemoteFile("set/file.bin", (server.url, server.url))
    assert get(file, tmp_path).read_bytes() == CONTENT


def test_unreachable_server_names_url_and_path(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/file.bin"  # the discard port, where nothing listens
    with pytest.raises(DownloadError) as caught:
        get(RemoteFile("set/file.bin", (url,)), tmp_path, attempts=2)
    assert url in str(caught.value)
    assert str(tmp_path / "set" / "file.bin") in str(caught.value)


def test_file_without_address_is_asked_for_by_hand(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="place it there by hand"):
        get(RemoteFile("set/file.bin"), tmp_path)


@pytest.mark.parametrize(
    ("known", "message"),
    [({"sha256": "0" * 64}, SHA256), ({"size": 5}, "has 256000 bytes, expected 5")],
)
def test_wrong_content_is_refused_and_leaves_nothing(
    server: Server, tmp_path: Path, known: dict[str, object], message: str
) -> None:
    with pytest.raises(DownloadError, match=message):
        get(remote(server, **known), tmp_path)
    assert [p.name for p in (tmp_path / "set").iterdir() if p.suffix != ".lock"] == []


def test_unknown_hash_is_recorded_and_then_demanded(server: Server, tmp_path: Path) -> None:
    path = get(remote(server), tmp_path)
    log = json.loads((path.parent / "downloads.json").read_text())
    assert log["file.bin"]["sha256"] == SHA256
    assert log["file.bin"]["size"] == len(CONTENT)
    path.unlink()
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(DownloadError, match=r"downloads\.json"):
        get(remote(server), tmp_path)
    assert not path.exists()


def test_file_changed_on_disk_is_noticed(server: Server, tmp_path: Path) -> None:
    path = get(remote(server), tmp_path)
    path.write_bytes(CONTENT[:1000])
    with pytest.raises(DownloadError, match="changed or cut short"):
        get(remote(server), tmp_path)


def test_hand_fetched_file_needs_no_network(tmp_path: Path) -> None:
    place = tmp_path / "set" / "file.bin.gz"
    place.parent.mkdir()
    place.write_bytes(b"anything")
    assert get(RemoteFile("set/file.bin", ("http://127.0.0.1:9/",)), tmp_path) == place


def test_several_at_once_download_once(server: Server, tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=get, args=(remote(server, sha256=SHA256), tmp_path))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert (tmp_path / "set" / "file.bin").read_bytes() == CONTENT


def test_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="cannot be written"):
        get(remote(server), tmp_path)


OK = b"HTTP/1.1 200 OK\r\n"
PART = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: "
BROKEN = {
    "length is text": OK + b"Content-Length: abc\r\n\r\nhello",
    "length is negative": OK + b"Content-Length: -5\r\n\r\nhello",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
    "length is huge": OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nhello",
    "range has no end": PART + b"Content-Range: bytes 0-\r\n\r\nhello",
    "range is missing": PART + b"\r\nhello",
    "range begins later": PART + b"Content-Range: bytes 3-7/8\r\n\r\nhello",
    "range is a part": PART + b"Content-Range: bytes 0-4/8\r\n\r\nhello",
    "range of nothing known": PART + b"Content-Range: bytes 0-4/xx\r\n\r\nhello",
    "chunk of negative length": OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "chunk of no length": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "packed": OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "no protocol": b"\x00\xff\xfe\r\n\r\n",
    "nothing": b"",
    "many headers": OK + b"X: y\r\n" * 300 + b"\r\nhello",
    "long header": OK + b"X: " + b"y" * 70_000 + b"\r\n\r\nhello",
    "moved to no address": MOVED + b"http://[bad\r\n\r\n",
    "moved to no text": MOVED + b"http://\xff\xfe/\r\n\r\n",
    "moved to a long name": MOVED + b"http://" + b"a" * 300 + b".com/\r\n\r\n",
    "moved to a file": MOVED + b"file:///etc/passwd\r\n\r\n",
    "moved in circles": MOVED + b"/\r\n\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
def test_broken_headers_end_in_one_line(tmp_path: Path, answer: bytes) -> None:
    with RawServer(answer) as server, pytest.raises(DownloadError) as caught:
        get(RemoteFile("set/file.bin", (server.url,)), tmp_path, attempts=2)
    assert "\n" not in str(caught.value)
    assert server.url in str(caught.value)
    assert not (tmp_path / "set" / "file.bin").exists()


@pytest.mark.parametrize("head", [OK, OK + b"Transfer-Encoding: identity\r\n"])
def test_no_more_is_received_than_the_known_size(tmp_path: Path, head: bytes) -> None:
    body = bytes(1 << 20)
    with RawServer(head + b"\r\n" + body, repeats=200) as server:
        with pytest.raises(DownloadError, match="more than the 300000 bytes"):
            get(RemoteFile("set/file.bin", (server.url,), size=300_000), tmp_path)
        assert server.sent < 20 * len(body)  # what the system keeps on the way
    assert [p.name for p in (tmp_path / "set").iterdir() if p.suffix != ".lock"] == []


def test_size_of_the_first_download_is_known_too(server: Server, tmp_path: Path) -> None:
    get(remote(server), tmp_path).unlink()
    server.content = CONTENT * 2
    with pytest.raises(DownloadError, match="has 512000 bytes, expected 256000"):
        get(remote(server), tmp_path)


def link(part: Path, victim: Path) -> None:
    part.symlink_to(victim)


def dangling_link(part: Path, victim: Path) -> None:
    part.symlink_to(victim.with_name("new"))


def hard_link(part: Path, victim: Path) -> None:
    os.link(victim, part)


def pipe(part: Path, victim: Path) -> None:
    os.mkfifo(part)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there, pipes are others")
@pytest.mark.parametrize("name", ["file.bin.part", "file.bin.part.tag", "downloads.json"])
@pytest.mark.parametrize("make", [link, dangling_link, hard_link, pipe])
def test_links_are_not_followed(server: Server, tmp_path: Path, name: str, make: Any) -> None:
    victim = tmp_path / "thesis.tex"
    victim.write_text("{}")
    (tmp_path / "set").mkdir()
    make(tmp_path / "set" / name, victim)
    if name != "file.bin.part.tag":
        (tmp_path / "set" / "file.bin.part.tag").write_text('"one"')
    if (make, name) == (pipe, "downloads.json"):
        with pytest.raises(DownloadError, match=r"downloads\.json: a folder or pipe"):
            get(remote(server), tmp_path)
        return
    path = get(remote(server, size=len(CONTENT), sha256=SHA256), tmp_path)
    assert path.read_bytes() == CONTENT
    assert not path.is_symlink()
    assert victim.read_text() == "{}"
    assert not victim.with_name("new").exists()


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("name", ["file.bin.lock", "downloads.json.lock"])
def test_a_lock_that_is_a_link_changes_nothing(server: Server, tmp_path: Path, name: str) -> None:
    victim = tmp_path / "thesis.tex"
    victim.write_text("all of it")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / name).symlink_to(victim)
    with pytest.raises(DownloadError, match="cannot be written"):
        get(remote(server), tmp_path)
    assert victim.read_text() == "all of it"


def test_folder_in_the_place_of_a_part_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set" / "file.bin.part").mkdir(parents=True)
    with pytest.raises(DownloadError, match=r"cannot be written: .*file\.bin\.part"):
        get(remote(server), tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="there is no such limit")
def test_full_disk_is_named(server: Server, tmp_path: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DownloadError, match=r"the file cannot be written: .*too large"):
            get(remote(server), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(server.requests) == 1


@pytest.mark.parametrize("tag", [b"\xff\xfe", b'"one"\r\nX: y', b""])
def test_damaged_tag_begins_anew(server: Server, tmp_path: Path, tag: bytes) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file.bin.part").write_bytes(b"half of another file")
    (tmp_path / "set" / "file.bin.part.tag").write_bytes(tag)
    assert get(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.requests[0].get("Range") is None


def test_tag_that_cannot_be_sent_back_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.faults, server.tag = ["truncate"], '"\u00ff\u00e9"'
    assert get(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.requests[1].get("Range") is None


@pytest.mark.parametrize(
    "log",
    [
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"file.bin": 3}',
        b'{"file.bin": {"size": 3}}',
        b'{"file.bin": {"size": "3", "sha256": "' + b"0" * 64 + b'"}}',
        b'{"file.bin": {"size": 3, "sha256": "zz"}}',
    ],
    ids=range(8),
)
@pytest.mark.parametrize("is_there", [True, False])
def test_damaged_log_is_named(server: Server, tmp_path: Path, log: bytes, is_there: bool) -> None:
    path = get(remote(server), tmp_path)
    if not is_there:
        path.unlink()
    (path.parent / "downloads.json").write_bytes(log)
    with pytest.raises(
        DownloadError, match=r"downloads\.json.*; delete .*downloads\.json"
    ) as caught:
        get(remote(server), tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_memory_of_a_hash_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(CONTENT)
    os.utime(path, (1e9, 1e9))  # long ago, so that hashes are remembered
    expected = remembered_hash(path), hash_files([path])
    assert expected[0] == hash_file(path)
    memos = list((tmp_path / "cache" / "fingerprints").iterdir())
    assert len(memos) == 2
    for damage in (b"0" * 64, b"", b"\xff", expected[0].encode()):
        for memo in memos:
            memo.write_bytes(damage)
        assert (remembered_hash(path), hash_files([path])) == expected
