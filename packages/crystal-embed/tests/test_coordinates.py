"""Elements' vectors with those of positions added: what it is, what it breaks, that it is saved."""

import numpy as np
import pytest
import torch

from crystal_data import CrystalBatch
from crystal_data.testing import MOVES, InvariantModelContract, batch_for, random_crystals
from crystal_embed import CGCNN, CrystalTransformer, load_table
from crystal_embed.layers.atom_embedding import as_free_vectors
from crystal_embed.layers.coordinates import CoordinateEmbedding

SMALL = {"element_width": 32, "num_layers": 1, "num_heads": 4, "feedforward_width": 64}
BROKEN = {"shift_origin", "change_images", "rotate", "reflect", "double_cell"}


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(0)
    return CrystalTransformer(**SMALL)


@pytest.fixture(scope="module")
def artifact(transformer, tmp_path_factory):
    return str(transformer.save_pretrained(tmp_path_factory.mktemp("run") / "artifact"))


def test_vectors_are_those_of_the_transformer(transformer, artifact):
    batch = CrystalBatch.from_crystals(random_crystals(5, seed=0)).float32()
    embedding = CoordinateEmbedding(load_table(artifact))
    cart_coords = torch.einsum("ai,aij->aj", batch.frac_coords, batch.lattice[batch.batch])
    torch.testing.assert_close(embedding(cart_coords), transformer.position(cart_coords))


@pytest.mark.parametrize("trainable", [True, False])
def test_the_sum_enters_the_network(artifact, trainable):
    torch.manual_seed(1)
    model = CGCNN(element_table=artifact, trainable_table=trainable, with_coordinates=True).eval()
    batch = batch_for(model, random_crystals(5, seed=0))
    seen = []
    model.input.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    model(batch)
    cart_coords = torch.einsum("ai,aij->aj", batch.frac_coords, batch.lattice[batch.batch])
    expected = model.atom_embedding(batch.atomic_numbers) + model.coordinates(cart_coords)
    torch.testing.assert_close(seen[0], expected)
    flags = {p.requires_grad for p in model.coordinates.parameters()}
    assert flags == {trainable}


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
def test_what_it_breaks(artifact, move):
    """Order and other lattice vectors, which leave atoms where they are, are kept."""
    torch.manual_seed(1)
    model = CGCNN(element_table=artifact, with_coordinates=True).eval()
    crystals = InvariantModelContract().crystals()
    rng = np.random.default_rng(3)
    with torch.no_grad():
        before = model(batch_for(model, crystals))
        after = model(batch_for(model, [move(crystal, rng) for crystal in crystals]))
    change = float((after - before).abs().max())
    if move.__name__ in BROKEN:
        assert change > 1e-2
    else:
        assert change < 1e-4


def test_free_vectors_project_both_alike(artifact):
    table = load_table(artifact)
    torch.manual_seed(0)
    free = as_free_vectors(table, 16)
    torch.manual_seed(0)
    project = torch.nn.Linear(table.width, 16)
    rows = torch.tensor(table.vectors)
    length = (rows - rows.mean(0)).square().sum(1).mean().sqrt()
    sums = torch.tensor(table.vectors[:4] + table.coordinates)
    expected = project((sums - rows.mean(0)) / length).detach().numpy()
    np.testing.assert_allclose(free.vectors[:4] + free.coordinates, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("build", [CGCNN, CGCNN.published], ids=["ours", "published"])
def test_artifact_needs_no_transformer(transformer, tmp_path, build, trainable):
    source = transformer.save_pretrained(tmp_path / "transformer")
    model = build(element_table=source, trainable_table=trainable, with_coordinates=True).eval()
    model.save_pretrained(tmp_path / "model")
    for file in source.iterdir():
        file.unlink()
    again = CGCNN.from_pretrained(tmp_path / "model").eval()
    batch = batch_for(model, random_crystals(5, seed=0))
    assert torch.equal(model(batch), again(batch))
    assert again.coordinates.steps.requires_grad == trainable


def test_tables_without_positions_are_refused(tmp_path):
    message = "'atom_init' has no vectors of positions; give the artifact of a CrystalTransformer"
    with pytest.raises(ValueError, match=message):
        CGCNN(with_coordinates=True)
    CrystalTransformer(**SMALL, geometry="periodic").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="geometry: cartesian"):
        CGCNN(element_table=str(tmp_path), with_coordinates=True)
