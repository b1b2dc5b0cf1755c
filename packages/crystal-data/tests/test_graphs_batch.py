"""The batch: layout, edges, padding, and agreement with PyG's own batching."""

import pickle
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from lightning.fabric.utilities import move_data_to_device
from torch.utils.data import DataLoader

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.graphs.geometry import edge_vectors
from crystal_data.graphs.line_graph import bond_cosines, line_graph_index
from crystal_data.graphs.spec import GraphSpec
from crystal_data.store import CrystalStore
from crystal_data.testing import random_crystals

WITH_ANGLES = GraphSpec(max_neighbors=6, line_graph=True)


def crystals(count=6, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Crystal(
            3.5 * np.eye(3) + rng.normal(size=(3, 3)),
            rng.uniform(-1, 2, (size, 3)),
            rng.integers(1, 90, size),
            identifier=f"c-{size}",
        )
        for size in range(1, count + 1)
    ]


def batch_of(items):
    arrays = {
        "lattice": np.stack([c.lattice for c in items]),
        "frac_coords": np.concatenate([c.frac_coords for c in items]),
        "atomic_numbers": np.concatenate([c.atomic_numbers for c in items]),
        "num_atoms": np.array([c.num_atoms for c in items]),
    }
    rows = np.arange(len(items), dtype=np.float64)
    targets = {
        "gap": np.where(rows % 2 == 0, rows, np.nan),
        "dos": np.stack([rows, rows + 1], axis=1),
    }
    return CrystalBatch.from_arrays(
        **arrays, identifier=[c.identifier for c in items], targets=targets
    )


def assert_crystals_equal(left, right):
    assert left.identifier == right.identifier
    np.testing.assert_array_equal(left.lattice, right.lattice)
    np.testing.assert_array_equal(left.frac_coords, right.frac_coords)
    np.testing.assert_array_equal(left.atomic_numbers, right.atomic_numbers)


def test_crystals_come_back():
    items = crystals()
    back = batch_of(items).with_edges(WITH_ANGLES).to_crystals()
    for left, right in zip(items, back, strict=True):
        assert_crystals_equal(left, right)
    assert [set(crystal.properties) for crystal in back] == [{"gap", "dos"}, {"dos"}] * 3
    assert back[2].properties["gap"] == 2.0
    np.testing.assert_array_equal(back[3].properties["dos"], [3.0, 4.0])


def test_masked_atoms_have_no_crystal():
    batch = CrystalBatch.from_crystals(crystals(2))
    batch.atomic_numbers[-1] = 0
    with pytest.raises(InvalidCrystalError, match="c-2"):
        batch.to_crystals()


