"""Builds: what comes in, what is left out and said, and what survives kills and rivals."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from crystal_data.crystal import Crystal
from crystal_data.errors import Reason, Rejection
from crystal_data.io.cif import to_cif
from crystal_data.io.options import ReadOptions
from crystal_data.io.poscar import to_poscar
from crystal_data.io.pymatgen import to_json
from crystal_data.io.record import Record
from crystal_data.io.rejected import read_rejected
from crystal_data.sources.base import CrystalSource
from crystal_data.store import CrystalStore, InvalidSourceError, open_store, store_folder


class ListSource(CrystalSource):
    """Records at hand; counts how often they are read."""

    def __init__(self, items: list[Record | Rejection], content: str = "1") -> None:
        self.items = items
        self.content = content
        self.reads = 0

    @property
    def name(self) -> str:
        return "list: of things"

    @property
    def units(self) -> dict[str, str]:
        return {"energy": "eV/atom"}

    def fingerprint(self) -> str:
        return self.content

    def records(self) -> Iterator[Record | Rejection]:
        self.reads += 1
        return iter(self.items)


def rock_salt(a: float) -> Crystal:
    return Crystal(
        a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]),
        np.array([[0, 0, 0], [0.5, 0.5, 0.5]]),
        np.array([11, 17]),
    )


def record(number: int, **changes: object) -> Record:
    given = {
        "identifier": f"x-{number}",
        "structure": to_cif(rock_salt(5.0 + number / 1000)),
        "properties": {"energy": float(number), "name": f"n{number}"},
        "split": ("train", "val", "test")[number % 3],
        "parent": f"p{number // 2}",
        "file": "list.csv",
    }
    return Record(**{**given, **changes})


BAD = [
    record(100, structure="data_x\n_cell_length_a 5"),
    Rejection("x-101", "list.csv", "read", Reason.UNREADABLE, "line 7 is not text"),
    record(102, structure=rock_salt(0.6), format="crystal"),
    record(103, properties={"energy": "high"}),
    record(0),
    record(104, parent="a\0b"),
]


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_columns_hold_what_the_source_says(tmp_path):
    source = ListSource([record(number) for number in range(7)])
    store = open_store(source, cache=tmp_path)
    assert store.column("identifier")[:] == [f"x-{n}" for n in range(7)]
    assert store.column("parent")[:] == [f"p{n // 2}" for n in range(7)]
    assert set(store.column("file")[:]) == {"list.csv"}
    assert store.column("energy").tolist() == list(range(7))
    assert store.column("name")[:] == [f"n{n}" for n in range(7)]
    assert store.rows_of("test").tolist() == [2, 5]
    np.testing.assert_allclose(store.crystal(4).lengths, rock_salt(5.004).lengths, atol=1e-6)
    about = store.metadata
    assert about["source"] == source.name
    assert about["fingerprint"] == "1"
    assert store.units == source.units
    assert about["rejected"] == 0
    assert about["counts"]["crystals"] == 7
    assert about["options"] == ReadOptions().as_dict()
    assert ":" not in store.path.name


@pytest.mark.parametrize("form", ["crystal", "cif", "poscar", "json"])
def test_overlaps_below_the_usual_bound_can_be_allowed(tmp_path, form):
    close = Crystal(np.eye(3) * 5.0, [[0, 0, 0], [0.08, 0, 0]], [1, 1])  # 0.4 Å
    structure = {"crystal": close, "cif": to_cif(close), "poscar": to_poscar(close),
                 "json": to_json(close)}[form]  # fmt: skip
    source = ListSource([Record("h2", structure, form)])
    assert (
        len(
            open_store(source, cache=tmp_path, options=ReadOptions(min_distance=0.3), num_workers=0)
        )
        == 1
    )
    with pytest.raises(InvalidSourceError, match=r"0\.400 Å apart, the minimum is 0\.5 Å"):
        open_store(source, cache=tmp_path, num_workers=0)


def test_second_opening_reads_nothing_and_other_options_build_anew(tmp_path):
    source = ListSource([record(number) for number in range(3)])
    first = open_store(source, cache=tmp_path)
    again = open_store(source, cache=tmp_path)
    assert (source.reads, again.path) == (1, first.path)
    assert store_folder(source, cache=tmp_path) == first.path
    assert (
        open_store(source, cache=tmp_path, options=ReadOptions(min_distance=0.4)).path != first.path
    )
    source.content = "2"
    assert open_store(source, cache=tmp_path).path != first.path
    assert source.reads == 3


def test_skip_leaves_out_counts_and_lists(tmp_path, capfd):
    good = [record(number) for number in range(5)]
    source = ListSource([*good[:2], *BAD[:3], *good[2:], *BAD[3:]])
    store = open_store(source, cache=tmp_path, on_invalid="skip")
    assert store.column("identifier")[:] == [r.identifier for r in good]
    assert store.column("energy").tolist() == [0, 1, 2, 3, 4]
    said = capfd.readouterr().err
    assert f"6 of 11 structures left out, see {store.path / 'rejected.csv'}" in said
    rejected = read_rejected(store.path / "rejected.csv")
    assert [(r.identifier, r.stage, r.reason) for r in rejected] == [
        ("x-100", "read", rejected[0].reason),
        ("x-101", "read", Reason.UNREADABLE),
        ("x-102", "check", Reason.OVERLAPPING_ATOMS),
        ("x-103", "check", Reason.BAD_VALUE),
        ("x-0", "read", Reason.DUPLICATE_IDENTIFIER),
        ("x-104", "check", Reason.BAD_VALUE),
    ]
    assert "property 'energy' is text, where others have a number" in rejected[3].detail
    # The next run says it again, though nothing is built.
    open_store(source, cache=tmp_path, on_invalid="skip")
    assert "6 of 11 structures left out" in capfd.readouterr().err


def test_error_names_reasons_and_remedy_and_keeps_the_table(tmp_path):
    source = ListSource([record(0), *BAD])
    for _ in range(2):
        with pytest.raises(InvalidSourceError) as caught:
            open_store(source, cache=tmp_path)
        message = str(caught.value)
        assert "6 of 7 structures cannot be used" in message
        assert "x-101 (list.csv): line 7 is not text [unreadable]" in message
        assert "and 1 more" in message
        assert "on_invalid='skip'" in message
        assert len(read_rejected(caught.value.rejected_path)) == 6
    assert source.reads == 1
    assert len(open_store(source, cache=tmp_path, on_invalid="skip")) == 1
    assert source.reads == 1


def test_nothing_left_is_an_error_even_when_skipping(tmp_path):
    with pytest.raises(InvalidSourceError, match="not one structure is left"):
        open_store(ListSource(BAD[:1]), cache=tmp_path, on_invalid="skip")
    with pytest.raises(InvalidSourceError, match="holds no structures at all"):
        open_store(ListSource([], "2"), cache=tmp_path, on_invalid="skip")


def test_disorder_may_be_skipped_while_all_else_is_an_error(tmp_path, capfd):
    text = to_cif(rock_salt(5.0))
    (site,) = [line for line in text.splitlines() if line.split()[:1] == ["Na"]]
    mixed = text.replace(site, site.rsplit(maxsplit=1)[0] + " 0.5")
    good, disordered = record(0), record(1, structure=mixed)
    with pytest.raises(InvalidSourceError, match=r"1 of 2 structures .*\n  x-1 .*\[disordered\]"):
        open_store(ListSource([good, disordered]), cache=tmp_path)
    store = open_store(
        ListSource([good, disordered]), cache=tmp_path, options=ReadOptions(on_disorder="skip")
    )
    assert len(store) == 1
    assert "1 of 2 structures left out" in capfd.readouterr().err
    with pytest.raises(InvalidSourceError, match="1 of 3 structures cannot be used"):
        open_store(
            ListSource([good, disordered, BAD[0]], "2"),
            cache=tmp_path,
            options=ReadOptions(on_disorder="skip"),
        )


def test_crystals_keep_their_own_properties(tmp_path):
    crystal = rock_salt(5.0).replace(properties={"forces": np.ones((2, 3)), "energy": 1.0})
    items = [record(0, structure=crystal, format="crystal", properties={"energy": 2.0})]
    store = open_store(ListSource(items), cache=tmp_path)
    assert store.column("energy").tolist() == [2.0]
    assert store.column("forces").tolist() == [[1.0] * 3] * 2


def test_workers_and_one_process_write_equal_bytes(tmp_path):
    items = [record(number) for number in range(2200)]
    items[3::500] = [record(10_000 + n, structure="data_nothing") for n in range(5)]
    alone = open_store(ListSource(items), cache=tmp_path / "a", num_workers=0, on_invalid="skip")
    together = open_store(ListSource(items), cache=tmp_path / "b", num_workers=2, on_invalid="skip")
    assert len(alone) == 2195
    assert folder_bytes(alone.path) == folder_bytes(together.path)


def test_truncated_column_is_built_anew(tmp_path, capfd):
    source = ListSource([record(number) for number in range(3)])
    folder = open_store(source, cache=tmp_path).path
    whole = folder_bytes(folder)
    (folder / "lattice.npy").write_bytes(whole["lattice.npy"][:-1])
    open_store(source, cache=tmp_path)
    assert "lattice.npy: has" in capfd.readouterr().err
    assert folder_bytes(folder) == whole
    assert source.reads == 2


def test_failing_source_leaves_nothing(tmp_path):
    class Failing(ListSource):
        def records(self) -> Iterator[Record | Rejection]:
            yield record(0)
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        open_store(Failing([]), cache=tmp_path)
    assert not [path for path in tmp_path.iterdir() if not path.name.endswith(".lock")]


# Children are forked from a process that has imported everything once, so that a kill can hit
# any moment of a build and not the import of torch.
SCRIPT = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
import numpy as np
import crystal_data.graphs.neighbors
from crystal_data.crystal import Crystal
from crystal_data.graphs.spec import GraphSpec
from crystal_data.sources.base import CrystalSource
from crystal_data.io.record import Record
from crystal_data.store import EdgeColumn, open_store

class Slow(CrystalSource):
    name = "slow"
    def __init__(self, cache):
        self.cache = Path(cache)
    def fingerprint(self):
        return "slow"
    def records(self):
        with self.cache.with_suffix(".reads").open("a") as file:
            file.write("read\\n")
        rng = np.random.default_rng(0)
        for number in range(600):
            if number % 20 == 0:
                time.sleep(0.005)
            crystal = Crystal(
                np.eye(3) * 6, np.array([[0, 0, 0], [0.5, 0.5, rng.uniform(0.3, 0.7)]]), [11, 17]
            )
            yield Record(f"s{number}", crystal, "crystal", {"x": float(rng.normal())}, "train")

def build(cache):
    store = open_store(Slow(cache), cache=cache, num_workers=0)
    store.add_column(EdgeColumn(GraphSpec(max_neighbors=3)))

def child(cache):
    pid = os.fork()
    if pid == 0:
        build(cache)
        os._exit(0)
    return pid

build("alone")
start = time.monotonic()
build("warm")
duration = time.monotonic() - start

rivals = [os.waitpid(pid, 0)[1] for pid in [child("rivals"), child("rivals")]]

draw = random.Random(0)
leftovers, killed = [], Path("killed")
while len(leftovers) < 10:
    pid = child(killed)
    time.sleep(draw.uniform(0, duration))
    os.kill(pid, signal.SIGKILL)
    if os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
        leftovers.append(len(list(killed.rglob("*.building-*"))))
    else:  # it had come to its end, and left nothing to do for the next
        shutil.rmtree(killed)
build(killed)
print(json.dumps({"rivals": rivals, "leftovers": leftovers}))
"""


