"""Trajectories of files and folders: Parquet as of LeMat-Traj, extended XYZ, ASE's own."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_data.crystal import Crystal, Trajectory
from crystal_data.errors import (
    InvalidCrystalError,
    MissingFileError,
    Reason,
    Rejection,
    SourceError,
)
from crystal_data.io.ase import from_ase
from crystal_data.io.extxyz import iter_frames
from crystal_data.io.files import read_text
from crystal_data.io.options import UNCHECKED
from crystal_data.io.parse import rejection_of
from crystal_data.io.record import SPLIT_NAMES
from crystal_data.trajectories.parquet import parquet_trajectories, streamed_trajectories
from crystal_data.trajectories.schema import trajectory_of_frames

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

SUFFIXES = (".parquet", ".extxyz", ".extxyz.gz", ".xyz", ".xyz.gz", ".traj")
LEMAT_TRAJ = "LeMaterial/LeMat-Traj"
_NAME_KEYS = ("trajectory", "identifier", "material_id", "id")


def iter_trajectories(path: str | Path, split: str = "") -> Iterator[Trajectory | Rejection]:
    """Trajectories of a file, or of the files of a folder by name.

    Frames of extended XYZ that have one ``trajectory``, ``identifier``, ``material_id`` or ``id``
    belong together; where frames have none, the file is one trajectory. A file ``.traj`` is one.
    Files called ``train``, ``val`` and ``test`` are these splits.

    Args:
        path: A file or a folder.
        split: Of all of it; by default what the files are called, or say.

    Raises:
        MissingFileError: If there is no such file, or nothing to read in the folder.
        SourceError: If a file is none of these, or damaged.
    """
    for file in trajectory_files(path):
        yield from _of_file(file, split or _split_named(file))


def trajectory_files(path: str | Path) -> list[Path]:
    """The files that :func:`iter_trajectories` reads.

    Raises:
        MissingFileError: If there is no such file, or nothing to read in the folder.
        SourceError: If it is a file of another kind.
    """
    place = Path(path).expanduser()
    expected = ", ".join(SUFFIXES)
    if place.is_dir():
        files = sorted(file for file in place.iterdir() if _is_trajectory(file))
        if not files:
            raise MissingFileError(f"{place} has no trajectories; expected files with {expected}")
        return files
    if not place.is_file():
        raise MissingFileError(f"there is no file or folder {place}")
    if not _is_trajectory(place):
        raise SourceError(f"{place} is no file of trajectories; expected one with {expected}")
    return [place]


def hub_trajectories(
    config: str = "compatible_pbe", repo_id: str = LEMAT_TRAJ
) -> Iterator[Trajectory | Rejection]:
    """Trajectories streamed from the hub, frame by frame, without fetching whole files.

    Args:
        config: Which part of LeMat-Traj: ``compatible_pbe``, ``compatible_pbesol``,
            ``compatible_scan`` or ``compatible_r2scan``.
        repo_id: The data set's name on the hub.

    Raises:
        SourceError: If ``datasets`` is not installed, or the hub cannot be reached.
    """
    local = "or fetch its Parquet files by other means and give their folder"
    try:
        # Not among the needs of this package: nothing else asks for it.
        from datasets import load_dataset
    except ImportError as error:
        raise SourceError(
            f"{repo_id} is streamed by the library datasets, which is not installed",
            f"pip install datasets, {local}",
        ) from error
    try:
        rows = load_dataset(repo_id, config, split="train", streaming=True)
        yield from streamed_trajectories(rows, f"{repo_id}/{config}")
    except (OSError, ValueError) as error:
        raise SourceError(f"{repo_id}/{config} cannot be streamed: {error}", local) from error


def _split_named(path: Path) -> str:
    stem = path.name.partition(".")[0]
    return stem if stem in SPLIT_NAMES else ""


def _is_trajectory(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(SUFFIXES)


def _of_file(path: Path, split: str) -> Iterator[Trajectory | Rejection]:
    name = path.name.lower()
    if name.endswith(".parquet"):
        yield from parquet_trajectories(path, split)
    elif name.endswith(".traj"):
        yield _of_frames(path.name[: -len(".traj")], list(_ase_frames(path)), str(path), split)
    else:
        yield from _of_extxyz(path, split)


def _ase_frames(path: Path) -> "Iterator[Atoms]":
    from ase.io.trajectory import TrajectoryReader

    try:
        with TrajectoryReader(path) as reader:
            yield from reader
    except Exception as error:  # ASE's reader raises what it happens to trip over
        raise SourceError(f"{path} is no trajectory of ASE: {error}") from error


def _of_extxyz(path: Path, split: str) -> Iterator[Trajectory | Rejection]:
    stem = path.name.lower().split(".extxyz")[0].split(".xyz")[0]
    default = path.name[: len(stem)]
    try:
        frames = list(iter_frames(read_text(path, default), default))
    except InvalidCrystalError as error:
        yield rejection_of(error, str(path), default)
        return
    groups: dict[str, list[Atoms]] = {}
    for place, frame in enumerate(frames):
        if isinstance(frame, InvalidCrystalError):
            # A frame less may be the first or the last one.
            yield Rejection(default, str(path), "read", frame.reason, f"frame {place}: {frame}")
            return
        own = next((str(frame.info[key]) for key in _NAME_KEYS if frame.info.get(key)), default)
        groups.setdefault(own, []).append(frame)
    for name, members in groups.items():
        yield _of_frames(name, members, str(path), split)


def _of_frames(name: str, frames: "list[Atoms]", file: str, split: str) -> Trajectory | Rejection:
    if not frames:
        return Rejection(name, file, "read", Reason.EMPTY, "there are no frames")
    try:
        return trajectory_of_frames(map(_crystal, frames), name, file, split)
    except InvalidCrystalError as error:
        return Rejection(name, file, "read", error.reason, error.detail)


def _crystal(atoms: "Atoms") -> Crystal:
    return from_ase(atoms, options=UNCHECKED)
