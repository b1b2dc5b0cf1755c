"""Relaxations by a potential: starts, convergence, many in one folder, kills, failures."""

import csv
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from crystal_data import Crystal, Trajectory
from crystal_data.__main__ import main
from crystal_data.errors import InvalidArgumentError, SourceError
from crystal_data.io.cif import to_cif
from crystal_data.testing import perovskite, random_crystals, rock_salt
from crystal_data.trajectories import RelaxationSource, change_between, iter_trajectories
from crystal_data.trajectories import tasks as tasks_module
from crystal_data.trajectories.make import TrajectoryFolderError, make_trajectories
from crystal_data.trajectories.potentials import _IN_STEP, POTENTIALS, potential
from crystal_data.trajectories.relaxing import RelaxationError, RelaxationSettings, relax
from crystal_data.trajectories.starts import make_start, random_of, start_kinds
from crystal_data.trajectories.tasks import TrajectoryOptions

QUICK = RelaxationSettings(max_force=0.5)  # eV/Å
EMT_ELEMENTS = sorted(POTENTIALS["emt"].elements or ())


def parents() -> list[Crystal]:
    salts = [rock_salt().replace(identifier="salt"), perovskite().replace(identifier="perovskite")]
    return [*salts, copper().replace(identifier="copper")]


def copper() -> Crystal:
    return Crystal(
        3.6 * np.eye(3), [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], [29] * 4
    )


def test_a_relaxation_ends_with_small_forces_and_stress() -> None:
    start = make_start(copper(), "strain", np.random.default_rng(0))
    assert start is not None
    frames = relax(start, EMT(), RelaxationSettings(max_force=0.02))
    assert [one.step for one in frames] == list(range(len(frames)))
    np.testing.assert_allclose(frames[0].crystal.lattice, start.lattice, atol=1e-12)
    np.testing.assert_allclose(frames[0].crystal.cart_coords, start.cart_coords, atol=1e-10)
    assert frames[-1].energy < frames[0].energy
    assert np.linalg.norm(frames[-1].forces, axis=1).max() <= 0.02
    # The force on the cell is volume times stress, shared by the atoms.
    assert np.abs(frames[-1].stress).max() * frames[-1].crystal.volume < 0.1
    # Copper has one minimum nearby: the lattice constant of the potential.
    ideal = relax(copper(), EMT(), RelaxationSettings(max_force=1e-4))[-1].crystal
    np.testing.assert_allclose(frames[-1].crystal.volume, ideal.volume, rtol=5e-3)


def test_relaxations_without_end() -> None:
    start = make_start(copper(), "strain", np.random.default_rng(0))
    assert start is not None
    with pytest.raises(RelaxationError, match="not converged after 2 steps"):
        relax(start, EMT(), RelaxationSettings(max_steps=2))
    with pytest.raises(RelaxationError, match="failed after 0 steps: NotImplementedError"):
        relax(rock_salt(), EMT())
    with pytest.raises(RelaxationError, match="cell falls apart"):
        relax(copper().replace(lattice=5.6 * np.eye(3)), EMT(), RelaxationSettings(1e-3, 2000))
    with pytest.raises(InvalidArgumentError, match="max_force is 0"):
        RelaxationSettings(max_force=0)


def test_starts_keep_what_they_say() -> None:
    parent = perovskite()
    rng = random_of(1, "start")
    assert make_start(parent, "as-is", rng) is parent
    scaled = make_start(parent, "scale", rng)
    strained = make_start(parent, "strain", rng)
    assert scaled is not None
    assert strained is not None
    change = change_between(parent, scaled)
    assert np.abs(change.displacement).max() < 1e-9
    np.testing.assert_allclose(change.strain, np.eye(3) * change.strain[0, 0], atol=1e-9)
    change = change_between(parent, strained)
    assert 0 < np.abs(change.strain).max() < 0.15
    assert 0 < np.abs(change.displacement).max() < 0.3
    assert make_start(parent, "strain", rng, EMT_ELEMENTS) is None


@pytest.mark.parametrize("seed", range(20))
def test_substitution_puts_neighbors_of_the_group_there(seed: int) -> None:
    parent = rock_salt()
    new = make_start(parent, "substitution", np.random.default_rng(seed))
    assert new is not None
    cation, anion = sorted(new.composition, key=["Li", "Na", "K", "F", "Cl", "Br"].index)
    assert (cation, anion) != ("Na", "Cl")
    assert {cation, anion} <= {"Li", "Na", "K", "F", "Cl", "Br"}
    size = make_start(parent, "substitution", np.random.default_rng(seed))
    assert size is not None
    np.testing.assert_array_equal(size.lattice, new.lattice)
    metal = make_start(parent, "substitution", np.random.default_rng(seed), EMT_ELEMENTS)
    assert metal is not None
    assert set(metal.composition) <= set(EMT_ELEMENTS)
    assert len(metal.composition) == 2


