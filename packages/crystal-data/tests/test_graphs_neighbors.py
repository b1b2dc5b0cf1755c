"""Neighbor lists against pymatgen's, which finds them by another algorithm."""

import warnings

import numpy as np
import pytest
import torch
from pymatgen.core import Structure

from crystal_data.crystal import Crystal
from crystal_data.graphs import half_edges, neighbor_selection, neighbors
from crystal_data.graphs.neighbors import NeighborList, neighbor_list
from crystal_data.graphs.periodic_images import reduce_cells, volumes
from crystal_data.graphs.spec import GraphSpec

RADIUS = GraphSpec(cutoff=5.0, max_neighbors=None)


def random_crystals(count, seed, max_atoms=60):
    """Triclinic cells of any shape, half of them strongly skewed, atoms in any image."""
    rng = np.random.default_rng(seed)
    crystals = []
    while len(crystals) < count:
        num_atoms = int(rng.integers(1, max_atoms + 1))
        lattice = rng.normal(size=(3, 3))
        if rng.random() < 0.5:
            lattice = np.eye(3) + 0.3 * lattice
        volume = abs(np.linalg.det(lattice))
        if volume < 0.02:
            continue
        lattice *= (rng.uniform(10, 30) * num_atoms / volume) ** (1 / 3)
        frac_coords = rng.uniform(-2, 2, (num_atoms, 3))
        crystals.append(Crystal(lattice, frac_coords, np.full(num_atoms, 6)))
    return crystals


def edges_of(crystals, spec) -> NeighborList:
    return neighbor_list(
        torch.tensor(np.stack([crystal.lattice for crystal in crystals])),
        torch.tensor(np.concatenate([crystal.frac_coords for crystal in crystals])),
        torch.tensor([crystal.num_atoms for crystal in crystals]),
        spec,
    )


def rows_of(edges):
    """(centre, neighbor, shift) in order, and the lengths in the same order."""
    keys = np.column_stack([edges.edge_index[1], edges.edge_index[0], edges.edge_shift])
    order = np.lexsort(keys.T[::-1])
    return keys[order], edges.edge_length.numpy()[order]


def pymatgen_rows(crystals, radii):
    keys, lengths, first = [], [], 0
    for crystal, radius in zip(crystals, np.broadcast_to(radii, len(crystals)), strict=True):
        structure = Structure(crystal.lattice, crystal.species, crystal.frac_coords)
        centre, neighbor, shift, length = structure.get_neighbor_list(float(radius))
        keys.append(np.column_stack([centre + first, neighbor + first, shift]).astype(np.int64))
        lengths.append(length)
        first += crystal.num_atoms
    keys, lengths = np.concatenate(keys), np.concatenate(lengths)
    order = np.lexsort(keys.T[::-1])
    return keys[order], lengths[order]


def assert_same(edges, keys, lengths):
    ours, our_lengths = rows_of(edges)
    np.testing.assert_array_equal(ours, keys)
    np.testing.assert_allclose(our_lengths, lengths, atol=1e-8, rtol=0)


def test_radius_equals_pymatgen_on_1000_random_triclinic_cells():
    crystals = random_crystals(1000, seed=0)
    assert {crystal.num_atoms for crystal in crystals} == set(range(1, 61))
    assert_same(edges_of(crystals, RADIUS), *pymatgen_rows(crystals, 5.0))


def test_radius_spans_many_images():
    crystals = random_crystals(40, seed=1, max_atoms=3)
    thin = Crystal(np.diag([2.0, 30.0, 1.5]), np.array([[0.1, 0.2, 0.3]]), np.array([6]))
    needle = Crystal([[3, 0, 0], [40, 3, 0], [17, 55, 4]], [[0, 0, 0], [9.2, -7.7, 3.4]], [6, 8])
    crystals += [thin, needle]
    edges = edges_of(crystals, GraphSpec(cutoff=17.0, max_neighbors=None))
    assert edges.edge_shift.abs().max() > 8
    assert_same(edges, *pymatgen_rows(crystals, 17.0))


def nearest(keys, lengths, num_atoms, spec):
    """The k nearest by brute force from a complete list, centre by centre."""
    chosen = []
    for centre in range(num_atoms):
        rows = np.flatnonzero(keys[:, 0] == centre)
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        last = lengths[rows[min(spec.max_neighbors, len(rows)) - 1]] if len(rows) else 0.0
        chosen.append(rows[lengths[rows] <= last + spec.tie_tolerance])
    chosen = np.sort(np.concatenate(chosen))
    return keys[chosen], lengths[chosen]


@pytest.mark.parametrize(
    "spec",
    [
        GraphSpec(),
        GraphSpec(max_neighbors=1),
        GraphSpec(max_neighbors=40),
        GraphSpec(cutoff=4.0, max_neighbors=12),
        GraphSpec(max_neighbors=6, tie_tolerance=0.2),
    ],
    ids=str,
)
def test_nearest_equal_brute_force(spec):
    crystals = [*random_crystals(60, seed=2, max_atoms=20), *prototypes()]
    num_atoms = sum(crystal.num_atoms for crystal in crystals)
    edges = edges_of(crystals, spec)
    crystal_of = np.repeat(np.arange(len(crystals)), [c.num_atoms for c in crystals])
    complete = np.zeros(len(crystals))
    np.maximum.at(complete, crystal_of[edges.edge_index[1]], edges.edge_length.numpy() + 0.5)
    if spec.cutoff is not None:
        complete[:] = spec.cutoff
    expected = nearest(*pymatgen_rows(crystals, complete), num_atoms, spec)
    assert_same(edges, *expected)


