"""Stores that are damaged on disk: built again with a message, never used."""

import pickle
import random
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
from lightning.pytorch import LightningModule, Trainer

from crystal_data.crystal import Crystal
from crystal_data.graphs.spec import GraphSpec
from crystal_data.io.record import Record
from crystal_data.loading import BatchNeeds, CrystalDataModule, CrystalDataset
from crystal_data.loading.needs import NeedsBatches
from crystal_data.sources.base import CrystalSource
from crystal_data.store import CrystalStore, EdgeColumn, StoreError, manifest, open_store
from crystal_data.store.columns import NpyWriter, map_array

SPEC = GraphSpec(max_neighbors=4)


class Few(CrystalSource):
    """Six crystals with a number, a text and, of two that are left out, a reason."""

    name = "few"

    def fingerprint(self) -> str:
        return "few"

    def records(self) -> Iterator[Record]:
        rng = np.random.default_rng(0)
        for number in range(6):
            crystal = Crystal(
                np.diag(rng.uniform(4, 6, size=3)),
                np.array([[0, 0, 0], [0.5, 0.5, rng.uniform(0.4, 0.6)]]),
                [11, 17],
            )
            values = {"energy": float(number), "name": f"n{number}"}
            split = ("train", "val", "test")[number % 3]
            yield Record(f"x-{number}", crystal, "crystal", values, split, file="few.csv")
        yield Record("bad-1", "data_x", "cif")
        yield Record("bad-2", "data_y", "cif")


def opened(cache) -> CrystalStore:
    return open_store(Few(), cache=cache, on_invalid="skip", num_workers=0)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def flip(path, draw, whole):
    place = draw.randrange(len(whole))
    changed = bytearray(whole)
    changed[place] ^= 1 << draw.randrange(8)
    path.write_bytes(changed)


def test_no_flipped_bit_is_used(tmp_path, capfd):
    folder = opened(tmp_path).path
    whole, draw = contents(folder), random.Random(0)
    assert {"manifest.json", "rejected.csv", "lattice.npy", "property-0.npy"} <= whole.keys()
    # Each file at least once: headers, numbers, text, offsets, the table of what was left out.
    for name in [*whole, *draw.choices(sorted(whole), k=34)]:
        flip(folder / name, draw, whole[name])
        with pytest.raises(StoreError, match=name):
            CrystalStore.open(folder)
        (folder / name).write_bytes(whole[name])
    for name in ("manifest.json", "rejected.csv", "lattice.npy", "property-1.utf8.npy"):
        flip(folder / name, draw, whole[name])
        capfd.readouterr()
        opened(tmp_path)
        said = capfd.readouterr().err
        assert said.count("building it anew") == 1, name
        assert f"{name}: " in said
        assert contents(folder) == whole, name


def test_no_flipped_bit_of_edges_is_used(tmp_path, capfd):
    store = opened(tmp_path)
    store.add_column(EdgeColumn(SPEC), num_workers=0)
    folder = store.path / EdgeColumn(SPEC).folder_name
    whole, draw = contents(folder), random.Random(0)
    expected = store.batch(range(6), (), SPEC).edge_length
    for name in [*whole, *draw.choices(sorted(whole), k=15)]:
        flip(folder / name, draw, whole[name])
        fresh = CrystalStore.open(store.path)
        with pytest.raises(StoreError, match=name):
            fresh.batch([0], (), SPEC)
        capfd.readouterr()
        fresh.add_column(EdgeColumn(SPEC), num_workers=0)
        assert f"{name}: " in capfd.readouterr().err
        assert contents(folder) == whole, name
        assert fresh.batch(range(6), (), SPEC).edge_length.equal(expected)


