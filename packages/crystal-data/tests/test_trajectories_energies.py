"""Energies of crystals as they stand."""

from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.emt import EMT

from crystal_data import Crystal
from crystal_data.io.ase import to_ase
from crystal_data.testing import face_centred, rock_salt
from crystal_data.trajectories import POTENTIALS, energies_of


@pytest.fixture
def crystals() -> list[Crystal]:
    rng = np.random.default_rng(0)
    copper = face_centred()
    repeats = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    places = repeats / 2 + rng.normal(scale=0.02, size=(8, 3))
    alloy = Crystal(2 * copper.lattice, places, rng.choice([29, 79], size=8))
    return [copper, rock_salt(), alloy]


@pytest.mark.parametrize("one_by_one", [False, True])
def test_they_are_those_of_ase(
    crystals: list[Crystal], one_by_one: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if one_by_one:
        monkeypatch.setitem(POTENTIALS, "emt", replace(POTENTIALS["emt"], of_many=None))
    energies = energies_of(crystals, "emt")
    assert np.isnan(energies[1])  # no parameters for Na and Cl
    for place in (0, 2):
        atoms = to_ase(crystals[place])
        atoms.calc = EMT()
        assert energies[place] == pytest.approx(atoms.get_potential_energy() / len(atoms), abs=1e-8)


def test_of_no_crystals() -> None:
    assert energies_of([], "emt").shape == (0,)