@pytest.mark.parametrize("element", ["Cu", "Fe", "Mg"])
def test_an_alloy_has_about_the_volume_of_its_metals(element: str) -> None:
    parent = rock_salt()
    known = bulk(element)
    per_atom = known.get_volume() / len(known)
    logarithms = []
    for seed in range(50):
        made = make_start(parent, "substitution", np.random.default_rng(seed), [element, "Al"])
        assert made is not None
        volume = made.volume / made.num_atoms
        logarithms.append(np.log(volume / ((per_atom + 4.05**3 / 4) / 2)))
    assert abs(np.mean(logarithms)) < 0.04
    assert 0.06 < np.std(logarithms) < 0.12  # of three times 0.03


def test_substitution_in_every_crystal() -> None:
    for crystal in random_crystals(60, seed=4, max_atoms=8):
        new = make_start(crystal, "substitution", np.random.default_rng(0))
        if new is not None:
            assert sorted(new.composition.values()) == sorted(crystal.composition.values())
            assert new.composition.keys() != crystal.composition.keys()


def read(folder: Path) -> list[Trajectory]:
    return [one for one in iter_trajectories(folder) if isinstance(one, Trajectory)]


def test_a_folder_of_trajectories(tmp_path: Path) -> None:
    options = TrajectoryOptions(per_parent=3, num_frames=4, settings=QUICK)
    made = make_trajectories(parents(), tmp_path / "out", options)
    runs = read(tmp_path / "out")
    assert made.num_made == len(runs) >= 3
    assert {run.parent for run in runs} >= {"copper"}
    for run in runs:
        assert 2 <= len(run.frames) <= 4
        assert run.steps[0] == 0
        assert run.residual_force <= QUICK.max_force
        assert set(run.frames[0].species) <= set(EMT_ELEMENTS)
        assert run.properties["functional"] == "emt"
        assert run.properties["origin"] in ("strain", "substitution")
    with (tmp_path / "out" / "rejected.csv").open(encoding="utf-8", newline="") as file:
        rejected = list(csv.DictReader(file))
    assert len(rejected) + len(runs) == 9
    assert {row["stage"] for row in rejected} == {"relax"}
    about = json.loads((tmp_path / "out" / "trajectories.json").read_text(encoding="utf-8"))
    assert about["made"] == made.num_made
    assert about["potential"] == "emt"
    assert not (tmp_path / "out" / "shards").exists()
    source = RelaxationSource(tmp_path / "out")
    assert len(list(source.records())) == len(runs)


def test_the_same_files_after_a_kill_and_in_other_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrajectoryOptions(
        starts=("substitution",), per_parent=3, num_frames=3, settings=QUICK
    )
    make_trajectories(parents(), tmp_path / "whole", options)
    monkeypatch.setitem(_IN_STEP, "emt", 1)
    real, calls = tasks_module.relax_many, []

    def dies(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tasks_module, "relax_many", dies)
    with pytest.raises(KeyboardInterrupt):
        make_trajectories(parents(), tmp_path / "cut", options)
    assert not (tmp_path / "cut" / "trajectories.parquet").exists()
    assert not (tmp_path / "cut" / "trajectories.json").exists()
    [shard] = (tmp_path / "cut" / "shards").glob("*.jsonl")
    content = shard.read_bytes()
    shard.write_bytes(content[:-40])  # the last line was being written
    calls.clear()
    monkeypatch.setattr(tasks_module, "relax_many", lambda *a: (calls.append(a), real(*a))[1])
    make_trajectories(parents(), tmp_path / "cut", options)
    assert len(calls) == 7  # two of nine were whole
    make_trajectories(parents()[::-1], tmp_path / "workers", options, num_workers=2)
    whole = (tmp_path / "whole" / "trajectories.parquet").read_bytes()
    for name in ("cut", "workers"):
        assert (tmp_path / name / "trajectories.parquet").read_bytes() == whole
    calls.clear()
    make_trajectories(parents(), tmp_path / "whole", options)
    assert not calls
    with pytest.raises(TrajectoryFolderError, match="made with other options"):
        make_trajectories(parents(), tmp_path / "whole", TrajectoryOptions())


