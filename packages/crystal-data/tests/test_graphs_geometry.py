import numpy as np
import torch

from crystal_data.graphs import nearest_images
from crystal_data.testing import change_cell, elongated, random_crystals


def test_the_nearest_image_is_the_shortest_of_many():
    rng = np.random.default_rng(0)
    crystals = [*random_crystals(8, seed=2, max_atoms=3), elongated()]
    skewed = [change_cell(change_cell(crystal, rng), rng) for crystal in crystals]
    lattice = torch.tensor(np.array([crystal.lattice for crystal in [*crystals, *skewed]]))
    batch = torch.arange(len(lattice)).repeat_interleave(10)
    vectors = torch.from_numpy(rng.normal(0, 6, (len(batch), 3)))
    got = nearest_images(vectors, lattice, batch)
    whole = torch.linalg.solve(lattice[batch].mT, (got - vectors)[:, :, None])
    torch.testing.assert_close(whole, whole.round(), atol=1e-8, rtol=0)
    steps = torch.arange(-14.0, 15.0, dtype=torch.float64)
    for row in range(0, len(batch), 7):
        images = vectors[row] + torch.cartesian_prod(steps, steps, steps) @ lattice[batch[row]]
        assert got[row].norm() <= images.norm(dim=1).min() + 1e-9


def test_short_vectors_stay():
    lattice = torch.eye(3)[None] * 4.0
    vectors = torch.tensor([[0.1, -0.2, 1.9], [0.0, 2.1, 0.0]])
    got = nearest_images(vectors, lattice, torch.zeros(2, dtype=torch.int64))
    torch.testing.assert_close(got, torch.tensor([[0.1, -0.2, 1.9], [0.0, -1.9, 0.0]]))
    assert got.dtype == torch.float32