def prototypes():
    """Cells with many equal distances, a lone atom, and a layer with much vacuum."""
    fcc = np.array([[0, 2.0, 2.0], [2.0, 0, 2.0], [2.0, 2.0, 0]])
    salt = Crystal(fcc * 1.4, [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17])
    cubic = Crystal(np.eye(3) * 3.0, [[0, 0, 0]], [84])
    lone = Crystal(np.eye(3) * 25.0, [[0.3, 0.3, 0.3]], [2])
    layer = Crystal(np.diag([2.5, 2.5, 40.0]), [[0, 0, 0.5], [0.5, 0.5, 0.52]], [6, 6])
    return [Crystal(fcc, [[0, 0, 0]], [29]), salt, cubic, lone, layer]


def test_whole_shells_of_known_structures():
    copper, salt, polonium, lone, _ = prototypes()
    counts = [
        torch.bincount(edges_of([crystal], GraphSpec()).edge_index[1]).tolist()
        for crystal in (copper, salt, polonium, lone)
    ]
    assert counts == [[12], [18, 18], [18], [18]]


@pytest.mark.parametrize("k", [1, 4, 6, 7, 12, 13])
def test_cut_keeps_exactly_k_and_always_the_same(k):
    crystals = prototypes()
    spec = GraphSpec(max_neighbors=k, ties="cut")
    edges = edges_of(crystals, spec)
    assert torch.bincount(edges.edge_index[1]).tolist() == [k] * 7
    whole = edges_of(crystals, GraphSpec(max_neighbors=k))
    assert set(map(tuple, rows_of(edges)[0])) <= set(map(tuple, rows_of(whole)[0]))
    # Another origin moves every rounding error, but not the choice.
    shift = np.array([0.123, 7.31, -0.77])
    shifted = [c.replace(frac_coords=c.frac_coords + shift) for c in crystals]
    again = edges_of(shifted, spec)
    np.testing.assert_array_equal(again.edge_index, edges.edge_index)
    np.testing.assert_allclose(again.edge_length, edges.edge_length, atol=1e-9)


def test_edges_are_ordered_by_centre_then_length():
    edges = edges_of(random_crystals(50, seed=3), GraphSpec())
    centre, length = edges.edge_index[1], edges.edge_length
    assert (centre.diff() >= 0).all()
    assert (length.diff()[centre.diff() == 0] > -1e-6).all()


@pytest.mark.parametrize("spec", [RADIUS, GraphSpec(), GraphSpec(ties="cut")], ids=str)
def test_alone_equals_batched(spec):
    crystals = [*random_crystals(30, seed=4), *prototypes()]
    together = edges_of(crystals, spec)
    index, shift, length, first = [], [], [], 0
    for crystal in crystals:
        alone = edges_of([crystal], spec)
        index.append(alone.edge_index + first)
        shift.append(alone.edge_shift)
        length.append(alone.edge_length)
        first += crystal.num_atoms
    assert torch.equal(together.edge_index, torch.cat(index, dim=1))
    assert torch.equal(together.edge_shift, torch.cat(shift))
    torch.testing.assert_close(together.edge_length, torch.cat(length), atol=1e-12, rtol=0)


@pytest.mark.parametrize("spec", [RADIUS, GraphSpec()], ids=str)
def test_images_change_shifts_alone(spec):
    crystals = random_crystals(30, seed=5, max_atoms=20)
    rng = np.random.default_rng(5)
    cells = [rng.integers(-50, 50, crystal.frac_coords.shape) for crystal in crystals]
    moved = [c.replace(frac_coords=c.frac_coords + m) for c, m in zip(crystals, cells, strict=True)]
    before, after = edges_of(crystals, spec), edges_of(moved, spec)
    neighbor, centre = after.edge_index
    cell = torch.tensor(np.concatenate(cells))
    back = after._replace(edge_shift=after.edge_shift + cell[neighbor] - cell[centre])
    assert_same(back, *rows_of(before))


def test_a_crystal_of_many_pairs_is_searched_in_parts(monkeypatch):
    crystals = random_crystals(12, seed=6)
    expected = [edges_of(crystals, spec) for spec in (RADIUS, GraphSpec())]
    monkeypatch.setattr(half_edges, "_PAIRS_AT_ONCE", 100)
    monkeypatch.setattr("crystal_data.graphs.neighbors._FIRST_VOLUME", 0.2)
    for spec, whole in zip((RADIUS, GraphSpec()), expected, strict=True):
        assert_same(edges_of(crystals, spec), *rows_of(whole))


