"""Atoms of conventional cells as images of their orbits."""

import numpy as np
import pytest
import torch

from crystal_data import Crystal
from crystal_data.loading import OrbitBatch
from crystal_data.store.orbits import WYCKOFF_LETTERS
from crystal_data.symmetry import SymmetricCrystal, wyckoff_positions
from crystal_data.testing.generator_contract import symmetry_error
from crystal_gen.batches import crystals_of
from crystal_gen.published.atoms import WyckoffImages, wyckoff_images


def symmetric(batch: OrbitBatch, row: int) -> SymmetricCrystal:
    found = crystals_of(batch)[row]
    assert found is not None
    return found


def difference(one: np.ndarray, other: np.ndarray) -> float:
    delta = one - other
    return float(np.abs(delta - np.rint(delta)).max())


def test_every_image_of_every_position():
    table = wyckoff_images()
    assert len(table.rotation) == 14_433
    rng, count = np.random.default_rng(0), 0
    for number in range(1, 231):
        for position in wyckoff_positions(number):
            count += 1
            begin = int(table.begin[number, WYCKOFF_LETTERS.index(position.letter)])
            images = slice(begin, begin + position.multiplicity)
            point = position.point(rng.random(position.num_free))
            ours = table.rotation[images].numpy() @ point + table.translation[images].numpy()
            assert difference(ours, position.expand(point)) < 1e-9
            # The pseudo-inverse leads to the free axes and nowhere else.
            inverse = table.inverse[images]
            onto = torch.zeros(3, dtype=torch.float64)
            onto[list(position.free_axes)] = 1
            back = inverse @ table.rotation[images]
            torch.testing.assert_close(back, torch.diag(onto).expand_as(back), atol=1e-9, rtol=0)
    assert count == 1731


def test_atoms_are_those_of_the_crystals(orbits: OrbitBatch):
    atoms = WyckoffImages().atoms_of(orbits)
    points = orbits.frac_coords[orbits.mask]
    expanded = atoms.expand(points)
    for row in range(orbits.num_crystals):
        crystal = symmetric(orbits, row).to_crystal()
        ours = atoms.batch == row
        assert atoms.atomic_numbers[ours].tolist() == crystal.atomic_numbers.tolist()
        assert difference(expanded[ours].numpy(), crystal.frac_coords) < 1e-5
    assert atoms.num_atoms.tolist() == torch.bincount(atoms.batch).tolist()
    assert difference(atoms.points(points).numpy(), points.numpy()) < 1e-6
    assert atoms.orbit[atoms.first].tolist() == list(range(len(atoms.first)))


def test_noise_keeps_the_symmetry(orbits: OrbitBatch):
    atoms = WyckoffImages().double().atoms_of(orbits)
    rng = torch.Generator().manual_seed(0)
    normal = torch.randn(len(atoms.first), 3, generator=rng, dtype=torch.float64)
    points = orbits.frac_coords[orbits.mask].double()
    frac_coords = atoms.expand(points + 0.3 * atoms.to_free(normal)).numpy()
    for row in range(orbits.num_crystals):
        one, ours = symmetric(orbits, row), (atoms.batch == row).numpy()
        noisy = Crystal(one.lattice, frac_coords[ours], atoms.atomic_numbers.numpy()[ours])
        assert symmetry_error(noisy, one.space_group_number) < 1e-4


def test_orbit_mean_of_a_symmetric_displacement(orbits: OrbitBatch):
    atoms = WyckoffImages().atoms_of(orbits)
    free = atoms.to_free(torch.randn(len(atoms.first), 3, generator=torch.Generator()))
    displacements = torch.einsum("nij,nj->ni", atoms.rotation, free[atoms.orbit])
    torch.testing.assert_close(atoms.orbit_mean(displacements), free, atol=1e-5, rtol=0)


def test_noise_of_a_diagonal_is_shared():
    # (x, x, x): the pseudo-inverse takes the mean of three numbers.
    table = wyckoff_images()
    position = next(p for p in wyckoff_positions(221) if p.label == "8g")
    inverse = table.inverse[table.begin[221, WYCKOFF_LETTERS.index(position.letter)]]
    assert inverse[0].tolist() == pytest.approx([1 / 3] * 3)
    assert not inverse[1:].abs().max() > 1e-12