def test_importing_and_batching_need_no_pyg():
    """PyG takes as long to import as torch."""
    script = """
import sys
import numpy as np
from crystal_data.crystal import Crystal
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.graphs.spec import GraphSpec
from crystal_data.store import CrystalStore
from crystal_data.testing import random_crystals
batch = CrystalBatch.from_crystals([Crystal(4 * np.eye(3), [[0, 0, 0]], [6])])
batch.with_edges(GraphSpec()).float32().to("cpu")
print("torch_geometric" in sys.modules)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


def assert_same_batch(left, right):
    for one in fields(CrystalBatch):
        a, b = getattr(left, one.name), getattr(right, one.name)
        if isinstance(a, torch.Tensor):
            assert torch.equal(a, b), one.name
        elif one.name == "targets":
            torch.testing.assert_close(a, b, equal_nan=True, atol=0, rtol=0)
        else:
            assert a == b, one.name


@pytest.mark.parametrize("spec", [None, GraphSpec(), WITH_ANGLES])
def test_to_pyg_and_back(spec):
    batch = batch_of(crystals())
    batch = batch if spec is None else batch.with_edges(spec)
    batch.masked_sites = batch.atomic_numbers > 20
    data = batch.to_pyg()
    assert ("edge_index" in data) is (spec is not None)
    assert "strain" not in data
    assert_same_batch(batch, CrystalBatch.from_pyg(data))
    assert CrystalBatch.from_pyg(replace(batch, is_filler=True).to_pyg()).is_filler


def test_pyg_joins_batches():
    from torch_geometric.data import Batch

    items = crystals()
    whole = batch_of(items).with_edges(WITH_ANGLES)
    singles = [batch_of(items[:4]), batch_of(items[4:])]
    pyg = Batch.from_data_list([one.with_edges(WITH_ANGLES).to_pyg() for one in singles])
    back = CrystalBatch.from_pyg(pyg)
    # Each counted its own crystals; PyG joins what it is given.
    assert back.sample_id.tolist() == [0, 1, 2, 3, 0, 1]
    torch.testing.assert_close(back.edge_length, whole.edge_length, atol=1e-12, rtol=0)
    assert_same_batch(
        whole,
        replace(
            back,
            sample_id=whole.sample_id,
            targets=whole.targets,
            edge_length=whole.edge_length,
        ),
    )


def test_data_of_another_kind_are_refused():
    data = batch_of(crystals()).to_pyg()
    data.charge = torch.zeros(3)
    with pytest.raises(ValueError, match=r"from_pyg: the data has charge besides; give it what"):
        CrystalBatch.from_pyg(data)
    del data.charge, data.lattice, data.num_atoms
    with pytest.raises(ValueError, match=r"from_pyg: the data has no lattice, num_atoms"):
        CrystalBatch.from_pyg(data)


def test_what_a_batch_has_not_is_none_and_cannot_be_misspelled():
    batch = batch_of(crystals())
    assert batch.edge_index is None
    assert batch.strain is None
    with pytest.raises(AttributeError, match="edge_idx"):
        batch.edge_idx = torch.zeros(2, 0)


def test_what_needs_edges_says_so():
    batch = batch_of(crystals())
    with pytest.raises(ValueError, match=r"CGCNN needs edges and the batch has none; .*with_edges"):
        batch.edges("CGCNN")
    batch = batch.with_edges(GraphSpec())
    assert batch.edges("CGCNN").edge_length is batch.edge_length
    with pytest.raises(ValueError, match=r"ALIGNN needs the line graph .* has edges alone"):
        batch.line_graph("ALIGNN")


def test_a_copy_shares_what_stays_and_is_another_batch():
    batch = batch_of(crystals())
    copy = replace(batch, lattice=batch.lattice + 1)
    assert copy.frac_coords is batch.frac_coords
    assert not torch.equal(copy.lattice, batch.lattice)
    assert batch == batch  # noqa: PLR0124 - by identity, which compares no tensors
    assert batch != replace(batch)
    assert len({batch, copy}) == 2


def test_equals_pyg_batching_of_single_crystals():
    from torch_geometric.data import Batch

    items = crystals()
    whole = CrystalBatch.from_crystals(items).with_edges(WITH_ANGLES)
    singles = [CrystalBatch.from_crystals([c]).with_edges(WITH_ANGLES).to_pyg() for c in items]
    pyg = Batch.from_data_list(singles)
    assert whole.line_graph_index.shape[1] > 100
    for key in (
        "lattice",
        "frac_coords",
        "atomic_numbers",
        "batch",
        "num_atoms",
        "edge_index",
        "edge_shift",
        "line_graph_index",
    ):
        assert torch.equal(getattr(whole, key), pyg[key]), key
    torch.testing.assert_close(whole.edge_length, pyg.edge_length, atol=1e-12, rtol=0)
    assert whole.num_nodes == pyg.num_nodes
    assert whole.num_crystals == len(items)


def test_with_edges_leaves_the_batch_and_replaces_edges():
    plain = CrystalBatch.from_crystals(crystals())
    angles = plain.with_edges(WITH_ANGLES)
    assert plain.edge_index is None
    again = angles.with_edges(GraphSpec(cutoff=1e-3, max_neighbors=None))
    assert again.edge_index.shape == (2, 0)
    assert again.line_graph_index is None
    assert angles.without_edges().edge_index is None


def test_pickles():
    batch = batch_of(crystals()).with_edges(WITH_ANGLES)
    back = pickle.loads(pickle.dumps(batch))
    assert type(back) is CrystalBatch
    assert_same_batch(batch, back)


def test_moves_to_a_device_with_everything():
    moved = batch_of(crystals()).with_edges(WITH_ANGLES).to("meta")
    tensors = [*moved.tensors().values(), *moved.targets.values()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert len(tensors) == 12
    assert moved.identifier == [f"c-{size}" for size in range(1, 7)]


def test_lightning_moves_it():
    batch = batch_of(crystals()).with_edges(WITH_ANGLES)
    moved = move_data_to_device([batch], torch.device("meta"))[0]
    assert type(moved) is CrystalBatch
    assert moved.edge_index.device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="only CUDA has page-locked memory")
def test_pins_its_memory():
    pinned = batch_of(crystals()).with_edges(WITH_ANGLES).pin_memory()
    tensors = [*pinned.tensors().values(), *pinned.targets.values()]
    assert all(tensor.is_pinned() for tensor in tensors)


def as_given(batch):
    return batch


def test_loader_workers_hand_it_over():
    batches = [batch_of(crystals(count)).with_edges(WITH_ANGLES) for count in (2, 5)]
    loader = DataLoader(batches, batch_size=None, num_workers=1, collate_fn=as_given)
    for sent, received in zip(batches, loader, strict=True):
        assert type(received) is CrystalBatch
        assert_same_batch(sent, received)


def test_float32_converts_real_numbers_only():
    batch = batch_of(crystals()).with_edges(WITH_ANGLES)
    low = batch.float32()
    for key in ("lattice", "frac_coords", "edge_length"):
        assert getattr(batch, key).dtype == torch.float64
        assert getattr(low, key).dtype == torch.float32
    for key in ("edge_index", "edge_shift", "atomic_numbers", "num_atoms", "batch"):
        assert getattr(low, key).dtype == torch.int64


def test_padded():
    items = crystals()
    padded = CrystalBatch.from_crystals(items).padded()
    assert padded.node_mask.sum(1).tolist() == [c.num_atoms for c in items]
    for row, crystal in enumerate(items):
        size = crystal.num_atoms
        np.testing.assert_array_equal(padded.frac_coords[row, :size], crystal.frac_coords)
        np.testing.assert_array_equal(padded.atomic_numbers[row, :size], crystal.atomic_numbers)
    assert (padded.atomic_numbers[~padded.node_mask] == 0).all()
    assert (padded.frac_coords[~padded.node_mask] == 0).all()


def vectors(batch):
    return edge_vectors(
        batch.lattice, batch.frac_coords, batch.edge_index, batch.edge_shift, batch.batch
    )


def test_edge_vectors_have_the_edges_lengths():
    batch = CrystalBatch.from_crystals(crystals()).with_edges(GraphSpec())
    torch.testing.assert_close(vectors(batch).norm(dim=1), batch.edge_length, atol=1e-10, rtol=0)


def test_edge_vectors_are_differentiable():
    batch = CrystalBatch.from_crystals(crystals(3)).with_edges(GraphSpec(max_neighbors=3))
    inputs = (batch.lattice.requires_grad_(), batch.frac_coords.requires_grad_())
    edges = (batch.edge_index, batch.edge_shift, batch.batch)
    assert torch.autograd.gradcheck(lambda *x: edge_vectors(*x, *edges).norm(dim=1), inputs)


def test_edge_between_crystals_is_refused():
    batch = CrystalBatch.from_crystals(crystals(2)).with_edges(GraphSpec())
    batch.edge_index[0, 0] = 1
    with pytest.raises(ValueError, match="two crystals"):
        vectors(batch)


def test_line_graph_is_every_meeting_pair():
    batch = CrystalBatch.from_crystals(crystals()).with_edges(WITH_ANGLES)
    begins, ends = batch.edge_index.tolist()
    expected = [
        (e, f) for e in range(len(ends)) for f in range(len(begins)) if ends[e] == begins[f]
    ]
    assert list(zip(*batch.line_graph_index.tolist(), strict=True)) == expected
    assert line_graph_index(torch.zeros(2, 0, dtype=torch.int64), 3).shape == (2, 0)


def test_cosines_of_a_square_lattice():
    square = Crystal(np.diag([2.0, 2.0, 9.0]), [[0, 0, 0]], [6])
    batch = CrystalBatch.from_crystals([square]).with_edges(
        GraphSpec(max_neighbors=4, line_graph=True)
    )
    cosines = bond_cosines(vectors(batch), batch.line_graph_index)
    # Each of 4 bonds meets itself continued (180°), its way back (0°) and two at right angles.
    assert sorted(cosines.round().tolist()) == [-1.0] * 4 + [0.0] * 8 + [1.0] * 4


def test_fields_of_targets_survive_pyg_and_crystals():
    from torch_geometric.data import Batch

    crystals = random_crystals(3, seed=1)
    forces = [np.full((one.num_atoms, 3), float(row)) for row, one in enumerate(crystals)]
    store = CrystalStore.from_crystals(
        crystals,
        properties={"forces": forces, "gap": [1.0, None, 3.0]},
        turns_as={"forces": "vector"},
    )
    batch = store.batch([2, 0, 1], ["forces", "gap"])
    back = CrystalBatch.from_pyg(batch.to_pyg())
    assert back.fields == batch.fields == {n: store.field(n) for n in ("forces", "gap")}
    parts = [store.batch([row], ["forces", "gap"]) for row in (2, 0, 1)]
    joined = CrystalBatch.from_pyg(Batch.from_data_list([one.to_pyg() for one in parts]))
    assert joined.fields == batch.fields
    torch.testing.assert_close(joined.targets["forces"], batch.targets["forces"])
    for one, row in zip(batch.to_crystals(), (2, 0, 1), strict=True):
        np.testing.assert_array_equal(one.properties["forces"], forces[row])
        assert ("gap" in one.properties) == (row != 1)
