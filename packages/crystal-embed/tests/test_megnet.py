import numpy as np
import pytest
import torch

from crystal_data import CrystalBatch, GraphSpec
from crystal_data.crystal import Crystal
from crystal_data.testing import (
    InvariantModelContract,
    isolated_atom,
    random_crystals,
    rock_salt,
)
from crystal_data.training.masked import masked_loss
from crystal_embed import ElementTable, MEGNet, load_table
from crystal_embed.layers.activation import softplus2

WITHIN_3 = GraphSpec(cutoff=3.0, max_neighbors=None)


def batch_for(model, crystals):
    return CrystalBatch.from_crystals(crystals).with_edges(model.graph_spec).float32()


def trained(model, seed=0):
    """Weights as after some training, so that no layer is trivial."""
    torch.manual_seed(seed)
    batch = batch_for(model, random_crystals(12, seed=1))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(10):
        optimizer.zero_grad()
        (model(batch) - batch.num_atoms[:, None].float().log()).abs().mean().backward()
        optimizer.step()
    return model.eval()


class _MEGNetContract(InvariantModelContract):
    _model: MEGNet

    def predict(self, crystals):
        with torch.no_grad():
            return self._model(batch_for(self._model, crystals))[:, 0]

    def module(self):
        return self._model

    def loss(self, batch):
        batch = batch.with_edges(self._model.graph_spec).float32()
        return masked_loss(self._model(batch)[:, 0], batch.targets["target"], "mae")


class TestMEGNet(_MEGNetContract):
    _model = trained(MEGNet())


class TestPublishedMEGNet(_MEGNetContract):
    _model = trained(MEGNet.published())


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
    model = trained(build()).double()
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


def test_without_any_edge():
    model = MEGNet(graph_spec=WITHIN_3)
    batch = batch_for(model, [isolated_atom(), isolated_atom(8)])
    assert batch.edge_index.shape == (2, 0)
    out = model(batch)
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_order_of_edges_does_not_matter():
    model = trained(MEGNet())
    batch = batch_for(model, [*random_crystals(4, seed=2), rock_salt()])
    expected = model(batch)
    order = torch.randperm(len(batch.edge_length), generator=torch.Generator().manual_seed(0))
    batch.edge_index, batch.edge_length = batch.edge_index[:, order], batch.edge_length[order]
    torch.testing.assert_close(model(batch), expected, atol=1e-5, rtol=1e-5)


def test_a_crystal_without_edges_among_others():
    model = trained(MEGNet(graph_spec=WITHIN_3))
    crystals = [isolated_atom(), rock_salt(), isolated_atom(8)]
    alone = torch.cat([model(batch_for(model, [crystal])) for crystal in crystals])
    torch.testing.assert_close(model(batch_for(model, crystals)), alone, atol=1e-6, rtol=1e-5)


def test_trains_on_one_crystal_of_one_atom():
    model = MEGNet()
    out = model(batch_for(model, [Crystal(np.eye(3) * 3, [[0, 0, 0]], [29])]))
    assert out.shape == (1, 1)
    out.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_several_outputs_and_widths():
    model = MEGNet(3, "one_hot", width=10, hidden_width=7, num_blocks=1, readout_width=5)
    assert model(batch_for(model, random_crystals(4, seed=0))).shape == (4, 3)


def test_a_batch_without_edges_is_refused():
    with pytest.raises(ValueError, match=r"MEGNet needs edges.*with_edges\(model.graph_spec\)"):
        MEGNet()(CrystalBatch.from_crystals([rock_salt()]).float32())


def test_table_is_trained_only_where_asked():
    for trainable in (False, True):
        model = MEGNet(element_table="random:4", trainable_table=trainable)
        before = model.atom_embedding.vectors.detach().clone()
        trained(model)
        assert torch.equal(before, model.atom_embedding.vectors) is not trainable


def test_training_leaves_the_vectors_of_absent_elements_alone():
    model = MEGNet(element_table="atom_init", trainable_table=True, width=16)
    assert model.atom_embedding.width == 16
    batch = batch_for(model, [rock_salt()])
    model(batch).sum().backward()
    gradient = model.atom_embedding.vectors.grad
    touched = model.atom_embedding.atomic_numbers[gradient.abs().sum(dim=1).numpy() > 0]
    assert set(touched.tolist()) == set(batch.atomic_numbers.tolist())


@pytest.mark.parametrize(
    "build",
    [
        MEGNet,
        MEGNet.published,
        lambda: MEGNet(
            2, "random:5", trainable_table=True, width=8, graph_spec=GraphSpec(cutoff=4.0)
        ),
        lambda: MEGNet(
            element_table=ElementTable("mine", [3, 8, 11, 13, 17], np.eye(5)),
            missing_elements="random",
        ),
    ],
)
def test_artifact_round_trip(build, tmp_path):
    model = trained(build())
    model.save_pretrained(tmp_path / "artifact")
    again = MEGNet.from_pretrained(tmp_path / "artifact").eval()
    batch = batch_for(model, random_crystals(6, seed=2))
    assert torch.equal(model(batch), again(batch))
    assert again.graph_spec == model.graph_spec
    assert again.atom_embedding.random_elements == model.atom_embedding.random_elements
    assert again.atom_embedding.name == model.atom_embedding.name


@pytest.mark.parametrize("trainable", [False, True])
def test_element_table_is_what_enters_the_blocks(trainable, tmp_path):
    model = trained(MEGNet(trainable_table=trainable))
    model.save_pretrained(tmp_path)
    table = load_table(tmp_path)
    assert (len(table), table.width) == (100, 32)
    expected = torch.tensor(model.atom_embedding.table().vector("Fe"))
    if not trainable:
        assert torch.equal(expected, torch.tensor(load_table("atom_init").vector("Fe")))
        for layer in model.input.layers:
            expected = softplus2(layer(expected))
    np.testing.assert_allclose(table.vector("Fe"), expected.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("build", [MEGNet, MEGNet.published], ids=["ours", "published"])
def test_learns_in_half_precision(build):
    model = trained(build()).train()
    batch = batch_for(model, random_crystals(6, seed=2))
    expected = model(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = model(batch)
        prediction.abs().mean().backward()
    torch.testing.assert_close(prediction.float(), expected, atol=0.05, rtol=0.05)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)
