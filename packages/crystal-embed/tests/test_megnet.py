import numpy as np
import pytest
import torch

from crystal_data import CrystalBatch, GraphSpec
from crystal_data.testing import (
    GraphModelContract,
    batch_for,
    briefly_trained,
    isolated_atom,
    random_crystals,
    rock_salt,
)
from crystal_embed import MEGNet, load_table
from crystal_embed.layers.activation import softplus2

WITHIN_3 = GraphSpec(cutoff=3.0, max_neighbors=None)


class TestMEGNet(GraphModelContract):
    model = briefly_trained(MEGNet())


class TestPublishedMEGNet(GraphModelContract):
    model = briefly_trained(MEGNet.published())


def dense(mlp, x):
    for layer in mlp.layers:
        x = torch.log((1 + torch.exp(layer.weight @ x + layer.bias)) / 2)
    return x


def joined(layer, *parts):
    return torch.log((1 + torch.exp(layer.weight @ torch.cat(parts) + layer.bias)) / 2)


def mean(vectors, width):
    return torch.stack(vectors).mean(0) if vectors else torch.zeros(width, dtype=torch.float64)


def direct_block(block, pairs, edges, atoms, state):
    """Equations 1 to 6 of the paper word by word, one edge after the other."""
    before = edges, atoms, state
    if hasattr(block.dense["edge"], "layers"):
        edges = [dense(block.dense["edge"], edge) for edge in edges]
        atoms = [dense(block.dense["atom"], atom) for atom in atoms]
        state = dense(block.dense["state"], state)
    edges = [
        dense(
            block.update["edge"], joined(block.edge_input, atoms[center], atoms[other], edge, state)
        )
        for (other, center), edge in zip(pairs, edges, strict=True)
    ]
    width = len(state)
    new_atoms = []
    for place, atom in enumerate(atoms):
        own = [edge for (_, center), edge in zip(pairs, edges, strict=True) if center == place]
        new_atoms.append(
            dense(block.update["atom"], joined(block.atom_input, mean(own, width), atom, state))
        )
    state = dense(
        block.update["state"],
        joined(block.state_input, mean(edges, width), mean(new_atoms, width), state),
    )
    return (
        [old + new for old, new in zip(before[0], edges, strict=True)],
        [old + new for old, new in zip(before[1], new_atoms, strict=True)],
        before[2] + state,
    )


def direct_set2set(readout, vectors, steps):
    """Vinyals et al., equations 3 to 7, for one set."""
    width = readout.memory.out_features
    memory = [readout.memory.weight @ vector + readout.memory.bias for vector in vectors]
    query = cell = torch.zeros(1, width, dtype=torch.float64)
    star = torch.cat([query, query], dim=1)
    for _ in range(steps):
        query, cell = readout.lstm(star, (query, cell))
        read = torch.zeros(width, dtype=torch.float64)
        if memory:
            weights = torch.softmax(torch.stack([member @ query[0] for member in memory]), dim=0)
            read = sum(weight * member for weight, member in zip(weights, memory, strict=True))
        star = torch.cat([query, read[None]], dim=1)
    return star[0]


def direct_megnet(model, crystal, centers, width):
    """The whole network for one crystal, by loops."""
    batch = CrystalBatch.from_crystals([crystal]).with_edges(model.graph_spec)
    rows = {z: row for row, z in enumerate(model.atom_embedding.atomic_numbers.tolist())}
    atoms = [model.atom_embedding.vectors[rows[z]] for z in batch.atomic_numbers.tolist()]
    if hasattr(model.input, "layers"):
        atoms = [dense(model.input, atom) for atom in atoms]
    edges = [
        dense(model.edge_input, torch.exp(-(((length - centers) / width) ** 2)))
        for length in batch.edge_length
    ]
    state, pairs = model.state, batch.edge_index.T.tolist()
    for block in model.blocks:
        edges, atoms, state = direct_block(block, pairs, edges, atoms, state)
    read_atoms = direct_set2set(model.read_atoms, atoms, 3)
    read_edges = direct_set2set(model.read_edges, edges, 3)
    vector = torch.cat([read_atoms, read_edges, state])
    return model.output(dense(model.hidden, vector))


@pytest.mark.parametrize("name", ["ours", "published", "few edges"])
def test_network_is_the_published_one(name):
    """The batch also holds crystals without edges, and atoms without beside others that have."""
    build, centers, width = {
        "ours": (MEGNet, torch.linspace(0, 8, 41).double(), 0.2),
        "published": (MEGNet.published, torch.linspace(0, 5, 100).double(), 0.5),
        "few edges": (lambda: MEGNet(graph_spec=WITHIN_3), torch.linspace(0, 8, 41).double(), 0.2),
    }[name]
    model = briefly_trained(build()).double()
    crystals = [isolated_atom(), *random_crystals(3, seed=4, max_atoms=5), rock_salt()]
    batch = CrystalBatch.from_crystals(crystals).with_edges(model.graph_spec)  # float64
    ours = model(batch)
    theirs = torch.stack([direct_megnet(model, crystal, centers, width) for crystal in crystals])
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)
    parameters = [p for p in model.parameters() if p.requires_grad]
    weights = torch.linspace(-1, 1, len(crystals)).double()[:, None]
    for got, expected in zip(
        torch.autograd.grad((ours * weights).sum(), parameters),
        torch.autograd.grad((theirs * weights).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(got, expected, atol=1e-9, rtol=1e-6)


def test_published_graph():
    model = MEGNet.published()
    assert model.graph_spec == GraphSpec(cutoff=4.0, max_neighbors=None)
    assert model.basis.num_features == 100
    assert model.atom_embedding.name == "random:16"
    assert model.read_atoms.num_features == 32


def test_order_of_edges_does_not_matter():
    model = briefly_trained(MEGNet())
    batch = batch_for(model, [*random_crystals(4, seed=2), rock_salt()])
    expected = model(batch)
    order = torch.randperm(len(batch.edge_length), generator=torch.Generator().manual_seed(0))
    batch.edge_index, batch.edge_length = batch.edge_index[:, order], batch.edge_length[order]
    torch.testing.assert_close(model(batch), expected, atol=1e-5, rtol=1e-5)


def test_several_outputs_and_widths():
    model = MEGNet(3, "one_hot", width=10, hidden_width=7, num_blocks=1, readout_width=5)
    assert model(batch_for(model, random_crystals(4, seed=0))).shape == (4, 3)


@pytest.mark.parametrize("trainable", [False, True])
def test_element_table_is_what_enters_the_blocks(trainable, tmp_path):
    model = briefly_trained(MEGNet(trainable_table=trainable))
    model.save_pretrained(tmp_path)
    table = load_table(tmp_path)
    assert (len(table), table.width) == (100, 32)
    expected = torch.tensor(model.atom_embedding.table().vector("Fe"))
    if not trainable:
        assert torch.equal(expected, torch.tensor(load_table("atom_init").vector("Fe")))
        for layer in model.input.layers:
            expected = softplus2(layer(expected))
    np.testing.assert_allclose(table.vector("Fe"), expected.detach().numpy(), atol=1e-6)
