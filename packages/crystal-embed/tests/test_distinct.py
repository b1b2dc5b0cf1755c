"""What a network cannot tell apart is computed once, and nothing else changes."""

from copy import copy

import moyopy
import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from crystal_data import CrystalBatch, GraphSpec, open_store
from crystal_data.builtin import BuiltinSource
from crystal_data.crystal import Crystal
from crystal_data.testing import double_cell, face_centred, perovskite, random_crystals, rock_salt
from crystal_embed import ALIGNN, CGCNN, CrystalTransformer, MEGNet
from crystal_embed.layers.distinct import DistinctGraph, Kinds

MODELS = {
    "CGCNN": lambda: CGCNN(width=16),
    "CGCNN sum": lambda: CGCNN(width=16, aggregation="sum"),
    "MEGNet": MEGNet,
    "CrystalTransformer": lambda: CrystalTransformer(
        element_width=16, num_layers=2, num_heads=2, dropout=0.0, geometry="periodic"
    ),
    "ALIGNN": lambda: ALIGNN(width=16, embedding_width=8),
}


def crystals():
    """Symmetric ones, their supercells, and some without any symmetry."""
    rng = np.random.default_rng(0)
    symmetric = [rock_salt(), perovskite(), face_centred()]
    doubled = [double_cell(crystal, rng) for crystal in symmetric]
    return [*symmetric, *doubled, *random_crystals(4, seed=3)]


def batch_for(model, of):
    return CrystalBatch.from_crystals(of).with_edges(model.graph_spec)


def apart(batch):
    """The same batch with gradients of lengths, for which nothing is joined."""
    batch = copy(batch)
    batch.edge_length = batch.edge_length.clone().requires_grad_()
    return batch


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS.keys())
def test_joined_or_apart_is_the_same_function(build, training):
    """Predictions, gradients of all weights, and statistics, in double precision."""
    batch = batch_for(build(), crystals())
    found = []
    for one in (batch, apart(batch)):
        torch.manual_seed(0)
        model = build().double().train(training)
        out = model(one)
        weights = torch.linspace(-1, 1, len(out), dtype=torch.float64)[:, None]
        (out * weights).sum().backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        buffers = [b for b in model.buffers() if b.is_floating_point()]
        found.append([out, model.encode_atoms(one), *gradients, *buffers])
    for joined, separate in zip(*found, strict=True):
        torch.testing.assert_close(joined, separate, atol=1e-9, rtol=1e-8)


def test_kinds_are_orbits():
    """Atoms that the space group exchanges, found by moyopy, are of one kind."""
    store = open_store(BuiltinSource())
    of = [store.crystal(row) for row in range(0, len(store), 31)]
    batch = batch_for(CGCNN(), of)
    graph = DistinctGraph.of(batch, batch.edge_index, batch.edge_length, 3)
    splits = np.cumsum(batch.num_atoms.numpy())[:-1]
    for crystal, kind in zip(of, np.split(graph.atom.kind.numpy(), splits), strict=True):
        orbits = np.array(orbits_of(crystal))
        assert all(len(set(kind[orbits == orbit])) == 1 for orbit in orbits)
    assert len(graph.atom.first) < len(batch.batch)


def orbits_of(crystal):
    cell = moyopy.Cell(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers.tolist())
    return moyopy.MoyoDataset(cell, symprec=1e-4).orbits


def test_nothing_is_joined_without_symmetry():
    of = random_crystals(6, seed=1)
    batch = batch_for(CGCNN(), of)
    graph = DistinctGraph.of(batch, batch.edge_index, batch.edge_length, 3)
    assert torch.equal(graph.atom.kind, torch.arange(len(batch.batch)))
    assert (graph.num_atoms == 1).all()


def test_numbers_of_rock_salt():
    """Two atoms of six equal edges each and, to whole shells, twelve more."""
    batch = batch_for(CGCNN(), [double_cell(rock_salt(), np.random.default_rng(0))])
    graph = DistinctGraph.of(batch, batch.edge_index, batch.edge_length, 3)
    assert graph.num_atoms.tolist() == [len(batch.batch) / 2] * 2
    assert sorted(graph.multiplicity.tolist()) == [6, 6, 12, 12]
    assert graph.num_edges.sum() == len(batch.edge_length)