@pytest.fixture(scope="module")
def hardships(tmp_path_factory):
    """Folder with stores built alone, by two rivals at once, and after ten kills; the protocol."""
    if not hasattr(os, "fork"):
        pytest.skip("forks its rivals")
    folder = tmp_path_factory.mktemp("hardships")
    script = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=folder,
        check=True,
        timeout=200,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return folder, json.loads(script.stdout)


def all_bytes(cache: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(cache)): path.read_bytes()
        for path in cache.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.mark.slow
def test_two_processes_build_once(hardships):
    folder, protocol = hardships
    assert protocol["rivals"] == [0, 0]
    assert (folder / "rivals.reads").read_text() == "read\n"
    assert all_bytes(folder / "rivals") == all_bytes(folder / "alone")


@pytest.mark.slow
def test_ten_killed_builds_leave_the_store_right(hardships):
    folder, protocol = hardships
    assert len(protocol["leftovers"]) == 10
    assert max(protocol["leftovers"]) == 1  # kills hit builds, and none adds to what others left
    assert all_bytes(folder / "killed") == all_bytes(folder / "alone")
    assert not [p for p in (folder / "killed").rglob("*") if "building" in p.name]
    (store_path,) = (p for p in (folder / "killed").iterdir() if p.is_dir())
    store = CrystalStore.open(store_path)
    rng = np.random.default_rng(0)
    z, x = np.array([[rng.uniform(0.3, 0.7), rng.normal()] for _ in range(600)]).T
    np.testing.assert_array_equal(store.column("frac_coords")[1::2, 2], z)
    np.testing.assert_array_equal(store.column("x"), x)
