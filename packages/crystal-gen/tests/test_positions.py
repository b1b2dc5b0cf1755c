"""Expanded orbits against those that `SymmetricCrystal` makes one by one."""

import numpy as np
import pytest
import torch

from crystal_data.symmetry import (
    SymmetricCrystal,
    crystal_system,
    space_group_operations,
    wyckoff_positions,
)
from crystal_gen.batches import batch_of
from crystal_gen.positions import images_of, position_table, twins_of

GROUPS = (1, 2, 8, 12, 14, 15, 33, 43, 62, 63, 71, 74, 88, 122, 139, 148, 161, 166, 186, 194)
GROUPS += (205, 216, 221, 225, 227, 229, 230)


def crystal_of(number: int, rng: np.random.Generator) -> SymmetricCrystal:
    """Every position of a group that has free coordinates, and the first that has none."""
    positions = wyckoff_positions(number)
    chosen = [p for p in positions if p.num_free] + [p for p in positions if not p.num_free][:1]
    return SymmetricCrystal(
        space_group_number=number,
        lattice=np.eye(3) * 20.0 + rng.normal(size=(3, 3)),
        atomic_numbers=rng.integers(1, 90, len(chosen)),
        wyckoff_letters=tuple(p.letter for p in chosen),
        frac_coords=rng.random((len(chosen), 3)),
    )


@pytest.fixture(scope="module")
def crystals() -> list[SymmetricCrystal]:
    rng = np.random.default_rng(0)
    return [crystal_of(number, rng) for number in GROUPS]


def sorted_rows(points: np.ndarray) -> np.ndarray:
    wrapped = np.round(points - np.floor(points + 1e-7), 6)
    return wrapped[np.lexsort(wrapped.T)]


def test_images_with_centrings_are_all_atoms(crystals: list[SymmetricCrystal]) -> None:
    table = position_table()
    torch.set_default_dtype(torch.float64)
    try:
        batch = batch_of(crystals, range(len(crystals)), {})
    finally:
        torch.set_default_dtype(torch.float32)
    images = images_of(table, batch)
    points = images.points(batch.frac_coords)
    for row, crystal in enumerate(crystals):
        rotations, translations = space_group_operations(crystal.space_group_number)
        centrings = translations[(rotations == np.eye(3)).all(axis=(1, 2))]
        own = points[row][images.mask[row]].numpy()
        assert len(own) * len(centrings) == crystal.to_crystal().num_atoms
        expanded = (own[:, None] + centrings).reshape(-1, 3)
        expected = crystal.to_crystal().frac_coords
        assert sorted_rows(expanded) == pytest.approx(sorted_rows(expected), abs=1e-5)
        selves = images.is_self[row].nonzero()[:, 0]
        assert images.owner[row][selves].tolist() == list(range(crystal.num_orbits))
        assert points[row][selves].numpy() == pytest.approx(crystal.frac_coords, abs=1e-9)


def test_twins_describe_the_same_crystal(crystals: list[SymmetricCrystal]) -> None:
    table = position_table()
    torch.set_default_dtype(torch.float64)
    try:
        batch = batch_of(crystals, range(len(crystals)), {})
    finally:
        torch.set_default_dtype(torch.float32)
    twins = twins_of(table, batch)
    num_orbits = batch.mask.shape[1]
    crystal_of_twin = twins.place // (twins.max_shifts * num_orbits)
    shift = twins.place // num_orbits % twins.max_shifts
    orbit = twins.place % num_orbits
    points = batch.frac_coords[crystal_of_twin, orbit]
    points = (twins.rotation @ points[..., None]).squeeze(-1) + twins.translation
    for row, crystal in enumerate(crystals):
        for orbit_number, position in enumerate(crystal.positions):
            own = points[(crystal_of_twin == row) & (orbit == orbit_number) & (shift == 0)].numpy()
            assert own[0] == pytest.approx(crystal.frac_coords[orbit_number], abs=1e-9)
            assert position.project(own) == pytest.approx(own, abs=1e-9)
            atoms = sorted_rows(position.expand(crystal.frac_coords[orbit_number]))
            for twin in own:
                assert sorted_rows(position.expand(twin)) == pytest.approx(atoms, abs=1e-5)


@pytest.mark.parametrize("number", [2, 14, 62, 148, 225])
def test_another_origin_moves_all_orbits_alike(number: int) -> None:
    rng = np.random.default_rng(number)
    general = wyckoff_positions(number)[-1]
    crystal = SymmetricCrystal(
        space_group_number=number,
        lattice=np.eye(3) * 9.0,
        atomic_numbers=np.array([8, 14]),
        wyckoff_letters=(general.letter, general.letter),
        frac_coords=rng.random((2, 3)),
    )
    batch = batch_of([crystal], [0], {})
    table = position_table()
    twins = twins_of(table, batch)
    assert int(table.num_shifts[number]) == twins.max_shifts > 1
    shift, orbit = twins.place // 2 % twins.max_shifts, twins.place % 2
    points = (twins.rotation @ batch.frac_coords[0, orbit][..., None]).squeeze(-1)
    points = (points + twins.translation).numpy()
    before = crystal.to_crystal()
    for origin in range(twins.max_shifts):
        first = points[((shift == origin) & (orbit == 0)).numpy()][0]
        second = points[((shift == origin) & (orbit == 1)).numpy()][0]
        moved = SymmetricCrystal(
            space_group_number=number,
            lattice=crystal.lattice,
            atomic_numbers=crystal.atomic_numbers,
            wyckoff_letters=crystal.wyckoff_letters,
            frac_coords=np.array([first, second]),
        ).to_crystal()
        assert distances(moved) == pytest.approx(distances(before), abs=1e-4)


def distances(crystal) -> np.ndarray:
    """From silicon to oxygen, nearest images, sorted."""
    oxygen = crystal.frac_coords[crystal.atomic_numbers == 8]
    silicon = crystal.frac_coords[crystal.atomic_numbers == 14]
    ways = silicon[:, None] - oxygen
    ways -= np.rint(ways)
    return np.sort(np.linalg.norm(ways @ crystal.lattice, axis=-1).ravel())


def test_polar_axes_are_those_that_no_operation_turns() -> None:
    polar = position_table().polar_axes
    assert polar[1].all()
    assert polar[[4, 8, 33, 99, 186]].tolist() == [
        [False, True, False], [True, False, True], [False, False, True],
        [False, False, True], [False, False, True],
    ]  # fmt: skip
    assert not polar[[2, 14, 62, 225]].any()
    assert not any(polar[n].any() for n in range(1, 231) if crystal_system(n) == "cubic")