@pytest.mark.parametrize("damage", ["empty", "half", "missing", "folder", "link"])
@pytest.mark.parametrize("name", ["manifest.json", "frac_coords.npy", "identifier.utf8.npy"])
def test_other_damage_is_found_too(tmp_path, name, damage):
    folder = opened(tmp_path).path
    whole, path = contents(folder), folder / name
    path.unlink()
    if damage in ("empty", "half"):
        path.write_bytes(whole[name][: len(whole[name]) // 2 if damage == "half" else 0])
    elif damage == "folder":
        path.mkdir()
    elif damage == "link":
        path.symlink_to(path)  # leads to itself
    with pytest.raises(StoreError):
        CrystalStore.open(folder)
    opened(tmp_path)
    assert contents(folder) == whole


def test_a_copy_that_was_cut_short_is_not_used(tmp_path):
    folder = opened(tmp_path / "a").path
    copy = shutil.copytree(folder, tmp_path / "b" / folder.name)
    (copy / "lattice.npy").write_bytes((copy / "lattice.npy").read_bytes()[:-512] + b"\0" * 512)
    opened(tmp_path / "b")
    assert contents(copy) == contents(folder)


@pytest.fixture
def files_read(monkeypatch):
    """Every file that is read for its checksum."""
    read, original = [], manifest._crc32
    monkeypatch.setattr(manifest, "_crc32", lambda path: read.append(path) or original(path))
    return read


def test_only_the_process_that_opens_a_store_reads_all_of_it(tmp_path, files_read):
    data = CrystalDataModule(Few(), cache=tmp_path, on_invalid="skip")
    data.configure(("energy",), SPEC).prepare_data()
    data.setup()
    files_read.clear()
    dataset = CrystalDataset(data.store, targets=("energy",), graph_spec=SPEC)
    assert {path.parent for path in files_read} == {data.store.path / EdgeColumn(SPEC).folder_name}
    files_read.clear()
    # What a worker of a loader does, forked or started anew.
    data.store.batch([0, 1], ("energy",), SPEC)
    worker = pickle.loads(pickle.dumps(dataset))
    assert worker.store.batch([0, 1], ("energy",), SPEC).edge_index is not None
    assert files_read == []


class Reader(LightningModule, NeedsBatches):
    """Asks for edges and predicts nothing."""

    needs = BatchNeeds(("energy",), SPEC)

    def predict_step(self, batch, batch_idx):
        assert batch.edge_index.shape[1] > 0
        return {}


def test_a_trainer_reads_every_file_once(tmp_path, files_read):
    store = opened(tmp_path)
    store.add_column(EdgeColumn(SPEC))
    places = (store.path, store.path / EdgeColumn(SPEC).folder_name)
    columns = [path for place in places for path in place.glob("*.npy")]
    files_read.clear()
    data = CrystalDataModule(Few(), cache=tmp_path, batch_size=3)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path / "run",
        use_distributed_sampler=False,
    )
    trainer.predict(Reader(), datamodule=data, return_predictions=False)
    assert sorted(files_read) == sorted([store.path / "rejected.csv", *columns])


def test_a_damaged_header_of_a_column_is_a_value_error(tmp_path):
    path, draw = tmp_path / "x.npy", random.Random(0)
    writer = NpyWriter(path, np.float64, (3,))
    writer.append(np.ones((4, 3)))
    writer.finish()
    whole, refused = path.read_bytes(), 0
    for _ in range(200):
        changed = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            changed[draw.randrange(100)] = draw.randrange(256)
        path.write_bytes(changed)
        try:
            map_array(path)
        except ValueError as error:
            refused += str(path) in str(error)
    assert refused > 100


def test_damaged_exclusions_are_compared_again(tmp_path, capfd):
    ids = tmp_path / "ids.txt"
    ids.write_text("x-0\n")

    def left_out():
        data = CrystalDataModule(Few(), cache=tmp_path, on_invalid="skip", exclude=[str(ids)])
        data.configure(("energy",)).prepare_data()
        data.setup("fit")
        return data.data_info()["excluded"], data.data_info()["exclusion_sha256"]

    expected = left_out()
    (path,) = tmp_path.glob("few-*/excluded-*.json")
    whole, draw = path.read_bytes(), random.Random(0)
    for _ in range(8):
        flip(path, draw, whole)
        capfd.readouterr()
        assert left_out() == expected
        assert "comparing anew" in capfd.readouterr().err
        assert path.read_bytes() == whole
