import math

import numpy as np
import pytest
import torch

from crystal_data import CrystalBatch, GraphSpec
from crystal_data.crystal import Crystal
from crystal_data.graphs import fold
from crystal_data.testing import GraphModelContract, batch_for, random_crystals, rock_salt
from crystal_embed import CrystalTransformer, load_table
from crystal_embed.layers.encoder import PaddedLayout
from crystal_embed.layers.periodic import PeriodicGeometry

SMALL = {"element_width": 32, "num_layers": 2, "num_heads": 4, "feedforward_width": 64}


def small(**options):
    return CrystalTransformer(**{**SMALL, "dropout": 0.0, "geometry": "periodic", **options})


def trained(model):
    """A few steps, so that no weight is as it began; normalized to a spread of 1."""
    batch = batch_for(model, random_crystals(24, seed=1, max_atoms=8))
    label = batch.atomic_numbers.new_zeros(batch.num_crystals).float()
    label = label.index_add(0, batch.batch, batch.atomic_numbers.float()) / batch.num_atoms
    label = (label - label.mean()) / label.std()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(20):
        optimizer.zero_grad()
        (model(batch)[:, 0] - label).abs().mean().backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module", autouse=True)
def model():
    torch.manual_seed(0)
    TestPeriodic.model = trained(small())
    return TestPeriodic.model


class TestPeriodic(GraphModelContract):
    """Every move is kept but for rounding."""


def test_every_image_of_a_supercell_is_counted_once(model):
    """Attention of a cell is shared out among the copies of an atom, none of it lost."""
    cell = rock_salt()
    grid = np.stack(np.meshgrid(*[range(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    supercell = Crystal(
        2 * np.asarray(cell.lattice),
        np.concatenate([(cell.frac_coords + shift) / 2 for shift in grid]),
        np.tile(cell.atomic_numbers, 8),
    )
    with torch.no_grad():
        one = model.encode_atoms(batch_for(model, [cell]))
        eight = model.encode_atoms(batch_for(model, [supercell]))
    torch.testing.assert_close(eight, one.repeat(8, 1), atol=1e-5, rtol=1e-5)


def test_biases_are_the_formula():
    torch.manual_seed(0)
    geometry = PeriodicGeometry(8, num_heads=2, num_layers=3, cutoff=4.0)
    torch.nn.init.normal_(geometry.own)
    torch.nn.init.normal_(geometry.far)
    crystals = random_crystals(4, seed=4)
    batch = CrystalBatch.from_crystals(crystals)
    batch = batch.with_edges(GraphSpec(cutoff=4.0, max_neighbors=None)).float32()
    places = PaddedLayout.of(batch.num_atoms)
    elements = torch.randn(len(batch.batch), 8)
    graph = fold(batch, None)
    with torch.no_grad():
        _, biases = geometry(graph, elements, places)
        weights = (geometry.near, geometry.own, geometry.far)
        near, own, far = (torch.nn.functional.softplus(weight) for weight in weights)
    first = batch.num_atoms.cumsum(0) - batch.num_atoms
    layer, head = 2, 1
    for row, crystal in enumerate(crystals):
        n = crystal.num_atoms
        expected = torch.full((n, n), float(far[layer, head]) / n)
        expected += own[layer, head] * torch.eye(n)
        for (j, i), d in zip(batch.edge_index.T.tolist(), batch.edge_length, strict=True):
            if batch.batch[i] == row:
                weight = near[layer, head] @ geometry.basis(d[None])[0]
                fading = 0.5 * (1 + math.cos(math.pi * float(d) / 4.0))
                expected[i - first[row], j - first[row]] += weight * fading
        torch.testing.assert_close(biases[layer][row, head, :n, :n].exp(), expected)
        assert (biases[layer][row, head, :, n:] == -torch.inf).all()


def test_nothing_jumps_where_a_neighbour_crosses_the_cutoff(model):
    def chain(length):
        return Crystal(np.diag([length, 30.0, 30.0]), [[0, 0, 0]], [11])

    lengths = 6.0 + np.array([-2e-3, -1e-3, 1e-3, 2e-3])
    with torch.no_grad():
        values = model(batch_for(model, [chain(length) for length in lengths]))[:, 0]
    assert values.diff().abs().max() < 1e-5


def test_distances_and_far_atoms_matter(model):
    near, wide = (
        Crystal(np.diag([length, 9.0, 9.0]), [[0, 0, 0], [0.5, 0, 0]], [11, 17])
        for length in (5.0, 5.2)
    )
    box = 40.0 * np.eye(3)
    apart, other = (
        Crystal(box, [[0, 0, 0], [0.5, 0.5, 0.5]], numbers) for numbers in ([11, 17], [11, 35])
    )
    with torch.no_grad():
        one, two, three, four = model(batch_for(model, [near, wide, apart, other]))[:, 0]
        first = model.encode_atoms(batch_for(model, [apart, other]))[[0, 2]]
    assert abs(one - two) > 1e-3
    assert abs(three - four) > 1e-3
    assert (first[0] - first[1]).abs().max() > 1e-3  # sodium sees what is 35 Å away


def test_a_hidden_element_is_seen_by_nobody(model):
    """What a masked atom was cannot be read off its neighbors."""
    crystal = rock_salt()
    encoded = []
    for hidden in (11, 55):
        batch = batch_for(model, [crystal.replace(atomic_numbers=[hidden, 17])])
        batch.atomic_numbers = batch.atomic_numbers.masked_fill(batch.atomic_numbers == hidden, 0)
        with torch.no_grad():
            encoded.append(model.encode_atoms(batch))
    assert torch.equal(*encoded)
    with torch.no_grad():
        known = model.encode_atoms(batch_for(model, [crystal]))
    assert (known[1] - encoded[0][1]).abs().max() > 1e-3


def test_every_weight_has_a_gradient(model):
    batch = batch_for(model, random_crystals(12, seed=1, max_atoms=8))
    gradients = torch.autograd.grad(model(batch).square().sum(), list(model.parameters()))
    for (name, _), gradient in zip(model.named_parameters(), gradients, strict=True):
        assert torch.isfinite(gradient).all(), name
        assert gradient.abs().max() > 0, name


def test_without_edges_it_says_what_to_do(model):
    with pytest.raises(ValueError, match=r"CrystalTransformer needs edges .*with_edges"):
        model(CrystalBatch.from_crystals([rock_salt()]).float32())


def test_artifact_round_trip(model, tmp_path):
    changed = small(cutoff=4.5).eval()
    changed.save_pretrained(tmp_path)
    again = CrystalTransformer.from_pretrained(tmp_path).eval()
    assert again.graph_spec == GraphSpec(cutoff=4.5, max_neighbors=None)
    batch = batch_for(changed, random_crystals(5, seed=1))
    assert torch.equal(changed(batch), again(batch))
    assert load_table(tmp_path).width == SMALL["element_width"]
    assert changed.width == 2 * SMALL["element_width"] == changed.encode_atoms(batch).shape[1]
