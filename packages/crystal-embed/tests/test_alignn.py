import math

import numpy as np
import pytest
import torch

from crystal_data import CrystalBatch, GraphSpec
from crystal_data.crystal import Crystal
from crystal_data.store import CrystalStore, EdgeColumn
from crystal_data.testing import (
    GraphModelContract,
    batch_for,
    briefly_trained,
    random_crystals,
    rock_salt,
)
from crystal_embed import ALIGNN, load_table
from crystal_embed.layers.edge_gated import EdgeGatedConv, GatedGraph
from crystal_embed.layers.rows import Rows

WITH_ANGLES = GraphSpec(max_neighbors=12, line_graph=True)


def small(**options):
    return ALIGNN(**{"width": 16, "embedding_width": 8, **options})


class TestALIGNN(GraphModelContract):
    model = briefly_trained(ALIGNN())


class TestALIGNNCutoff(GraphModelContract):
    """Atoms without bonds, bonds without angles, a table that is trained."""

    model = briefly_trained(
        small(
            element_table="random:8",
            trainable_table=True,
            graph_spec=GraphSpec(cutoff=4.0, max_neighbors=None, line_graph=True),
        )
    )


def linear(layer, vector):
    return layer.weight @ vector + (0.0 if layer.bias is None else layer.bias)


def silu(vector):
    return vector / (1 + torch.exp(-vector))


def normalized(norm, vectors):
    """Batch statistics by hand; ``vectors`` is a list."""
    rows = torch.stack(vectors)
    mean, variance = rows.mean(0), ((rows - rows.mean(0)) ** 2).mean(0)
    return [norm.weight * (r - mean) / torch.sqrt(variance + norm.eps) + norm.bias for r in rows]


def direct_convolution(conv, nodes, edges, pairs):
    """The equations, node by node and edge by edge; ``pairs`` lists (neighbor, centre)."""
    opening = [
        linear(conv.neighbor_gate, nodes[j])
        + linear(conv.center_gate, nodes[i])
        + linear(conv.edge_gate, edges[e])
        for e, (j, i) in enumerate(pairs)
    ]
    updates = []
    for node, vector in enumerate(nodes):
        total, weight = torch.zeros_like(vector), torch.zeros_like(vector)
        for e, (j, i) in enumerate(pairs):
            if i == node:
                gate = 1 / (1 + torch.exp(-opening[e]))
                total = total + gate * linear(conv.neighbor_update, nodes[j])
                weight = weight + gate
        updates.append(linear(conv.center_update, vector) + total / (weight + 1e-6))
    updates = normalized(conv.node_norm, updates)
    new_nodes = [node + silu(update) for node, update in zip(nodes, updates, strict=True)]
    if conv.edge_norm is None:
        return new_nodes, None
    changes = normalized(conv.edge_norm, opening)
    return new_nodes, [edge + silu(change) for edge, change in zip(edges, changes, strict=True)]


def direct_input(layers, rows):
    for layer in layers:
        dense = [linear(layer.linear, row) for row in rows]
        rows = [silu(row) for row in normalized(layer.norm, dense)]
    return rows


def gaussians(value, start, stop, bins):
    centers = torch.linspace(start, stop, bins)
    return torch.exp(-((value - centers) ** 2) * (bins - 1) / (stop - start))


def direct_prediction(model, batch):
    """All of the model from positions on, in loops."""
    edge_index = batch.edge_index.T.tolist()
    cart = [
        batch.frac_coords[atom] @ batch.lattice[batch.batch[atom]]
        for atom in range(len(batch.batch))
    ]
    vectors = [
        cart[j] + shift @ batch.lattice[batch.batch[i]] - cart[i]
        for (j, i), shift in zip(edge_index, batch.edge_shift.float(), strict=True)
    ]
    pairs = [
        (first, second)
        for first, (_, meeting) in enumerate(edge_index)
        for second, (begin, _) in enumerate(edge_index)
        if begin == meeting
    ]
    cosines = [
        -(vectors[a] @ vectors[b]) / (vectors[a].norm() * vectors[b].norm()) for a, b in pairs
    ]
    rows = [model.atom_embedding.vectors[z - 1] for z in batch.atomic_numbers.tolist()]
    atoms = direct_input([model.input], rows)
    bonds = direct_input(
        [model.bond_input.first, model.bond_input.second],
        [gaussians(v.norm(), 0.0, 8.0, 80) for v in vectors],
    )
    angles = direct_input(
        [model.angle_input.first, model.angle_input.second],
        [gaussians(c, -1.0, 1.0, 40) for c in cosines],
    )
    for bond_layer, angle_layer in zip(model.bond_layers, model.angle_layers, strict=True):
        atoms, bonds = direct_convolution(bond_layer, atoms, bonds, edge_index)
        bonds, angles = direct_convolution(angle_layer, bonds, angles, pairs)
    for layer in model.gcn_layers:
        atoms, bonds = direct_convolution(layer, atoms, bonds, edge_index)
    means = [
        torch.stack([a for a, g in zip(atoms, batch.batch, strict=True) if g == crystal]).mean(0)
        for crystal in range(batch.num_crystals)
    ]
    return torch.stack([linear(model.output, mean) for mean in means])


