"""What CGCNN, MEGNet and ALIGNN have in common; their equations are in files of their own."""

from functools import partial

import numpy as np
import pytest
import torch

from crystal_data import CrystalBatch, GraphSpec
from crystal_data.crystal import Crystal
from crystal_data.testing import (
    batch_for,
    briefly_trained,
    isolated_atom,
    random_crystals,
    rock_salt,
)
from crystal_embed import ALIGNN, CGCNN, ElementTable, MEGNet

NETWORKS = {
    "CGCNN": CGCNN,
    "CGCNN-sum": partial(CGCNN, aggregation="sum"),
    "MEGNet": MEGNet,
    "ALIGNN": partial(ALIGNN, width=16, embedding_width=8),
}
PUBLISHED = {"CGCNN": CGCNN.published, "MEGNet": MEGNet.published, "ALIGNN": ALIGNN.published}
each_network = pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)


def within(cutoff, build):
    """All neighbors in a radius, of which an atom may have none."""
    line_graph = build().graph_spec.line_graph
    return GraphSpec(cutoff=cutoff, max_neighbors=None, line_graph=line_graph)


def all_finite(model):
    return all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("training", [True, False])
@each_network
def test_without_any_edge(build, training):
    model = build(graph_spec=within(3.0, build)).train(training)
    batch = batch_for(model, [isolated_atom(), isolated_atom(8)])
    assert batch.edge_index.shape == (2, 0)
    out = model(batch)
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert all_finite(model)


@each_network
def test_a_crystal_without_edges_among_others(build):
    model = briefly_trained(build(graph_spec=within(3.0, build)))
    crystals = [isolated_atom(), rock_salt(), isolated_atom(8)]
    alone = torch.cat([model(batch_for(model, [crystal])) for crystal in crystals])
    torch.testing.assert_close(model(batch_for(model, crystals)), alone, atol=1e-6, rtol=1e-5)


@each_network
def test_trains_on_one_crystal_of_one_atom(build):
    model = build()
    out = model(batch_for(model, [Crystal(np.eye(3) * 3, [[0, 0, 0]], [29])]))
    assert out.shape == (1, 1)
    out.sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert all_finite(model)


@each_network
def test_several_outputs(build):
    model = build(num_outputs=3, element_table="one_hot")
    assert model(batch_for(model, random_crystals(4, seed=0))).shape == (4, 3)


@each_network
def test_a_batch_without_edges_is_refused(build):
    with pytest.raises(ValueError, match=r" needs edges.*with_edges\(model.graph_spec\)"):
        build()(CrystalBatch.from_crystals([rock_salt()]).float32())


@each_network
def test_an_element_without_row_is_named(build):
    model = build(element_table=ElementTable("small", [11], [[1.0]]))
    with pytest.raises(ValueError, match="'small' has no row for Cl"):
        model(batch_for(model, [rock_salt()]))


@pytest.mark.parametrize("trainable", [False, True])
@each_network
def test_table_is_trained_only_where_asked(build, trainable):
    model = build(element_table="random:4", trainable_table=trainable)
    before = model.atom_embedding.vectors.detach().clone()
    briefly_trained(model)
    assert torch.equal(before, model.atom_embedding.vectors) is not trainable


@each_network
def test_training_leaves_the_vectors_of_absent_elements_alone(build):
    model = build(element_table="atom_init", trainable_table=True)
    batch = batch_for(model, [rock_salt()])
    model(batch).sum().backward()
    gradient = model.atom_embedding.vectors.grad
    touched = model.atom_embedding.atomic_numbers[gradient.abs().sum(dim=1).numpy() > 0]
    assert set(touched.tolist()) == set(batch.atomic_numbers.tolist())


OPTIONS = {
    "default": lambda build: {},
    "trained table, own cutoff": lambda build: {
        "num_outputs": 2,
        "element_table": "random:5",
        "trainable_table": True,
        "graph_spec": within(4.0, build),
    },
    "random rows for missing elements": lambda build: {
        "element_table": ElementTable("mine", [3, 8, 11, 13, 17], np.eye(5)),
        "missing_elements": "random",
    },
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@each_network
def test_artifact_round_trip(build, options, tmp_path):
    check_round_trip(briefly_trained(build(**options(build))), tmp_path)


@pytest.mark.parametrize("published", PUBLISHED.values(), ids=PUBLISHED)
def test_artifact_of_the_published_network(published, tmp_path):
    check_round_trip(published().eval(), tmp_path)


def check_round_trip(model, folder):
    """Twice, as an artifact of an artifact."""
    batch = batch_for(model, random_crystals(6, seed=2))
    again = model
    for generation in ("first", "second"):
        again.save_pretrained(folder / generation)
        again = type(model).from_pretrained(folder / generation).eval()
        assert torch.equal(model(batch), again(batch))
        assert again.graph_spec == model.graph_spec
        assert again.atom_embedding.random_elements == model.atom_embedding.random_elements
        assert again.atom_embedding.name == model.atom_embedding.name


@pytest.mark.parametrize(
    "build",
    [*NETWORKS.values(), CGCNN.published, MEGNet.published],
    ids=[*NETWORKS, "CGCNN-published", "MEGNet-published"],
)
def test_learns_in_half_precision(build):
    model = briefly_trained(build()).train()
    batch = batch_for(model, random_crystals(6, seed=2))
    expected = model(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = model(batch)
        prediction.abs().mean().backward()
    torch.testing.assert_close(prediction.float(), expected, atol=0.05, rtol=0.05)
    assert all_finite(model)
