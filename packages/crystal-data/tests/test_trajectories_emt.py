"""Effective medium theory of many crystals at once, and relaxations in step, against ASE's."""

import numpy as np
import pytest
from ase.calculators.emt import EMT, parameters

from crystal_data import Crystal
from crystal_data.elements import SYMBOLS
from crystal_data.io.ase import to_ase
from crystal_data.testing import rock_salt
from crystal_data.trajectories import RelaxationError, RelaxationSettings, relax, relax_many
from crystal_data.trajectories.emt import PotentialResults, effective_medium
from crystal_data.trajectories.starts import make_start

METALS = [SYMBOLS.index(symbol) for symbol in ("Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt")]


def triclinic(seed: int, num_atoms: int, elements: list[int]) -> Crystal:
    rng = np.random.default_rng(seed)
    lattice = (15 * num_atoms) ** (1 / 3) * (np.eye(3) + 0.35 * rng.normal(size=(3, 3)))
    numbers = rng.choice(elements, num_atoms)
    return Crystal(lattice, rng.uniform(-2, 2, (num_atoms, 3)), numbers, f"triclinic-{seed}")


def ordered_alloys(count: int) -> list[Crystal]:
    """Strained cells of fcc with any metals in them."""
    rng = np.random.default_rng(0)
    sites = np.array([[0.0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    found = []
    for place in range(count):
        parent = Crystal(4 * np.eye(3), sites, rng.choice(METALS, 4), f"alloy-{place}")
        start = make_start(parent, "strain", rng)
        assert start is not None
        found.append(start)
    return found


def results_of(crystals: list[Crystal]) -> PotentialResults:
    return effective_medium(
        np.array([one.lattice for one in crystals]),
        np.concatenate([one.frac_coords for one in crystals]),
        np.concatenate([one.atomic_numbers for one in crystals]),
        np.array([one.num_atoms for one in crystals]),
    )


def test_the_same_as_ase() -> None:
    elements = [SYMBOLS.index(symbol) for symbol in parameters]
    crystals = [triclinic(seed, 1 + seed % 20, elements) for seed in range(40)]
    assert {z for one in crystals for z in one.atomic_numbers.tolist()} == set(elements)
    found = results_of(crystals)
    forces = np.split(found.forces, np.cumsum([one.num_atoms for one in crystals])[:-1])
    for place, crystal in enumerate(crystals):
        atoms = to_ase(crystal)
        atoms.calc = EMT()
        for own, expected in (
            (found.energy[place], atoms.get_potential_energy()),
            (forces[place], atoms.get_forces()),
            (found.stress[place], atoms.get_stress(voigt=False)),
        ):
            # Of atoms that nearly touch, forces are 10^5 eV/Å.
            scale = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(own, expected, rtol=0, atol=1e-10 * scale)


def test_a_crystal_does_not_depend_on_the_others() -> None:
    crystals = [triclinic(seed, 3 + seed, METALS) for seed in range(5)]
    together = results_of(crystals)
    alone = [results_of([one]) for one in crystals]
    np.testing.assert_array_equal(together.energy, np.concatenate([one.energy for one in alone]))
    np.testing.assert_array_equal(together.forces, np.concatenate([one.forces for one in alone]))
    np.testing.assert_array_equal(together.stress, np.concatenate([one.stress for one in alone]))


def test_lonely_atoms_and_what_has_no_results() -> None:
    lonely = Crystal(20 * np.eye(3), [[0, 0, 0]], [29])
    atoms = to_ase(lonely)
    atoms.calc = EMT()
    twice = Crystal(4 * np.eye(3), [[0, 0, 0], [0, 0, 0]], [29, 29])
    found = results_of([lonely, twice, rock_salt()])
    assert found.energy[0] == atoms.get_potential_energy()
    assert not found.forces[0].any()
    assert not found.stress[0].any()
    assert np.isnan(found.energy[2])
    assert np.isnan(found.forces[1:]).any(axis=1).all()


@pytest.mark.parametrize("max_force", [0.05, 0.01])
def test_the_steps_of_ase(max_force: float) -> None:
    settings = RelaxationSettings(max_force)
    starts = ordered_alloys(6)
    for start, frames in zip(starts, relax_many(starts, "emt", settings), strict=True):
        assert not isinstance(frames, RelaxationError)
        expected = relax(start, EMT(), settings)
        assert [one.step for one in frames] == [one.step for one in expected]
        for own, other in zip(frames, expected, strict=True):
            np.testing.assert_allclose(own.crystal.lattice, other.crystal.lattice, atol=1e-7)
            np.testing.assert_allclose(
                own.crystal.frac_coords, other.crystal.frac_coords, atol=1e-7
            )
            np.testing.assert_allclose(own.forces, other.forces, atol=1e-6)
            np.testing.assert_allclose(own.stress, other.stress, atol=1e-8)
            assert own.energy == pytest.approx(other.energy, abs=1e-7)


def test_relaxations_do_not_depend_on_the_others() -> None:
    starts = ordered_alloys(4)
    settings = RelaxationSettings()
    together = relax_many(starts, "emt", settings)
    alone = [relax_many([start], "emt", settings)[0] for start in starts]
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, list)
        assert isinstance(other, list)
        assert len(one) == len(other)
        np.testing.assert_array_equal(one[-1].crystal.lattice, other[-1].crystal.lattice)
        np.testing.assert_array_equal(one[-1].crystal.frac_coords, other[-1].crystal.frac_coords)


def test_those_without_end_say_what_ase_says() -> None:
    [start] = ordered_alloys(1)
    apart = start.replace(lattice=5.6 * np.eye(3), frac_coords=np.round(start.frac_coords * 2) / 2)
    twice = Crystal(4 * np.eye(3), [[0, 0, 0], [0, 0, 0]], [29, 29])
    short, long = RelaxationSettings(max_steps=3), RelaxationSettings(1e-3, 2000)
    for crystal, settings in ((start, short), (apart, long)):
        with pytest.raises(RelaxationError) as raised:
            relax(crystal, EMT(), settings)
        said = [str(run) for run in relax_many([crystal, twice], "emt", settings)]
        assert said == [str(raised.value), "failed after 0 steps: forces are not finite"]
    assert relax_many([], "emt") == []
