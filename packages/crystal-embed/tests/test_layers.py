import math

import numpy as np
import pytest
import torch

from crystal_data.processes import GlobalBatchNorm1d
from crystal_embed.layers.activation import softplus2
from crystal_embed.layers.atom_embedding import AtomEmbedding, as_free_vectors
from crystal_embed.layers.encoder import EncoderLayer, PaddedLayout
from crystal_embed.layers.rows import Rows, look_up
from crystal_embed.layers.set2set import Set2Set
from crystal_embed.tables import ElementTable, load_table


def test_batch_norm_is_torchs_where_torchs_is_defined():
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    ours, theirs = GlobalBatchNorm1d(3), torch.nn.BatchNorm1d(3)
    for _ in range(2):
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_of_few_rows(rows, training):
    norm = GlobalBatchNorm1d(3).train(training)
    x = torch.ones(rows, 3, requires_grad=True)
    out = norm(x)
    assert out.shape == (rows, 3)
    out.sum().backward()
    assert torch.isfinite(x.grad).all()
    torch.testing.assert_close(norm.running_mean, torch.zeros(3))


def test_batch_norm_counts_rows_as_often_as_they_are_there():
    rows = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    counts = torch.tensor([4, 1, 7, 2, 1])
    rows.requires_grad_()
    once, repeated = GlobalBatchNorm1d(3), GlobalBatchNorm1d(3)
    found = once(rows, counts).repeat_interleave(counts, 0)
    expected = repeated(rows.repeat_interleave(counts, 0))
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad((out * weights).sum(), rows)[0] for out in (found, expected)]
    torch.testing.assert_close(*gradients)
    torch.testing.assert_close(once.running_mean, repeated.running_mean)
    torch.testing.assert_close(once.running_var, repeated.running_var)


@pytest.mark.parametrize("num_places", [0, 30])
def test_look_up_is_the_sum_of_rows(num_places):
    generator = torch.Generator().manual_seed(0)
    tables = [torch.randn(size, 4, generator=generator, requires_grad=True) for size in (5, 8)]
    places = [torch.randint(0, size - 1, (num_places,), generator=generator) for size in (5, 8)]
    rows = [Rows.of(row, size) for row, size in zip(places, (5, 8), strict=True)]
    found = look_up(*zip(tables, rows, strict=True))
    expected = tables[0][places[0]] + tables[1][places[1]]
    torch.testing.assert_close(found, expected)
    weights = torch.randn(num_places, 4, generator=generator)
    gradients = [torch.autograd.grad((out * weights).sum(), tables) for out in (found, expected)]
    torch.testing.assert_close(*gradients)


def small_table():
    return ElementTable("small", [1, 8, 26], [[1.0, 2], [3, 4], [5, 7]])


def test_atom_embedding_looks_up():
    embedding = AtomEmbedding(small_table())
    got = embedding(torch.tensor([8, 26, 8]))
    assert got.tolist() == [[3, 4], [5, 7], [3, 4]]
    assert embedding.table().vectors.tolist() == small_table().vectors.tolist()


def test_missing_elements_are_named():
    with pytest.raises(ValueError, match=r"'small' has no row for He, U; .*missing_elements"):
        AtomEmbedding(small_table())(torch.tensor([8, 92, 2, 92]))


def test_random_rows_are_listed_and_fixed():
    embedding = AtomEmbedding(small_table(), missing_elements="random")
    assert len(embedding.random_elements) == 115
    assert {"He", "Og"} <= set(embedding.random_elements)
    assert embedding(torch.tensor([8])).tolist() == [[3, 4]]
    assert embedding.table().metadata["random_elements"] == list(embedding.random_elements)
    again = AtomEmbedding(small_table(), missing_elements="random")
    torch.testing.assert_close(embedding.vectors, again.vectors)
    # Another element's row does not depend on which others are missing.
    fewer = ElementTable("small", [1, 26], small_table().vectors[[0, 2]])
    noise = (again.table().vector("U") - small_table().vectors.mean(0)) / small_table().vectors.std(
        0
    )
    other = AtomEmbedding(fewer, missing_elements="random").table().vector("U")
    np.testing.assert_allclose(
        (other - fewer.vectors.mean(0)) / fewer.vectors.std(0), noise, rtol=1e-4
    )


@pytest.mark.parametrize("trainable", [True, False])
def test_trainable_or_frozen(trainable):
    embedding = AtomEmbedding(load_table("random:4"), trainable=trainable)
    assert [p.requires_grad for p in embedding.parameters()] == [trainable]
    assert set(embedding.state_dict()) == {"vectors"}


