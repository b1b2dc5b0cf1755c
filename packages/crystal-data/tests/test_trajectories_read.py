"""Trajectories of files: LeMat-Traj's real columns and its traps, extended XYZ, ASE's own."""

import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.io.trajectory import Trajectory as AseTrajectory
from ase.optimize import FIRE

from crystal_data import Crystal, Trajectory, open_store
from crystal_data.errors import (
    InvalidArgumentError,
    MissingFileError,
    Reason,
    Rejection,
    SourceError,
)
from crystal_data.io.ase import to_ase
from crystal_data.testing import face_centred
from crystal_data.trajectories import (
    RelaxationSource,
    change_between,
    hub_trajectories,
    iter_trajectories,
)
from crystal_data.trajectories.parquet import streamed_trajectories

SYMBOLS = ["Ag", "Au", "Cu"]


def frame(length: float, shift: float = 0.0) -> Crystal:
    coords = [[0, 0, 0], [0.5, 0.5, shift], [0.5, 0.1, 0.5]]
    return Crystal(np.diag([length, 4.4, 5.0]), coords, [47, 79, 29])


def row(run: str, step: int, length: float, *, number: int = 0, force: float = 0.01) -> Any:
    """A row in the columns and types of the public files."""
    crystal = frame(length)
    return {
        "elements": SYMBOLS,
        "nsites": 3,
        "chemical_formula_anonymous": "ABC",
        "chemical_formula_reduced": "AgAuCu",
        "chemical_formula_descriptive": "Ag1 Au1 Cu1",
        "nelements": 3,
        "dimension_types": [1, 1, 1],
        "nperiodic_dimensions": 3,
        "lattice_vectors": crystal.lattice.tolist(),
        "immutable_id": "-".join(run.split("-")[:2]),
        "cartesian_site_positions": crystal.cart_coords.tolist(),
        "species": '[{"name": "Ag"}]',
        "species_at_sites": ["Ag", "Au", "Cu"],
        "last_modified": "2024-01-01",
        "elements_ratios": [1 / 3] * 3,
        "stress_tensor": np.zeros((3, 3)).tolist(),
        "energy": -10.0 - 0.1 * step,
        "energy_corrected": None,
        "forces": [[force, 0.0, 0.0], [-force, 0.0, 0.0], [0.0, 0.0, 0.0]],
        "functional": "pbe",
        "cross_compatibility": True,
        "space_group_it_number": 1,
        "relaxation_step": step,
        "relaxation_number": number,
        "id": f"{run}-{step}",
    }


def written(path: Path, rows: list[Any]) -> Path:
    table = pa.Table.from_pylist(rows)
    for name, kind in (("relaxation_step", pa.int32()), ("nelements", pa.int8())):
        column = table.column_names.index(name)
        table = table.set_column(column, name, table.column(name).cast(kind))
    pq.write_table(table, path)
    return path


def read(path: Path) -> list[Trajectory]:
    found = list(iter_trajectories(path))
    assert all(isinstance(one, Trajectory) for one in found), found
    return [one for one in found if isinstance(one, Trajectory)]


def lengths(run: Trajectory) -> list[float]:
    return [round(float(one.lengths[0]), 3) for one in run.frames]


def test_rows_of_the_public_schema(tmp_path: Path) -> None:
    rows = [row("agm003-pbe", step, 4.0 + 0.1 * step) for step in (2, 0, 1)]
    other = [row("oqmd-17-pbe", step, 3.9) for step in (0, 5)]
    # Not one run after the other.
    mixed = [rows[0], other[0], rows[1], rows[2], other[1]]
    first, second = read(written(tmp_path / "a.parquet", mixed))
    assert first.identifier == "agm003-pbe"
    assert lengths(first) == [4.0, 4.1, 4.2]
    assert first.steps == (0, 1, 2)
    assert first.energies == pytest.approx([-10.0, -10.1, -10.2])
    assert first.residual_force == pytest.approx(0.01)
    assert first.properties == {"functional": "pbe", "cross_compatibility": 1.0}
    assert second.group == "oqmd-17"
    assert second.steps == (0, 5)


def test_two_calculations_of_the_materials_project_are_newest_first(tmp_path: Path) -> None:
    """Number 0 is the last calculation, and its frames are counted first."""
    second = [row("mp-1-0-pbe", step, x) for step, x in enumerate([4.21, 4.22, 4.23])]
    first = [row("mp-1-0-pbe", 3 + i, x, number=1) for i, x in enumerate([4.0, 4.1, 4.2])]
    [run] = read(written(tmp_path / "mp.parquet", [*second, *first]))
    assert lengths(run) == [4.0, 4.1, 4.2, 4.21, 4.22, 4.23]
    assert "remark" not in run.properties


