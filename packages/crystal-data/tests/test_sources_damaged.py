"""Lists of identifiers, split files and tables of rejections that are damaged: one line."""

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from crystal_data.errors import SourceError
from crystal_data.io.rejected import read_rejected
from crystal_data.sources import MP2018
from crystal_data.splits import CrystalSet
from crystal_data.splits.split import read_ids

HEADER = b"id,file,stage,reason,detail\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ids.json", b"{", "is damaged: Expecting property name"),
        ("ids.json", b'["a",', "is damaged: Expecting value"),
        ("ids.json", b"", "is damaged"),
        ("ids.json", b"[" * 100_000, "nested too deeply"),
        ("ids.json", b"3", "expected a list of identifiers"),
        ("ids.json", b'[["a"]]', "is no identifier"),
        ("ids.json", b"[null]", "None is no identifier"),
        ("ids.json", b"[1e400]", "inf is no identifier"),
        ("ids.json.gz", gzip.compress(b'["a"', mtime=0)[:-4], "is damaged: Compressed file ended"),
        ("ids.csv", b'id\n"a\nb\nc\n', "is damaged: unexpected end of data"),
        ("ids.csv", b"\xff\xff", "is not text in UTF-8"),
        ("ids.txt", b"a\n\xff\xff", "is not text in UTF-8"),
    ],
)
def test_a_damaged_list_of_identifiers_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=rf"{name}.*{message}") as caught:
        read_ids(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ids.txt", "ids.csv"])
def test_an_empty_list_leaves_nothing_out_and_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\n")
    assert read_ids(tmp_path / name) == []
    with pytest.raises(SourceError, match=f"{name} lists no identifiers"):
        CrystalSet.from_ids(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"id\n",
        HEADER + b"a,b\n",
        HEADER + b"a,b,c,lost,e\n",
        HEADER + b"\xff\xff",
    ],
    ids=range(5),
)
def test_a_damaged_table_of_rejections_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rejected.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"rejected\.csv: ") as caught:
        read_rejected(path)
    assert "\n" not in str(caught.value)


STRUCTURES, SPLIT = "mp_2018/mp.2018.6.1.json", "splits/megnet_e_form.json"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (SPLIT, b"{", "is damaged"),
        (SPLIT, b"[" * 100_000, "is damaged"),
        (SPLIT, b"[]", "expected identifiers under train, val, test"),
        (SPLIT, b'{"train": {}, "val": {}}', "expected identifiers under train, val, test"),
        (SPLIT, b'{"train": {}, "val": {}, "test": 3}', "expected identifiers under train"),
        (STRUCTURES, b"[" * 100_000, "is no list of structures"),
        (STRUCTURES, b"[3]", "entry 1 has no material_id"),
        (STRUCTURES, b'[{"id": 3}]', "entry 1 has no material_id"),
    ],
    ids=range(8),
)
def test_a_damaged_public_file_is_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    whole = {STRUCTURES: b"[]", SPLIT: json.dumps({"train": {}, "val": {}, "test": {}}).encode()}
    for file, text in (whole | {name: content}).items():
        path = tmp_path / f"{file}.zip"
        path.parent.mkdir()
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(Path(file).name, text)
    with pytest.raises(SourceError, match=rf"{name}.*{message}"):
        list(MP2018(root=tmp_path).records())