def test_a_block_that_a_kill_cut_is_made_again_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes in step may depend on the others in its last bits, so blocks stay what they are."""
    monkeypatch.setitem(_IN_STEP, "emt", 3)
    options = TrajectoryOptions(
        starts=("substitution",), per_parent=3, num_frames=3, settings=QUICK
    )
    make_trajectories(parents(), tmp_path / "whole", options)
    real, blocks = tasks_module.relax_many, []

    def dies_once(crystals: Sequence[Crystal], *others: Any) -> Any:
        blocks.append([one.frac_coords.tobytes() for one in crystals])
        if len(blocks) == 3:
            raise KeyboardInterrupt
        return real(crystals, *others)

    monkeypatch.setattr(tasks_module, "relax_many", dies_once)
    with pytest.raises(KeyboardInterrupt):
        make_trajectories(parents(), tmp_path / "cut", options)
    [shard] = (tmp_path / "cut" / "shards").glob("*.jsonl")
    shard.write_bytes(shard.read_bytes()[:-40])  # the last line of the second block
    make_trajectories(parents(), tmp_path / "cut", options)
    first, second, third, *again = blocks
    assert [len(block) for block in (first, second, third)] == [3, 3, 3]
    assert again == [second, third]
    cut, whole = (tmp_path / name / "trajectories.parquet" for name in ("cut", "whole"))
    assert cut.read_bytes() == whole.read_bytes()


def test_a_limit_counts_those_that_converged(tmp_path: Path) -> None:
    options = TrajectoryOptions(
        starts=("strain", "substitution"), per_parent=2, num_frames=2, settings=QUICK
    )
    made = make_trajectories(parents(), tmp_path, options, limit=2)
    assert made.num_made == len(read(tmp_path)) == 2
    table = pq.read_table(tmp_path / "trajectories.parquet")
    assert table.num_rows == 4


def test_no_set_of_elements_is_in_two_files_or_in_what_is_kept_apart(tmp_path: Path) -> None:
    salts = [rock_salt().replace(identifier=f"c{number}") for number in range(12)]
    kinds = {"starts": ("substitution",), "num_frames": 2, "settings": QUICK}
    options = TrajectoryOptions(**kinds, val=0.2, test=0.3)
    make_trajectories(salts, tmp_path, options)
    systems: dict[str, set[str]] = {}
    for run in read(tmp_path):
        systems.setdefault(run.split, set()).add(run.frames[0].chemical_system)
    assert set(systems) == {"train", "val", "test"}
    assert sum(map(len, systems.values())) == len(set.union(*systems.values()))
    kept = systems["test"]
    apart = TrajectoryOptions(**kinds, apart=frozenset(kept))
    made = make_trajectories(salts, tmp_path / "apart", apart)
    assert made.failed == {"excluded": 12 - made.num_made}
    assert not kept & {run.frames[0].chemical_system for run in read(tmp_path / "apart")}


def test_bad_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgumentError, match=r"val=0.6 and test=0.5 are shares"):
        TrajectoryOptions(val=0.6, test=0.5)
    with pytest.raises(InvalidArgumentError, match="no parents"):
        make_trajectories([], tmp_path)
    with pytest.raises(InvalidArgumentError, match="1 parents have the identifier"):
        make_trajectories([copper(), copper()], tmp_path)
    with pytest.raises(InvalidArgumentError, match="there are chgnet, emt, sevenn"):
        potential("dft")
    with pytest.raises(InvalidArgumentError, match="starts are noise"):
        start_kinds(["noise"])
    monkeypatch.setattr("crystal_data.trajectories.potentials.version", _not_installed)
    with pytest.raises(SourceError, match=r"pip install 'crystal-data\[chgnet\]'"):
        make_trajectories([copper()], tmp_path, TrajectoryOptions(potential="chgnet"))


def _not_installed(name: str) -> str:
    from importlib.metadata import PackageNotFoundError

    raise PackageNotFoundError(name)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for parent in parents():
        path = tmp_path / "in" / f"{parent.identifier}.cif"
        path.write_text(to_cif(parent), encoding="utf-8")
    out = str(tmp_path / "out")
    options = ["--starts", "substitution", "--frames", "3", "--max-force", "0.3", "--out", out]
    assert main(["trajectories", str(tmp_path / "in"), *options]) == 0
    made = len(read(tmp_path / "out"))
    assert 1 <= made <= 3  # a start may have no force to follow
    assert f"{made} trajectories in {out}" in capsys.readouterr().out
    assert main(["trajectories", str(tmp_path / "in"), *options, "--seed", "1"]) == 1
    assert "choose another folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["chgnet", "sevenn"])
def test_potentials_whose_weights_come_in_their_wheels(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    frames = relax(rock_salt(), POTENTIALS[name].make(), RelaxationSettings(max_force=0.1))
    volume = frames[-1].crystal.volume / frames[-1].crystal.num_atoms
    assert volume == pytest.approx(5.69**3 / 8, rel=0.03)  # of PBE