def chain(end=6):
    """Nine atoms in a row, whose inner ones look alike to few layers; more see its ends.

    Means over neighbors see the ends by their element alone.
    """
    frac_coords = [[0.05 + 0.1 * i, 0, 0] for i in range(9)]
    return Crystal(np.diag([25.0, 40, 40]), frac_coords, [end, *[6] * 7, end])


@pytest.mark.parametrize("layers", [1, 2])
def test_few_layers_on_a_chain(layers):
    """Kinds that are still being told apart when the layers end."""
    spec = GraphSpec(cutoff=2.6, max_neighbors=None, line_graph=True)
    torch.manual_seed(0)
    models = [
        CGCNN(num_convolutions=layers, graph_spec=spec),
        MEGNet(num_blocks=layers, graph_spec=spec),
        ALIGNN(num_alignn_layers=layers, num_gcn_layers=1, graph_spec=spec),
    ]
    for model in models:
        model.double().eval()
        batch = batch_for(model, [chain(end=8)])
        joined, separate = model.encode_atoms(batch), model.encode_atoms(apart(batch))
        torch.testing.assert_close(joined, separate, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
def test_few_layers_of_the_periodic_transformer_on_a_chain(layers):
    """The environment is seen in one round, and each layer sees one further."""
    torch.manual_seed(0)
    model = CrystalTransformer(
        element_width=16, num_layers=layers, num_heads=2, geometry="periodic", cutoff=2.6
    )
    model.double().eval()
    # First weights of attention to neighbors are so small that far environments hardly count.
    torch.nn.init.normal_(model.position.near, std=3.0)
    batch = batch_for(model, [chain()])
    joined, separate = model.encode_atoms(batch), model.encode_atoms(apart(batch))
    torch.testing.assert_close(joined, separate, atol=1e-12, rtol=1e-12)
    # From each end inwards: as many atoms as there were rounds differ from those in the middle.
    assert len(model._distinct(batch).num_atoms) == min(layers + 2, 5)
    middle = separate[4]
    difference = (separate[:4] - middle).abs().amax(1)
    assert (difference[: layers + 1] > 1e-9).all()
    assert (difference[layers + 1 :] < 1e-12).all()


def test_as_many_rounds_as_layers():
    spec = GraphSpec(cutoff=2.6, max_neighbors=None)
    batch = CrystalBatch.from_crystals([chain()]).with_edges(spec)
    kinds = [
        len(DistinctGraph.of(batch, batch.edge_index, batch.edge_length, rounds).num_atoms)
        for rounds in range(6)
    ]
    assert kinds == [1, 2, 3, 4, 5, 5]


def test_crystals_are_never_joined():
    batch = batch_for(CGCNN(), [rock_salt(), rock_salt()])
    graph = DistinctGraph.of(batch, batch.edge_index, batch.edge_length, 3)
    assert graph.crystal.tolist() == [0, 0, 1, 1]


def test_kinds_are_numbered_by_their_first_members():
    found = Kinds.of(torch.tensor([7, -2, 7, 5, -2, 7]))
    assert found.kind.tolist() == [0, 1, 0, 2, 1, 0]
    assert found.first.tolist() == [0, 1, 3]
    assert found.size.tolist() == [3, 2, 1]
    assert all(len(part) == 0 for part in Kinds.of(torch.zeros(0, dtype=torch.int64)))


@pytest.mark.slow
@pytest.mark.parametrize("model_class", [CGCNN, MEGNet, ALIGNN])
def test_a_compiled_model_gives_the_same_and_is_compiled_once(model_class):
    torch._dynamo.reset()
    counters.clear()
    model = model_class(element_table="random:8").eval()
    compiled = torch.compile(model, dynamic=True, backend="eager")
    graphs = []
    for seed in range(4):  # with other numbers of kinds
        crystals = [rock_salt(), *random_crystals(3 + seed, seed=seed)]
        batch = CrystalBatch.from_crystals(crystals).with_edges(model.graph_spec).float32()
        with torch.no_grad():
            torch.testing.assert_close(compiled(batch), model(batch), rtol=0, atol=0)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[1:] == [graphs[1]] * 3
    assert graphs[0] > 0
