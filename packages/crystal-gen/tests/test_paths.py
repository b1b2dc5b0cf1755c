"""Ways from noise lead to the crystal, and to its nearest description."""

import numpy as np
import pytest
import torch

from crystal_data.generation import Task
from crystal_data.metrics import match
from crystal_data.symmetry import SymmetricCrystal, find_orbits
from crystal_data.testing import ToyGenerator, toy_requests
from crystal_data.transforms import SampleRandom
from crystal_gen.batches import batch_of, crystals_of
from crystal_gen.paths import nearest_description, wrapped
from crystal_gen.positions import position_table


@pytest.fixture(scope="module")
def crystals() -> list[SymmetricCrystal]:
    """Crystals of all systems, and two in polar groups."""
    made = [ToyGenerator().sample(Task(request, 0)).crystal for request in toy_requests()]
    found = [find_orbits(crystal) for crystal in made if crystal is not None]
    rng = np.random.default_rng(0)
    polar = [
        SymmetricCrystal(
            space_group_number=number,
            lattice=np.diag([5.0, 6.0, 7.0]),
            atomic_numbers=np.array([8, 12, 14]),
            wyckoff_letters=(letter,) * 3,
            frac_coords=rng.random((3, 3)),
        )
        for number, letter in ((33, "a"), (1, "a"))
    ]
    return [*found, *polar]


def ways_of(
    crystals: list[SymmetricCrystal], seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    table = position_table().float()
    batch = batch_of(crystals, range(len(crystals)), {})
    rows = table.rows_of(batch)
    points = torch.rand(batch.frac_coords.shape, generator=torch.Generator().manual_seed(seed))
    noise = (table.projection[rows] @ points[..., None]).squeeze(-1) + table.offset[rows]
    way = nearest_description(table, batch, noise)
    return noise, way, (table.projection[rows] @ way[..., None]).squeeze(-1)


def test_the_end_is_the_crystal(crystals: list[SymmetricCrystal]) -> None:
    batch = batch_of(crystals, range(len(crystals)), {})
    for seed in range(3):
        noise, _, along = ways_of(crystals, seed)
        batch.frac_coords = noise + along
        for true, end in zip(crystals, crystals_of(batch), strict=True):
            assert end is not None
            rms = match(end.to_crystal(), true.to_crystal(), stol=0.01, angle_tol=0.1, ltol=0.001)
            assert rms == pytest.approx(0.0, abs=1e-3), true


def test_ways_are_shorter_than_to_one_description(crystals: list[SymmetricCrystal]) -> None:
    batch = batch_of(crystals, range(len(crystals)), {})
    free = batch.free_axes & batch.mask[..., None]
    noise, way, _ = ways_of(crystals, 0)
    straight = wrapped(batch.frac_coords - noise)
    assert (way**2 * free).sum() < 0.7 * (straight**2 * free).sum()
    assert not way[~free].any()


def test_another_description_changes_nothing(crystals: list[SymmetricCrystal]) -> None:
    """An origin elsewhere along polar axes, and the inversion through the origin in P-1."""
    polar = crystals[-2]
    moved = SymmetricCrystal(
        space_group_number=polar.space_group_number,
        lattice=polar.lattice,
        atomic_numbers=polar.atomic_numbers,
        wyckoff_letters=polar.wyckoff_letters,
        frac_coords=polar.frac_coords + np.array([0.0, 0.0, 0.37]),
    )
    noise = torch.rand(1, 3, 3, generator=torch.Generator().manual_seed(1))
    table = position_table().float()
    first, second = (
        nearest_description(table, batch_of([each], [0], {}), noise) for each in (polar, moved)
    )
    assert torch.allclose(first, second, atol=1e-5)
    # What a common shift would remove is not in the way.
    assert abs(float(torch.sin(2 * torch.pi * first[0, :, 2]).sum())) < 1e-4


def test_padding_does_not_matter(crystals: list[SymmetricCrystal]) -> None:
    _, together, _ = ways_of(crystals, 5)
    batch = batch_of(crystals[:1], [0], {})
    num_orbits = crystals[0].num_orbits
    points = torch.rand(
        (len(crystals), together.shape[1], 3), generator=torch.Generator().manual_seed(5)
    )
    table = position_table().float()
    rows = table.rows_of(batch)
    noise = (table.projection[rows] @ points[:1, :num_orbits, :, None]).squeeze(-1)
    alone = nearest_description(table, batch, noise + table.offset[rows])
    assert torch.allclose(alone[0], together[0, :num_orbits], atol=1e-6)


def test_draws_of_a_crystal_do_not_depend_on_others() -> None:
    one = SampleRandom(0, 0, torch.tensor([7])).uniform("coordinates", 6)
    more = SampleRandom(0, 0, torch.tensor([3, 7])).uniform("coordinates", 12)
    assert torch.equal(one[0], more[1, :6])
