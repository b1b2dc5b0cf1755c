"""The rival of CrystalDiT that the benchmarks train: its noise, its target, and that it learns."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import Task
from crystal_data.loading import OrbitBatch
from crystal_data.metrics import match
from crystal_data.symmetry import SymmetricCrystal, find_orbits, space_group_operations
from crystal_data.testing import ToyGenerator, toy_requests
from crystal_data.transforms import SampleRandom
from crystal_gen import Sampling
from crystal_gen.batches import batch_of, crystals_of
from crystal_gen.lattice_vector import lattice_vector
from crystal_gen.positions import position_table

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
from projected_noise import Blur, ProjectedNoise, mean_way

ENERGY = "formation_energy_per_atom"


@pytest.fixture(scope="module")
def crystals() -> list[SymmetricCrystal]:
    made = [ToyGenerator().sample(Task(request, 0)).crystal for request in toy_requests()]
    return [find_orbits(crystal) for crystal in made if crystal is not None]


@pytest.fixture(scope="module")
def batch(crystals: list[SymmetricCrystal]) -> OrbitBatch:
    energies = [-1.0 + 0.1 * place for place in range(len(crystals))]
    return batch_of(crystals, range(len(crystals)), {ENERGY: energies})


def small_model() -> ProjectedNoise:
    torch.manual_seed(0)
    return ProjectedNoise(width=32, num_layers=2, pair_width=16, num_heads=4, exchange=0.0)


def blur_of(batch: OrbitBatch, time: float) -> Blur:
    model = small_model()
    sites = model._sites(model.table(torch.device("cpu")), batch, model.wishes(batch))
    times = torch.full((batch.num_crystals,), time)
    return Blur(sites, lattice_vector(batch.lattice_parameters), times)


@pytest.mark.parametrize(
    ("number", "letter", "lattice"),
    [
        (166, "h", [[4.0, 0, 0], [-2.0, 12.0**0.5, 0], [0, 0, 9.0]]),  # a mirror plane
        (166, "c", [[4.0, 0, 0], [-2.0, 12.0**0.5, 0], [0, 0, 9.0]]),  # a threefold axis
        (227, "e", np.eye(3) * 6.0),  # along the diagonal
        (14, "e", [[5.0, 0, 0], [0, 6.0, 0], [-2.0, 0, 7.0]]),  # nothing fixed
    ],
)
def test_noise_is_isotropic_where_the_site_is_free(
    number: int, letter: str, lattice: np.ndarray
) -> None:
    """Its covariance in Å is σ² times the mean of the site symmetry's rotations."""
    lattice = np.asarray(lattice)
    table = position_table()
    crystal = SymmetricCrystal(
        space_group_number=number,
        lattice=lattice,
        atomic_numbers=np.array([8]),
        wyckoff_letters=(letter,),
        frac_coords=np.zeros((1, 3)),
    )
    one = batch_of([crystal], [0], {})
    row = int(table.rows_of(one)[0, 0])
    projection, offset = table.projection[row].numpy(), table.offset[row].numpy()
    point = projection @ np.array([0.123, 0.234, 0.345]) + offset
    rotations, translations = space_group_operations(number)
    moved = rotations @ point + translations - point
    fixed = (np.abs(moved) < 1e-9).all(1)
    to_cart = [lattice.T @ rotation @ np.linalg.inv(lattice.T) for rotation in rotations[fixed]]
    time = 1.0 / (1.0 + 0.1)  # σ is 0.1 Å
    blur = blur_of(one, time)
    draws = torch.randn(20_000, 1, 1, 3, generator=torch.Generator().manual_seed(0))
    colored = blur.colored(draws)[:, 0, 0].numpy()
    cart = (colored * one.free_axes[0, 0].numpy()) @ projection.T @ lattice
    covariance = cart.T @ cart / len(cart)
    assert np.allclose(covariance, 0.01 * np.mean(to_cart, axis=0), atol=5e-4)


