"""The sampler with a network that knows the answer."""

import pytest
import torch

from crystal_data.loading import OrbitBatch
from crystal_data.transforms import SampleRandom
from crystal_gen.lattice_vector import FamilyConstraint, family_constraints
from crystal_gen.published.atoms import CellAtoms, WyckoffImages
from crystal_gen.published.sampler import Sampler, State
from crystal_gen.published.schedules import Schedules
from crystal_gen.published.wrapped_normal import wrapped_normal_score

SCHEDULES = Schedules()


def random(count: int) -> SampleRandom:
    return SampleRandom(0, 0, range(count))


def described(batch: OrbitBatch) -> tuple[CellAtoms, FamilyConstraint]:
    is_free, bias = family_constraints()
    groups = batch.space_group_number
    atoms = WyckoffImages().double().atoms_of(batch)
    return atoms, FamilyConstraint(is_free[groups], bias[groups])


@pytest.mark.parametrize("num_steps", [1, 2, 7, 50])
def test_reaches_what_the_network_aims_at(orbits: OrbitBatch, num_steps: int):
    atoms, constraint = described(orbits)
    rng = torch.Generator().manual_seed(0)
    aim = State(
        torch.rand(len(atoms.first), 3, generator=rng, dtype=torch.float64) * atoms.free_axes,
        constraint.apply(torch.full((orbits.num_crystals, 6), 0.5, dtype=torch.float64)),
    )

    def denoise(state: State, time: int) -> tuple[torch.Tensor, torch.Tensor]:
        alpha_bar, sigma = SCHEDULES.alpha_bar[time], SCHEDULES.sigma[time]
        noise = (state.vector - alpha_bar.sqrt() * aim.vector) / (1 - alpha_bar).sqrt()
        delta = state.parameters - aim.parameters
        delta = delta - delta.round()
        return noise, delta / sigma**2 / SCHEDULES.squared_score[time].sqrt()

    sampler = Sampler(SCHEDULES, atoms, constraint, random(orbits.num_crystals), 1e-7)
    made = sampler.run(denoise, sampler.pure_noise(), 999, num_steps)
    torch.testing.assert_close(made.vector, aim.vector, atol=1e-9, rtol=0)
    delta = made.parameters - aim.parameters
    # The last corrector moves by its step, without noise.
    assert (delta - delta.round()).abs().max() < 1e-3


@pytest.mark.parametrize(("num_steps", "of_cells"), [(60, 0.0816), (999, 0.0977)])
def test_samples_have_the_distribution_of_the_data(
    orbits: OrbitBatch, take, num_steps: int, of_cells: float
):
    """Triclinic cells whose free coordinates and lattice vectors have normal distributions.

    With few steps the lattice vectors have less than all of their spread, since the posterior's
    variance is that of one known clean vector; the expected values follow from adding up
    variances over the steps.
    """
    count, mean, spread = 400, 0.4, 0.1
    batch = take(orbits, [0] * count)
    atoms, constraint = described(batch)

    def denoise(state: State, time: int) -> tuple[torch.Tensor, torch.Tensor]:
        alpha_bar = SCHEDULES.alpha_bar[time]
        variance = alpha_bar * spread**2 + 1 - alpha_bar
        noise = (1 - alpha_bar).sqrt() * (state.vector - alpha_bar.sqrt() * mean) / variance
        sigma = (SCHEDULES.sigma[time] ** 2 + spread**2).sqrt()
        score = wrapped_normal_score(state.parameters - mean, sigma)
        return noise, -score / SCHEDULES.squared_score[time].sqrt()

    sampler = Sampler(SCHEDULES, atoms, constraint, random(count), 1e-5)
    made = sampler.run(denoise, sampler.pure_noise(), 999, num_steps)
    free = made.parameters[atoms.free_axes.all(dim=1)]
    assert len(free) == 2 * count
    for values, expected in ((free, spread), (made.vector, of_cells)):
        assert float(values.mean()) == pytest.approx(mean, abs=0.01)
        assert float(values.std()) == pytest.approx(expected, rel=0.04)


def test_noise_to_a_level(orbits: OrbitBatch, take):
    atoms, constraint = described(take(orbits, [0] * 2000))
    sampler = Sampler(SCHEDULES, atoms, constraint, random(2000), 1e-5)
    clean = State(
        torch.full((len(atoms.first), 3), 0.5, dtype=torch.float64) * atoms.free_axes,
        torch.full((2000, 6), 2.0, dtype=torch.float64),
    )
    noised = sampler.noised(clean, 500)
    alpha_bar = float(SCHEDULES.alpha_bar[500])
    assert float(noised.vector.mean()) == pytest.approx(2 * alpha_bar**0.5, abs=0.03)
    assert float(noised.vector.std()) == pytest.approx((1 - alpha_bar) ** 0.5, rel=0.02)
    moved = (noised.parameters - clean.parameters)[atoms.free_axes]
    assert float(moved.std()) == pytest.approx(float(SCHEDULES.sigma[500]), rel=0.02)
    # A fixed position has none.
    assert not noised.parameters[~atoms.free_axes].any()
