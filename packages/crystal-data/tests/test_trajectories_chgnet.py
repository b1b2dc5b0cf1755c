"""CHGNet of many crystals at once beside the package's own calculator."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from crystal_data import Crystal
from crystal_data.io.ase import to_ase
from crystal_data.testing import face_centred, perovskite, random_crystals, rock_salt
from crystal_data.trajectories import (
    POTENTIALS,
    RelaxationError,
    RelaxationSettings,
    RelaxationSource,
    calculator,
    make_trajectories,
    relax,
    relax_many,
)
from crystal_data.trajectories import tasks as tasks_module
from crystal_data.trajectories.emt import PotentialResults
from crystal_data.trajectories.potentials import _IN_STEP
from crystal_data.trajectories.starts import make_start
from crystal_data.trajectories.tasks import TrajectoryOptions

pytest.importorskip("chgnet")

# Of its calculator.
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")

QUICK = RelaxationSettings(max_force=0.5)  # eV/Å


def evaluated(crystals: Sequence[Crystal]) -> PotentialResults:
    of_many = POTENTIALS["chgnet"].of_many
    assert of_many is not None
    return of_many(
        np.array([one.lattice for one in crystals]),
        np.concatenate([one.frac_coords for one in crystals]),
        np.concatenate([one.atomic_numbers for one in crystals]),
        np.array([one.num_atoms for one in crystals]),
    )


def assert_as_its_calculator(crystals: Sequence[Crystal]) -> None:
    """As far as single precision goes: both are up to 2e-4 eV/Å off what double precision gives."""
    found = evaluated(crystals)
    first = 0
    for row, crystal in enumerate(crystals):
        atoms = to_ase(crystal.replace(properties={}))
        atoms.calc = calculator("chgnet")
        rows = slice(first, first := first + crystal.num_atoms)
        energy = atoms.get_potential_energy()
        assert found.energy[row] == pytest.approx(energy, abs=2e-5 * crystal.num_atoms)
        np.testing.assert_allclose(found.forces[rows], atoms.get_forces(), rtol=1e-4, atol=3e-4)
        stress = atoms.get_stress(voigt=False)
        np.testing.assert_allclose(found.stress[row], stress, rtol=1e-4, atol=1e-4)


def strained(crystal: Crystal, seed: int) -> Crystal:
    start = make_start(crystal, "strain", np.random.default_rng(seed))
    assert start is not None
    return start


def repeated(crystal: Crystal, times: Sequence[int]) -> Crystal:
    cells = np.stack(np.meshgrid(*map(np.arange, times), indexing="ij"), axis=-1).reshape(-1, 3)
    frac_coords = (crystal.frac_coords[:, None] + cells) / np.array(times)
    return Crystal(
        crystal.lattice * np.array(times)[:, None],
        frac_coords.reshape(-1, 3),
        np.repeat(crystal.atomic_numbers, len(cells)),
        crystal.identifier,
    )


def test_the_numbers_of_its_calculator() -> None:
    # Of 1 to 50 atoms; a metal has many short bonds, an open cell none. Among the random ones are
    # bonds that are equally long by chance, whose derivatives differ.
    crystals = [
        face_centred(),
        rock_salt(),
        rock_salt(edge=9.0),
        repeated(perovskite(), (1, 2, 1)),
        strained(repeated(perovskite(), (2, 5, 1)), 0),
        *random_crystals(16, seed=3, max_atoms=16),
    ]
    assert_as_its_calculator(crystals)


@pytest.mark.data
@pytest.mark.skipif("CRYSTAL_DATA_HOME" not in os.environ, reason="needs the public data sets")
def test_the_numbers_of_its_calculator_on_public_crystals() -> None:
    source = RelaxationSource(Path(os.environ["CRYSTAL_DATA_HOME"], "relax_chgnet"))
    crystals = [one.structure for one in source.records() if isinstance(one.structure, Crystal)]
    assert_as_its_calculator([strained(one, row) for row, one in enumerate(crystals[::20])])


def test_a_crystal_that_it_cannot_do_leaves_the_others_as_they_are() -> None:
    lonely = face_centred(edge=20.0)
    unknown = rock_salt(cation=95)
    found = evaluated([perovskite(), lonely, unknown, rock_salt()])
    assert np.isfinite(found.energy).tolist() == [True, False, False, True]
    alone = evaluated([perovskite(), rock_salt()])
    np.testing.assert_allclose(found.energy[[0, 3]], alone.energy, rtol=1e-6)
    np.testing.assert_allclose(found.stress[[0, 3]], alone.stress, atol=1e-6)
    runs = relax_many([lonely, rock_salt()], "chgnet", QUICK)
    assert isinstance(runs[0], RelaxationError)
    assert not isinstance(runs[1], RelaxationError)


def test_relaxations_in_step_are_those_of_ase() -> None:
    starts = [strained(perovskite(), 1), strained(rock_salt(), 2), strained(face_centred(), 3)]
    for start, run in zip(starts, relax_many(starts, "chgnet"), strict=True):
        assert isinstance(run, list)
        alone = relax(start, calculator("chgnet"))
        assert len(run) == len(alone)
        for own, its in zip(run, alone, strict=True):
            np.testing.assert_allclose(own.crystal.lattice, its.crystal.lattice, atol=1e-4)
            np.testing.assert_allclose(own.energy, its.energy, atol=1e-4)


def test_the_same_file_after_a_kill_within_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_IN_STEP, "chgnet", 3)
    salts = [rock_salt(11 + 8 * (n % 2), 17 + 18 * (n // 2)) for n in range(4)]
    parents = [one.replace(identifier=f"salt-{row}") for row, one in enumerate(salts)]
    options = TrajectoryOptions(
        potential="chgnet", starts=("strain",), per_parent=2, num_frames=3, settings=QUICK
    )
    make_trajectories(parents, tmp_path / "whole", options)
    real, calls = tasks_module.relax_many, []

    def dies(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tasks_module, "relax_many", dies)
    with pytest.raises(KeyboardInterrupt):
        make_trajectories(parents, tmp_path / "cut", options)
    [shard] = (tmp_path / "cut" / "shards").glob("*.jsonl")
    content = shard.read_bytes()
    shard.write_bytes(content[:-40])  # the last line of the second block was being written
    make_trajectories(parents, tmp_path / "cut", options)
    assert [len(arguments[0]) for arguments in calls] == [3, 3, 2, 3, 2]
    make_trajectories(parents[::-1], tmp_path / "workers", options, num_workers=2)
    whole = (tmp_path / "whole" / "trajectories.parquet").read_bytes()
    for name in ("cut", "workers"):
        assert (tmp_path / name / "trajectories.parquet").read_bytes() == whole