@pytest.mark.parametrize("training", [True, False])
def test_encoder_layer_is_torchs(training):
    torch.manual_seed(0)
    ours = EncoderLayer(16, 4, 24, dropout=0.0).train(training)
    torch.manual_seed(0)
    theirs = torch.nn.TransformerEncoderLayer(16, 4, 24, 0.0, batch_first=True).train(training)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), atol=0, rtol=0)

    num_atoms = torch.tensor([3, 1, 5, 2])
    places = PaddedLayout.of(num_atoms)
    atoms = torch.randn(11, 16)
    padded = torch.full((4, 5, 16), 7.0)  # what lies in the padding must not matter
    padded[places.node_mask] = atoms
    expected = theirs(padded, src_key_padding_mask=~places.node_mask)[places.node_mask]
    result = ours(atoms, places)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-6)

    weights = torch.randn(11, 16)
    gradients = [
        torch.autograd.grad((out * weights).sum(), list(layer.parameters()))
        for out, layer in ((result, ours), (expected, theirs))
    ]
    for mine, torchs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, torchs, atol=1e-5, rtol=1e-5)


def test_free_vectors_keep_who_is_near_whom():
    torch.manual_seed(0)
    rows = np.random.default_rng(0).normal(5.0, 3.0, (90, 12)).astype(np.float32)
    table = ElementTable("mine", np.arange(1, 91), rows)
    free = as_free_vectors(table, 64)
    assert free.vectors.shape == (90, 64)
    # A linear layer gives rows of length 1 a mean square of 1/3 for each row of its inputs' number.
    spread = free.vectors.std(axis=0)
    assert np.sqrt((spread**2).mean()) == pytest.approx(1 / np.sqrt(3 * 12), rel=0.1)
    before, after = (np.linalg.norm(v[:, None] - v, axis=-1) for v in (rows, free.vectors))
    pairs = np.triu_indices(90, 1)
    assert np.corrcoef(before[pairs], after[pairs])[0, 1] > 0.9
    # Neither the scale of a table nor where its centre lies matters.
    torch.manual_seed(0)
    other = as_free_vectors(ElementTable("scaled", np.arange(1, 91), rows * 100 + 7), 64)
    np.testing.assert_allclose(other.vectors, free.vectors, atol=1e-4)


def test_softplus2():
    x = torch.linspace(-30, 30, 61, dtype=torch.float64)
    expected = torch.logaddexp(x, torch.zeros_like(x)) - math.log(2)
    torch.testing.assert_close(softplus2(x), expected, atol=1e-8, rtol=0)
    assert abs(float(softplus2(torch.zeros(())))) < 1e-7


def test_set2set_reads_each_set_by_itself():
    torch.manual_seed(0)
    readout = Set2Set(5, 3, 4)
    sets = [torch.randn(count, 5) for count in (4, 1, 0, 7)]
    owner = torch.repeat_interleave(torch.arange(4), torch.tensor([4, 1, 0, 7]))
    together = readout(torch.cat(sets), owner, 4)
    assert together.shape == (4, readout.num_features)
    alone = [readout(one, torch.zeros(len(one), dtype=torch.int64), 1) for one in sets]
    torch.testing.assert_close(together, torch.cat(alone))
    order = torch.randperm(12)
    torch.testing.assert_close(readout(torch.cat(sets)[order], owner[order], 4), together)
    assert torch.equal(together[2, 3:], torch.zeros(3))


def test_set2set_is_a_mean_and_takes_large_scores():
    torch.manual_seed(0)
    readout, members = Set2Set(5, 3, 3), 1e4 * torch.randn(6, 5)
    owner = torch.tensor([0, 0, 0, 1, 1, 1])
    once = readout(members, owner, 2)
    assert torch.isfinite(once).all()
    torch.testing.assert_close(readout(members.repeat(3, 1), owner.repeat(3), 2), once)


def test_set2set_counts_members():
    torch.manual_seed(0)
    readout, members = Set2Set(5, 3, 3), torch.randn(5, 5)
    owner, count = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([2, 1, 1, 3, 2])
    listed = readout(members.repeat_interleave(count, 0), owner.repeat_interleave(count), 2)
    torch.testing.assert_close(readout(members, owner, 2, count.float()), listed)


def test_gradients_of_set2set():
    torch.manual_seed(0)
    readout = Set2Set(3, 2, 2).double()
    owner = torch.tensor([0, 2, 2, 2])  # one member, none, three
    members = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: readout(x, owner, 3), members)