@pytest.mark.parametrize("name", ["mp-1-0-pbe", "agm1-pbe"])
def test_the_frames_decide_where_the_rule_is_wrong(tmp_path: Path, name: str) -> None:
    earlier = [row(name, i, x, number=int("mp" not in name)) for i, x in enumerate([4.0, 4.2])]
    later = [row(name, 2 + i, x, number=int("mp" in name)) for i, x in enumerate([4.21, 4.23])]
    [run] = read(written(tmp_path / "wrong.parquet", [*earlier, *later]))
    assert lengths(run) == [4.0, 4.2, 4.21, 4.23]
    assert "not the data set's" in str(run.properties["remark"])


def test_a_run_without_its_end_is_found_by_its_forces(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = [row("agm1-pbe", step, 4.0, force=force) for step, force in enumerate([0.9, 0.04])]
    cut = [row("agm2-pbe", step, 4.1, force=force) for step, force in enumerate([0.9, 0.4])]
    alone = [row("agm3-pbe", 0, 4.2)]
    path = written(tmp_path / "cut.parquet", [*good, *cut, *alone])
    with caplog.at_level(logging.WARNING):
        kept = list(RelaxationSource(path).records())
    assert [one.identifier for one in kept] == ["agm1-pbe", "agm2-pbe", "agm3-pbe"]
    assert isinstance(kept[2], Rejection)
    assert kept[2].reason is Reason.NOT_RELAXED
    assert "1 of 2 runs end with a force above 0.1" in caplog.text
    strict = list(RelaxationSource(path, max_residual_force=0.05).records())
    assert [isinstance(one, Rejection) for one in strict] == [False, True, True]
    assert "0.400 eV/Å" in strict[1].detail


def test_frames_with_other_atoms_are_rejected(tmp_path: Path) -> None:
    rows = [row("agm1-pbe", step, 4.0) for step in range(2)]
    rows[1]["species_at_sites"] = ["Au", "Ag", "Cu"]
    [found] = iter_trajectories(written(tmp_path / "swapped.parquet", rows))
    assert isinstance(found, Rejection)
    assert "step 1 has other atoms" in found.detail


def test_streamed_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row("agm1-pbe", 0, 4.0), row("agm1-pbe", 1, 4.1), row("agm2-pbe", 0, 4.0)]
    late = row("agm1-pbe", 2, 4.2)
    found = list(streamed_trajectories([*rows, late], "stream"))
    assert [one.identifier for one in found] == ["agm1-pbe", "agm2-pbe", "agm1-pbe-2"]
    assert isinstance(found[2], Rejection)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SourceError, match="pip install datasets, or fetch its Parquet files"):
        next(hub_trajectories())

    def load_dataset(repo_id: str, config: str, **options: Any) -> list[Any]:
        assert (repo_id, config) == ("LeMaterial/LeMat-Traj", "compatible_scan")
        assert options == {"split": "train", "streaming": True}
        return rows

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    assert len(list(hub_trajectories("compatible_scan"))) == 2


def relaxed(path: Path) -> None:
    atoms = to_ase(face_centred())
    atoms.numbers[:] = 29
    atoms = atoms * (2, 1, 1)
    atoms.set_cell(atoms.cell * 1.02, scale_atoms=True)
    atoms.positions[0] += 0.1
    atoms.info.clear()
    atoms.calc = EMT()
    with AseTrajectory(path, "w", atoms) as kept:
        FIRE(atoms, trajectory=kept, logfile=None).run(fmax=0.05, steps=40)


def test_ase_trajectory_and_extended_xyz_agree(tmp_path: Path) -> None:
    relaxed(tmp_path / "copper.traj")
    [run] = read(tmp_path / "copper.traj")
    assert run.identifier == "copper"
    assert len(run.frames) > 5
    assert run.energies[0] > run.energies[-1]
    assert run.residual_force < 0.05
    images = []
    for crystal, energy, forces in zip(run.frames, run.energies, run.forces, strict=True):
        atoms = to_ase(crystal)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        images.append(atoms)
    write(tmp_path / "copper.extxyz", images)
    [same] = [one for one in read(tmp_path) if one.file.endswith("extxyz")]
    assert same.energies == pytest.approx(run.energies, abs=1e-6)
    assert same.residual_force == pytest.approx(run.residual_force, abs=1e-6)
    change = change_between(run.frames[-1], same.frames[-1])
    assert np.abs(change.displacement).max() < 1e-6