@pytest.mark.parametrize("updates_edges", [True, False])
def test_convolution_is_the_published_one(updates_edges):
    torch.manual_seed(0)
    conv = EdgeGatedConv(8, updates_edges=updates_edges)
    nodes, edges = torch.randn(9, 8, requires_grad=True), torch.randn(40, 8, requires_grad=True)
    edge_index = torch.randint(0, 8, (2, 40))  # node 8 has no edge
    weights = torch.randn(49, 8)
    inputs = [nodes, edges, *conv.parameters()]
    results = []
    neighbor, center = (Rows.of(row, 9) for row in edge_index)
    graph = GatedGraph(neighbor, center, None, None, None)
    for found in (
        conv(nodes, edges, graph),
        direct_convolution(conv, list(nodes), list(edges), edge_index.T.tolist()),
    ):
        out = torch.cat([torch.stack(list(rows)) for rows in found if rows is not None])
        loss = (out * weights[: len(out)]).sum()
        results.append([out, *torch.autograd.grad(loss, inputs)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_model_is_the_published_one():
    torch.manual_seed(0)
    model = small()
    spec = GraphSpec(max_neighbors=2, line_graph=True)
    crystals = random_crystals(3, seed=4, max_atoms=3)
    batch = CrystalBatch.from_crystals(crystals).with_edges(spec).float32()
    with torch.no_grad():
        expected = direct_prediction(model, batch)
        torch.testing.assert_close(model(batch), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_bonds_without_angles(training):
    """Each atom's nearest neighbor may be one that has another nearest of its own."""
    model = small().train(training)
    batch = batch_for(model, [Crystal(np.eye(3) * 20, [[0, 0, 0], [0.1, 0, 0]], [3, 9])])
    batch.edge_index, batch.edge_shift = torch.tensor([[0], [1]]), torch.zeros(1, 3).long()
    batch.edge_length, batch.line_graph_index = torch.tensor([2.0]), torch.zeros(2, 0).long()
    out = model(batch)
    assert torch.isfinite(out).all()
    out.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_every_weight_is_trained():
    model = small(num_alignn_layers=3, num_gcn_layers=1)
    model(batch_for(model, random_crystals(6, seed=2))).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_sees_angles():
    """Little before training, since angles open gates that open gates: hence double precision."""
    model = briefly_trained(small()).double()
    batch = CrystalBatch.from_crystals(random_crystals(6, seed=2)).with_edges(model.graph_spec)
    with torch.no_grad():
        before = model(batch)
        # Lengths stay as they are; only angles are taken from the cells.
        shear = torch.tensor([[1.0, 0, 0], [0.3, 1, 0], [0, 0.3, 1]]).double()
        batch.lattice = batch.lattice @ shear
        assert (model(batch) - before).abs().max() > 1e-8


def test_published_sizes():
    model = ALIGNN.published(2)
    assert model.graph_spec == WITH_ANGLES == ALIGNN().graph_spec
    assert len(model.bond_layers) == len(model.angle_layers) == len(model.gcn_layers) == 4
    assert model.output.in_features == 256
    assert model.angle_input.first.linear.out_features == 64
    assert model.bond_input.basis.num_features == 80
    assert model.angle_input.basis.num_features == 40


def test_gaussians_as_published():
    basis = small().bond_input.basis
    assert basis(torch.tensor([0.0]))[0, :2].tolist() == pytest.approx([1.0, 0.90369], abs=1e-5)
    angles = small().angle_input.basis(torch.tensor([-1.0]))
    assert angles[0, 1].item() == pytest.approx(math.exp(-2 / 39), abs=1e-6)


def test_batch_from_stored_edges():
    model = briefly_trained(small())
    crystals = random_crystals(6, seed=2)
    store = CrystalStore.from_crystals(crystals)
    store.add_column(EdgeColumn(model.graph_spec))
    rows = [4, 0, 5]
    batch = store.batch(rows, graph_spec=model.graph_spec).float32()
    expected = model(batch_for(model, [crystals[row] for row in rows]))
    torch.testing.assert_close(model(batch), expected, atol=1e-5, rtol=1e-5)


def test_several_outputs_and_sizes():
    model = ALIGNN(
        3,
        "one_hot",
        width=10,
        embedding_width=7,
        num_alignn_layers=1,
        num_gcn_layers=3,
        num_length_bins=9,
        num_angle_bins=5,
    )
    assert model(batch_for(model, random_crystals(4, seed=0))).shape == (4, 3)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"num_gcn_layers 0; ALIGNN needs at least 1 of each"):
        ALIGNN(num_gcn_layers=0)
    with pytest.raises(ValueError, match=r"num_alignn_layers is 0"):
        ALIGNN(num_alignn_layers=0)
    with pytest.raises(ValueError, match=r"graph_spec with line_graph: true"):
        ALIGNN(graph_spec=GraphSpec(max_neighbors=12))
    bare = CrystalBatch.from_crystals([rock_salt()])
    with pytest.raises(ValueError, match=r"ALIGNN needs edges.*with_edges\(model.graph_spec\)"):
        small()(bare.float32())
    edges_alone = bare.with_edges(GraphSpec(max_neighbors=12)).float32()
    with pytest.raises(ValueError, match=r"needs the line graph.*with_edges\(model.graph_spec\)"):
        small()(edges_alone)


@pytest.mark.parametrize("trainable", [False, True])
def test_element_table_is_what_enters_the_layers(trainable, tmp_path):
    model = briefly_trained(small(trainable_table=trainable))
    model.save_pretrained(tmp_path)
    table = load_table(tmp_path)
    assert (len(table), table.width) == (100, 16)
    expected = model.input(model.atom_embedding(torch.tensor([26])))[0]
    np.testing.assert_allclose(table.vector("Fe"), expected.detach().numpy(), atol=1e-6)
    model.train()
    np.testing.assert_allclose(model.element_table().vector("Fe"), table.vector("Fe"), atol=1e-6)
    assert model.input.training
