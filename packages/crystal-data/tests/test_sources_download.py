"""Downloads from a real server on this machine that fails in the ways servers do."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crystal_data.sources.download import DownloadError, RemoteFile, fetch

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


@pytest.mark.parametrize("known", [{"sha256": "0" * 64}, {"size": 5}])
def test_wrong_content_is_refused_and_leaves_nothing(
    server: Server, tmp_path: Path, known: dict[str, object]
) -> None:
    with pytest.raises(DownloadError, match=SHA256):
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