def test_frames_of_several_runs_in_one_file(tmp_path: Path) -> None:
    images = []
    for name, length in [("one", 4.0), ("two", 5.0), ("one", 4.1)]:
        atoms = to_ase(frame(length))
        atoms.info.update(trajectory=name, parent="mp-7", origin="strain")
        images.append(atoms)
    write(tmp_path / "runs.xyz", images, format="extxyz")
    first, second = read(tmp_path / "runs.xyz")
    assert (first.identifier, lengths(first)) == ("one", [4.0, 4.1])
    assert first.parent == first.group == "mp-7"
    assert first.properties["origin"] == "strain"
    assert np.isnan(first.residual_force)
    assert len(second.frames) == 1


def test_what_is_no_trajectory(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text("data_", encoding="utf-8")
    (tmp_path / "broken.traj").write_bytes(b"nothing")
    pq.write_table(pa.table({"id": ["a"], "cif": ["data_"]}), tmp_path / "table.parquet")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    for name, error, message in [
        ("a.cif", SourceError, "expected one with .parquet"),
        ("none", MissingFileError, "no file or folder"),
        ("broken.traj", SourceError, "no trajectory of ASE"),
        ("table.parquet", SourceError, "no columns relaxation_step"),
        ("cut.parquet", SourceError, "cannot be read as Parquet"),
    ]:
        with pytest.raises(error, match=message):
            list(iter_trajectories(tmp_path / name))


def test_every_frame_as_a_start_in_training_alone(tmp_path: Path) -> None:
    train = [row("agm1-pbe", step, 4.0 + step / 10) for step in range(4)]
    test = [row("agm2-pbe", step, 4.0 + step / 10) for step in range(4)]
    paths = {
        "train": written(tmp_path / "train.parquet", train),
        "test": written(tmp_path / "test.parquet", test),
    }
    with pytest.raises(InvalidArgumentError, match="give train="):
        list(RelaxationSource(written(tmp_path / "all.parquet", train), starts="any").records())
    (tmp_path / "all.parquet").unlink()
    by_name = RelaxationSource(tmp_path, starts="any")
    assert [one.split for one in by_name.records()] == ["test", *["train"] * 3]
    store = open_store(RelaxationSource(**paths, starts="any"), cache=tmp_path, on_invalid="error")
    assert list(store.strings("identifier")) == [
        "agm1-pbe",
        "agm1-pbe/1",
        "agm1-pbe/2",
        "agm2-pbe",
    ]
    assert store.field("relaxation_strain").turns_as == "symmetric_tensor"
    assert store.field("relaxation_displacement").per == "atom"
    strain = store.crystal(1).properties["relaxation_strain"].reshape(3, 3)
    assert strain == pytest.approx(np.diag([np.log(4.3 / 4.1), 0, 0]), abs=1e-12)
    assert store.crystal(1).properties["relaxation_energy"] == pytest.approx(0.2 / 3)


@pytest.mark.data
@pytest.mark.skipif("CRYSTAL_DATA_HOME" not in os.environ, reason="needs the public data sets")
def test_doing_nothing_on_the_chgnet_relaxations() -> None:
    """The figures that were published with the data set, as far as they were rounded."""
    folder = Path(os.environ["CRYSTAL_DATA_HOME"], "relax_chgnet")
    parts = [np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3))]
    for run in iter_trajectories(folder / "test.parquet"):
        assert isinstance(run, Trajectory)
        start, end = run.frames[0], run.frames[-1]
        moved = change_between(start, end).displacement
        new = (start.lengths - end.lengths, start.angles - end.angles, moved)
        parts = [np.vstack([old, one]) for old, one in zip(parts, new, strict=True)]
    cell, angles, moved = parts
    assert np.abs(cell).mean(0) == pytest.approx([0.186, 0.208, 0.241], abs=5e-4)
    assert np.abs(angles).mean(0) == pytest.approx([0.78, 0.78, 1.15], abs=5e-3)
    assert np.linalg.norm(moved, axis=1).mean() == pytest.approx(0.082, abs=1e-3)
    assert np.sqrt((moved**2).sum(1).mean()) == pytest.approx(0.146, abs=5e-4)
