"""What a network cannot tell apart is computed once, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from crystal_data import CrystalBatch, GraphSpec
from crystal_data.crystal import Crystal
from crystal_data.testing import double_cell, face_centred, perovskite, random_crystals, rock_salt
from crystal_embed import ALIGNN, CGCNN, CrystalTransformer, MEGNet

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


def unfolded(batch):
    """The same batch with gradients of lengths, for which nothing is folded."""
    return replace(batch, edge_length=batch.edge_length.clone().requires_grad_())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS.keys())
def test_folded_or_not_is_the_same_function(build, training):
    """Predictions, gradients of all weights, and statistics, in double precision."""
    batch = batch_for(build(), crystals())
    found = []
    for one in (batch, unfolded(batch)):
        torch.manual_seed(0)
        model = build().double().train(training)
        out = model(one)
        weights = torch.linspace(-1, 1, len(out), dtype=torch.float64)[:, None]
        (out * weights).sum().backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        buffers = [b for b in model.buffers() if b.is_floating_point()]
        found.append([out, model.encode_atoms(one), *gradients, *buffers])
    for folded, separate in zip(*found, strict=True):
        torch.testing.assert_close(folded, separate, atol=1e-9, rtol=1e-8)


def chain(end=6):
    """Nine atoms in a row, whose inner ones look alike to few layers; more see its ends.

    Means over neighbors see the ends by their element alone.
    """
    frac_coords = [[0.05 + 0.1 * i, 0, 0] for i in range(9)]
    return Crystal(np.diag([25.0, 40, 40]), frac_coords, [end, *[6] * 7, end])


def two_molecules(num_layers):
    """Two rows of atoms that differ by the last element, one atom further than layers can see.

    So the first atoms are alike, but of their edges each is the only one of its kind.
    """
    row = [6, 7, 15, 33, 51][: num_layers + 1]
    positions = [[2.5 * i + 5, y, 20] for y in (5, 20) for i in range(len(row) + 1)]
    return Crystal(40.0 * np.eye(3), np.array(positions) / 40, [*row, 8, *row, 9])


@pytest.mark.parametrize("layers", [1, 2])
def test_few_layers_on_a_chain(layers):
    """Classes that are still being told apart when the layers end."""
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
        folded, separate = model.encode_atoms(batch), model.encode_atoms(unfolded(batch))
        torch.testing.assert_close(folded, separate, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", ["CGCNN", "CGCNN sum", "MEGNet", "ALIGNN", "CrystalTransformer"])
def test_atoms_are_alike_though_all_edges_differ(name):
    torch.manual_seed(0)
    model = MODELS[name]().double().eval()
    model.graph_spec = GraphSpec(cutoff=2.6, max_neighbors=None, line_graph=name == "ALIGNN")
    batch = batch_for(model, [two_molecules(model.num_message_layers)])
    graph = model.fold(batch)
    assert graph.atom_counts is not None
    assert graph.edge_counts is None
    folded, separate = model.encode_atoms(batch), model.encode_atoms(unfolded(batch))
    torch.testing.assert_close(folded, separate, atol=1e-12, rtol=1e-12)


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
    folded, separate = model.encode_atoms(batch), model.encode_atoms(unfolded(batch))
    torch.testing.assert_close(folded, separate, atol=1e-12, rtol=1e-12)
    # From each end inwards: as many atoms as there were rounds differ from those in the middle.
    assert len(model.fold(batch).batch) == min(layers + 2, 5)
    middle = separate[4]
    difference = (separate[:4] - middle).abs().amax(1)
    assert (difference[: layers + 1] > 1e-9).all()
    assert (difference[layers + 1 :] < 1e-12).all()


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
