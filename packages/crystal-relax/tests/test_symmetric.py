"""Predicted changes keep the symmetry of the start, as spglib sees it."""

import numpy as np
import pytest
import spglib
import torch

from crystal_data import Crystal
from crystal_data.testing import random_crystals, rock_salt
from crystal_data.trajectories import Change, changed
from crystal_relax import TextRelaxer
from crystal_relax.symmetric import symmetrized

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

WURTZITE = Crystal(
    np.array([[3.25, 0, 0], [-1.625, 3.25 * np.sqrt(0.75), 0], [0, 0, 5.2]]),
    np.array([[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.38], [2 / 3, 1 / 3, 0.88]]),
    np.array([30, 30, 8, 8]),
    "wurtzite",
)
RUTILE = Crystal(
    np.diag([4.6, 4.6, 2.96]),
    np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0],
              [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]]),
    np.array([22, 22, 8, 8, 8, 8]),
    "rutile",
)  # fmt: skip


def random_change(crystal: Crystal, seed: int = 0) -> Change:
    rng = np.random.default_rng(seed)
    strain, moved = 0.03 * rng.normal(size=(3, 3)), 0.1 * rng.normal(size=(crystal.num_atoms, 3))
    return Change(strain + strain.T, moved - moved.mean(axis=0))


def space_group(crystal: Crystal) -> int:
    cell = (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)
    found = spglib.get_symmetry_dataset(cell, symprec=1e-4)
    assert found is not None
    return int(found.number)


@pytest.mark.parametrize("start", [rock_salt(), WURTZITE, RUTILE], ids=lambda one: one.identifier)
def test_no_symmetry_is_lost(start):
    change = random_change(start)
    assert space_group(changed(start, change)) == 1
    kept = symmetrized(start, change)
    assert space_group(changed(start, kept)) == space_group(start)
    again = symmetrized(start, kept)
    np.testing.assert_allclose(again.strain, kept.strain, atol=1e-12)
    np.testing.assert_allclose(again.displacement, kept.displacement, atol=1e-12)


def test_what_is_free_stays():
    # Atoms of wurtzite move along c, all metals as one and all oxygens as one; the cell by a and c.
    kept = symmetrized(WURTZITE, random_change(WURTZITE))
    assert abs(kept.displacement[0, 2]) > 0.01
    np.testing.assert_allclose(kept.displacement[:, :2], 0, atol=1e-12)
    np.testing.assert_allclose(kept.displacement[:2, 2], -kept.displacement[2:, 2], atol=1e-12)
    assert abs(kept.strain[0, 0] - kept.strain[2, 2]) > 0.01
    np.testing.assert_allclose(kept.strain[0, 0], kept.strain[1, 1], atol=1e-12)


def test_without_symmetry_all_stays():
    for start in random_crystals(5, 0):
        change = random_change(start)
        kept = symmetrized(start, change)
        np.testing.assert_allclose(kept.strain, change.strain, atol=1e-12)
        np.testing.assert_allclose(kept.displacement, change.displacement, atol=1e-12)


def test_turned_with_the_crystal():
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    change = random_change(RUTILE)
    turned = Change(turn.T @ change.strain @ turn, change.displacement @ turn)
    kept = symmetrized(RUTILE, change)
    other = symmetrized(RUTILE.replace(lattice=RUTILE.lattice @ turn), turned)
    np.testing.assert_allclose(other.strain, turn.T @ kept.strain @ turn, atol=1e-12)
    np.testing.assert_allclose(other.displacement, kept.displacement @ turn, atol=1e-12)


def test_atoms_that_overlap_have_no_symmetry_to_keep():
    start = rock_salt()
    start = start.replace(frac_coords=np.zeros_like(start.frac_coords))
    change = random_change(start)
    np.testing.assert_array_equal(symmetrized(start, change).displacement, change.displacement)


@pytest.mark.parametrize("output", ["numbers", "text"])
def test_text_models_keep_it(output):
    torch.manual_seed(0)
    model = TextRelaxer(width=16, num_layers=1, num_heads=2, feedforward=16, output=output).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    [[prediction]] = model.samples([RUTILE], temperature=1.0)
    if not prediction.note:
        assert space_group(prediction.crystal) == space_group(RUTILE)
    assert output == "text" or not np.allclose(prediction.crystal.lattice, RUTILE.lattice)
