"""Stored edges against edges found anew in each batch."""

import pickle

import numpy as np
import pytest
import torch

from crystal_data.crystal import Crystal
from crystal_data.graphs.spec import GraphSpec
from crystal_data.store import CrystalStore, EdgeColumn

SPECS = [
    GraphSpec(max_neighbors=5),
    GraphSpec(cutoff=4.0, max_neighbors=None),
    GraphSpec(cutoff=6.0, max_neighbors=8, ties="cut"),
    GraphSpec(max_neighbors=3, line_graph=True),
    GraphSpec(cutoff=0.2, max_neighbors=None),  # nobody has neighbors
]


def random_crystals(count: int, max_atoms: int = 6) -> list[Crystal]:
    rng = np.random.default_rng(1)
    return [
        Crystal(
            lattice=np.eye(3) * rng.uniform(3, 6, size=3) + rng.normal(scale=0.4, size=(3, 3)),
            frac_coords=rng.uniform(-1, 2, size=(num_atoms, 3)),
            atomic_numbers=rng.integers(1, 90, size=num_atoms),
        )
        for num_atoms in rng.integers(1, max_atoms + 1, size=count)
    ]


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    path = tmp_path / "store" if request.param == "disk" else None
    return CrystalStore.from_crystals(random_crystals(30), path)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_cut_edges_equal_edges_found_in_the_batch(store, spec):
    assert store.batch([0], (), spec).edge_index is None
    store.add_column(EdgeColumn(spec))
    rows = np.array([4, 29, 4, 0, 11])
    batch = store.batch(rows, (), spec)
    expected = store.batch(rows).with_edges(spec)
    assert torch.equal(batch.edge_index, expected.edge_index)
    assert torch.equal(batch.edge_shift, expected.edge_shift)
    assert batch.edge_shift.dtype == batch.edge_index.dtype == torch.int64
    torch.testing.assert_close(batch.edge_length.double(), expected.edge_length, rtol=1e-6, atol=0)
    assert (batch.line_graph_index is not None) == spec.line_graph
    if spec.line_graph:
        assert torch.equal(batch.line_graph_index, expected.line_graph_index)


def test_many_chunks_equal_one(tmp_path, monkeypatch):
    spec = SPECS[0]
    stores = [CrystalStore.from_crystals(random_crystals(30), tmp_path / name) for name in "ab"]
    stores[0].add_column(EdgeColumn(spec))
    monkeypatch.setattr(EdgeColumn, "atoms_per_chunk", 7)
    stores[1].add_column(EdgeColumn(spec))
    for name in ("edge_index", "edge_shift", "edge_length", "offsets"):
        one, many = (s.path / EdgeColumn(spec).folder_name / f"{name}.npy" for s in stores)
        assert one.read_bytes() == many.read_bytes()


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_thin_cell_widens_shifts(tmp_path, monkeypatch, place):
    monkeypatch.setattr(EdgeColumn, "atoms_per_chunk", 4)
    thin = Crystal(np.diag([0.02, 5.0, 5.0]), np.zeros((1, 3)), np.array([1]))
    crystals = [*random_crystals(5), thin, *random_crystals(5)]
    spec = GraphSpec(cutoff=3.0, max_neighbors=None)
    store = CrystalStore.from_crystals(crystals, tmp_path / "s" if place == "disk" else None)
    store.add_column(EdgeColumn(spec))
    assert store.column_of(EdgeColumn(spec)).arrays["edge_shift"].dtype == np.int16
    batch, expected = store.batch(range(11), (), spec), store.batch(range(11)).with_edges(spec)
    assert torch.equal(batch.edge_shift, expected.edge_shift)
    assert int(batch.edge_shift.max()) == 150


def test_large_cells_widen_indices():
    rng = np.random.default_rng(0)
    large = Crystal(np.eye(3) * 20, rng.uniform(size=(300, 3)), np.full(300, 6))
    spec = GraphSpec(max_neighbors=4)
    store = CrystalStore.from_crystals([*random_crystals(3), large])
    store.add_column(EdgeColumn(spec))
    assert store.column_of(EdgeColumn(spec)).arrays["edge_index"].dtype == np.uint16
    batch, expected = store.batch(range(4), (), spec), store.batch(range(4)).with_edges(spec)
    assert torch.equal(batch.edge_index, expected.edge_index)


def test_key_tells_options_apart_but_not_line_graphs():
    keys = {EdgeColumn(spec).folder_name for spec in SPECS}
    assert len(keys) == len(SPECS)
    with_angles = EdgeColumn(GraphSpec(line_graph=True))
    assert with_angles.folder_name == EdgeColumn(GraphSpec()).folder_name


def test_edges_are_found_by_later_openings_and_workers(tmp_path):
    spec = SPECS[0]
    store = CrystalStore.from_crystals(random_crystals(8), tmp_path / "store")
    copy = CrystalStore.open(tmp_path / "store")
    store.add_column(EdgeColumn(spec))
    for other in (copy, pickle.loads(pickle.dumps(store))):
        assert other.batch([0, 1], (), spec).edge_index is not None
    memory = CrystalStore.from_crystals(random_crystals(8))
    memory.add_column(EdgeColumn(spec))
    assert pickle.loads(pickle.dumps(memory)).batch([0], (), spec).edge_index is not None


def test_damaged_edges_are_computed_anew(tmp_path, capfd):
    spec = SPECS[0]
    store = CrystalStore.from_crystals(random_crystals(8), tmp_path / "store")
    store.add_column(EdgeColumn(spec))
    column = store.path / EdgeColumn(spec).folder_name / "edge_length.npy"
    whole = column.read_bytes()
    column.write_bytes(whole[:-4])
    CrystalStore.open(store.path).add_column(EdgeColumn(spec))
    assert "edge_length.npy: has" in capfd.readouterr().err
    assert column.read_bytes() == whole