@pytest.mark.parametrize("spec", [RADIUS, GraphSpec(), GraphSpec(ties="cut")], ids=str)
def test_runs_of_crystals_are_put_together(monkeypatch, spec):
    crystals = [*random_crystals(25, seed=9, max_atoms=20), *prototypes()]
    expected = edges_of(crystals, spec)
    monkeypatch.setitem(neighbors._PORTION, "cpu", 2000)
    found = edges_of(crystals, spec)
    assert torch.equal(found.edge_index, expected.edge_index)
    assert torch.equal(found.edge_shift, expected.edge_shift)


def test_every_edge_has_its_opposite():
    edges = edges_of([*random_crystals(30, seed=10, max_atoms=20), *prototypes()], RADIUS)
    neighbor, center = edges.edge_index
    there = torch.column_stack((center, neighbor, edges.edge_shift))
    back = torch.column_stack((neighbor, center, -edges.edge_shift))
    assert set(map(tuple, there.tolist())) == set(map(tuple, back.tolist()))


def test_products_of_a_gpu_equal_those_of_a_cpu(monkeypatch):
    crystals = [*random_crystals(12, seed=12, max_atoms=9), *prototypes()]
    whole = edges_of(crystals, RADIUS)
    monkeypatch.setattr(half_edges, "_PAIRS_AT_ONCE", 20)
    monkeypatch.setattr(half_edges, "_products_by_crystal", half_edges._products_at_once)
    assert_same(edges_of(crystals, RADIUS), *rows_of(whole))


def test_reduced_cells_are_other_cells_of_the_same_lattice():
    lattice = torch.tensor(np.stack([crystal.lattice for crystal in random_crystals(200, seed=13)]))
    reduced = reduce_cells(lattice)
    assert reduced is not None
    identity = torch.eye(3, dtype=torch.float64).expand_as(lattice)
    torch.testing.assert_close(reduced.change @ reduced.inverse, identity, atol=0, rtol=0)
    torch.testing.assert_close(reduced.change, reduced.change.round(), atol=0, rtol=0)
    torch.testing.assert_close(volumes(reduced.lattice), volumes(lattice))
    assert (reduced.lattice.norm(dim=2).sum(1) <= lattice.norm(dim=2).sum(1) + 1e-9).all()
    assert reduce_cells(reduced.lattice) is None or torch.equal(
        reduce_cells(reduced.lattice).change, identity
    )


def test_vectors_in_one_plane_are_reduced_without_a_warning():
    flat = torch.tensor([[[1.0, 0, 0], [2.0, 0, 0], [0, 0, 3.0]]], dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reduce_cells(flat) is not None


def test_no_edges_is_a_valid_answer():
    lone = prototypes()[3]
    alone = edges_of([lone, lone], RADIUS)
    assert alone.edge_index.shape == (2, 0)
    assert alone.edge_shift.shape == (0, 3)
    assert alone.edge_length.shape == (0,)
    mixed = edges_of([lone, prototypes()[0], lone], RADIUS)
    assert set(mixed.edge_index.flatten().tolist()) == {1}
    nothing = neighbor_list(torch.zeros(0, 3, 3), torch.zeros(0, 3), torch.zeros(0).long(), RADIUS)
    assert nothing.edge_index.shape == (2, 0)


def test_cutoff_at_a_shell_is_not_decided_by_rounding():
    copper = prototypes()[0]
    rotation = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]
    for crystal in (copper, copper.replace(lattice=copper.lattice @ rotation)):
        spec = GraphSpec(cutoff=float(np.sqrt(8.0)), max_neighbors=None)
        assert edges_of([crystal], spec).edge_index.shape == (2, 12)


def test_mismatched_shapes_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        neighbor_list(torch.eye(3)[None], torch.zeros(2, 3), torch.tensor([3]), RADIUS)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("spec", [RADIUS, GraphSpec(), GraphSpec(ties="cut")], ids=str)
def test_cuda_equals_cpu(spec):
    crystals = [*random_crystals(200, seed=8), *prototypes()]
    cpu = edges_of(crystals, spec)
    cuda = neighbor_list(
        torch.tensor(np.stack([c.lattice for c in crystals])).cuda(),
        torch.tensor(np.concatenate([c.frac_coords for c in crystals])).cuda(),
        torch.tensor([c.num_atoms for c in crystals]).cuda(),
        spec,
    )
    assert torch.equal(cuda.edge_index.cpu(), cpu.edge_index)
    assert torch.equal(cuda.edge_shift.cpu(), cpu.edge_shift)
    torch.testing.assert_close(cuda.edge_length.cpu(), cpu.edge_length, atol=1e-10, rtol=0)


@pytest.mark.parametrize("shift", [0, 20, 55])  # 55: no room for the place beside the key
def test_keys_are_sorted_and_equal_ones_keep_their_order(shift):
    keys = torch.randint(0, 50, (1000,), generator=torch.Generator().manual_seed(0)) << shift
    ordered, place = neighbor_selection._sorted(keys)
    expected = np.argsort(keys.numpy(), kind="stable")
    assert place.tolist() == expected.tolist()
    assert ordered.tolist() == keys.numpy()[expected].tolist()