def test_draws_and_displacements_are_inverse(batch: OrbitBatch) -> None:
    blur = blur_of(batch, 0.6)
    draws = torch.randn(batch.frac_coords.shape, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(blur.whitened(blur.colored(draws)), draws, atol=1e-4)


@pytest.mark.parametrize("time", [0.1, 0.4, 0.6, 0.8])
def test_the_target_is_the_score_of_all_that_noise_makes(time: float) -> None:
    """Group P-1: each atom or its inverse, from eight origins, in any cell, all enumerated."""
    rng = np.random.default_rng(0)
    crystal = SymmetricCrystal(
        space_group_number=2,
        lattice=np.array([[3.0, 0, 0], [0.5, 4.0, 0], [0.3, -0.7, 5.0]]),
        atomic_numbers=np.array([8, 12]),
        wyckoff_letters=("i", "i"),
        frac_coords=rng.random((2, 3)),
    )
    one = batch_of([crystal], [0], {})
    precision = blur_of(one, time).precision
    noised = torch.from_numpy(rng.random((2, 3))).requires_grad_()
    cells = torch.tensor(list(itertools.product(range(-4, 5), repeat=3)), dtype=torch.float64)
    origins = torch.tensor(list(itertools.product((0.0, 0.5), repeat=3)), dtype=torch.float64)
    true = one.frac_coords[0].double()
    each = []
    for origin in origins:
        logs = []
        for sign in (1.0, -1.0):
            ways = (sign * true + origin - noised)[:, None] + cells
            squares = torch.einsum("oni,oij,onj->on", ways, precision[0].double(), ways)
            logs.append((-0.5 * squares).logsumexp(1))
        each.append(torch.stack(logs).logsumexp(0).sum())
    (score,) = torch.autograd.grad(torch.stack(each).logsumexp(0), noised)
    expected = torch.linalg.solve(precision[0].double(), score[..., None])[..., 0]
    found = mean_way(position_table().float(), one, precision, noised.detach().float()[None])
    assert torch.allclose(found[0].double(), expected, atol=2e-3 if time < 0.2 else 2e-4)


@pytest.mark.parametrize(("number", "axes"), [(1, [0, 1, 2]), (4, [1]), (33, [2])])
def test_of_little_noise_nothing_but_a_shift_of_the_origin_is_left(
    number: int, axes: list[int]
) -> None:
    rng = np.random.default_rng(number)
    crystal = SymmetricCrystal(
        space_group_number=number,
        lattice=np.diag([5.0, 6.0, 7.0]),
        atomic_numbers=np.array([8, 12, 14]),
        wyckoff_letters=("a", "a", "a"),
        frac_coords=rng.random((3, 3)),
    )
    one = batch_of([crystal], [0], {})
    noise = torch.from_numpy(0.001 * rng.standard_normal((1, 3, 3))).float()
    way = mean_way(
        position_table().float(), one, blur_of(one, 0.98).precision, one.frac_coords + noise
    )
    noise[..., axes] -= noise.mean(1, keepdim=True)[..., axes]
    assert torch.allclose(way, -noise, atol=1e-6)


def test_it_learns_crystals_by_heart(crystals: list[SymmetricCrystal], batch: OrbitBatch) -> None:
    model = small_model()
    model.fit_scales(batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    copies = batch_of(crystals * 2, range(2 * len(crystals)), {})
    random = SampleRandom(0, 0, batch.sample_id)

    def num_matches() -> int:
        made = model.eval().sample(batch, random, Sampling(num_steps=20, sharpness=2.0))
        pairs = zip(crystals_of(made), crystals, strict=True)
        return sum(
            one is not None and match(one.to_crystal(), true.to_crystal()) is not None
            for one, true in pairs
        )

    untrained = num_matches()
    model.train()
    for step in range(200):
        sums = model.losses(copies, SampleRandom(0, step, copies.sample_id))
        loss = sum(total / count for total, count in sums.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert num_matches() >= untrained + 2


def test_what_is_not_free_stays(batch: OrbitBatch) -> None:
    model = small_model()
    made = model.sample(batch, SampleRandom(0, 0, batch.sample_id), Sampling(num_steps=3))
    for crystal, free in zip(crystals_of(made), batch.free_lattice, strict=True):
        assert crystal is not None
        again = find_orbits(crystal.to_crystal(), 1e-3)
        assert again.space_group_number >= crystal.space_group_number or free.all()


def test_there_is_no_start(batch: OrbitBatch) -> None:
    random = SampleRandom(0, 0, batch.sample_id)
    with pytest.raises(InvalidArgumentError, match="from noise alone"):
        small_model().sample(batch, random, Sampling(num_steps=3), start=0.5)
