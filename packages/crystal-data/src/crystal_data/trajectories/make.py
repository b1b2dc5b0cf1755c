"""Thousands of relaxations into one folder: in several processes, and again after a kill."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crystal_data.crystal import Crystal
from crystal_data.errors import CrystalError, InvalidArgumentError, Reason, Rejection
from crystal_data.io.checked_lines import SUFFIX, LineFile, checked_line, read_checked_lines
from crystal_data.io.files import atomic_path, write_text
from crystal_data.io.rejected import REJECTED, write_rejected
from crystal_data.metrics.result import hash_crystals
from crystal_data.processes.locking import locked
from crystal_data.processes.parallel import map_in_order
from crystal_data.processes.progress import progress
from crystal_data.splits.split import ratio_split
from crystal_data.trajectories.potentials import potential
from crystal_data.trajectories.schema import schema
from crystal_data.trajectories.starts import random_of
from crystal_data.trajectories.tasks import Task, TrajectoryOptions, lines_of

ABOUT = "trajectories.json"
_WHOLE = "trajectories"  # name of the only file, where nothing is split
_SHARDS = "shards"
_ROWS_AT_ONCE = 4096


class TrajectoryFolderError(CrystalError, ValueError):
    """A folder that does not fit what is to be written into it."""


@dataclass(frozen=True)
class MadeTrajectories:
    """What a folder holds.

    Args:
        folder: With the files of :func:`make_trajectories`.
        num_made: Relaxations that converged.
        failed: Reasons and how many starts came to no end for each.
    """

    folder: Path
    num_made: int
    failed: Mapping[str, int]


def make_trajectories(
    parents: Sequence[Crystal],
    folder: str | Path,
    options: TrajectoryOptions | None = None,
    *,
    num_workers: int = 0,
    limit: int | None = None,
) -> MadeTrajectories:
    """Relax starts made from parents, and write what happens as trajectories.

    The folder then holds

    - ``trajectories.parquet``: columns of LeMat-Traj, ``origin`` (the kind of start) and
      ``parent``, in an order drawn by the seed; with shares for validation and test
      ``train.parquet``, ``val.parquet`` and ``test.parquet``, of which no two have crystals of the
      same elements,
    - ``rejected.csv``: starts without a converged relaxation, and why,
    - ``trajectories.json``: potential, options, hash of the parents, counts.

    What is finished is on disk at once, in ``shards/``; the same call goes on after a kill. The
    files are the same whatever was interrupted, and for any number of processes.

    Args:
        parents: With distinct identifiers.
        folder: Made if it is not there.
        options: What is made of each.
        num_workers: Processes beside this one; 0 does all work in this one.
        limit: Stop when so many relaxations have converged, in their drawn order.

    Raises:
        TrajectoryFolderError: If the folder has relaxations of other parents or options.
        InvalidArgumentError: If there are no parents, or two of one identifier.
        SourceError: If the potential is not installed.
    """
    options, folder = options or TrajectoryOptions(), Path(folder)
    _check(parents, limit)
    about = {
        "format_version": 1,
        **potential(options.potential).provenance(),
        "options": asdict(options) | {"apart": sorted(options.apart)},
        "parents": {"num": len(parents), "hash": hash_crystals(_shuffled(parents, options.seed))},
        "limit": limit,
    }
    tasks = [
        Task(parent, number, options)
        for parent in _shuffled(parents, options.seed)
        if parent.num_atoms <= options.max_atoms
        for number in range(options.per_parent)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / _SHARDS):
        _check_folder(folder, about)
        if (folder / ABOUT).is_file():
            return _counted(folder)
        write_text(folder / _SHARDS / ABOUT, _json(about))
        _relax_all(tasks, folder / _SHARDS, num_workers, limit)
        _merge(tasks, folder, about, options)
        shutil.rmtree(folder / _SHARDS, ignore_errors=True)
    return _counted(folder)


def _check(parents: Sequence[Crystal], limit: int | None) -> None:
    if not parents:
        raise InvalidArgumentError("there are no parents to make trajectories of")
    if limit is not None and limit < 1:
        raise InvalidArgumentError(f"limit is {limit}; at least 1 relaxation is needed")
    twice = [name for name, n in Counter(one.identifier for one in parents).items() if n > 1]
    if twice:
        raise InvalidArgumentError(
            f"{len(twice)} parents have the identifier of another, such as {twice[0]!r}",
            "give each structure an identifier of its own",
        )


def _shuffled(parents: Sequence[Crystal], seed: int) -> list[Crystal]:
    """In an order that does not depend on how they came, so that any first ones are a sample."""
    return sorted(parents, key=lambda one: random_of(seed, "order", one.identifier).random())


def _check_folder(folder: Path, about: Mapping[str, Any]) -> None:
    for path in (folder / ABOUT, folder / _SHARDS / ABOUT):
        if path.is_file():
            known = json.loads(path.read_text(encoding="utf-8"))
            other = [name for name in about if known.get(name) != json.loads(_json(about))[name]]
            if other:
                raise TrajectoryFolderError(
                    f"{folder} has relaxations made with other {', '.join(other)}",
                    "choose another folder, or delete this one",
                )


def _relax_all(tasks: Sequence[Task], shards: Path, num_workers: int, limit: int | None) -> None:
    is_converged = {line["name"]: "rows" in line for line in _lines(shards)}
    made = map_in_order(
        lines_of,
        [block for block in _blocks(tasks) if any(one.name not in is_converged for one in block)],
        lambda block: block,
        num_workers=num_workers,
        patience=0.0,
    )
    lines = LineFile(shards)
    converged = 0
    total = len(tasks) if limit is None else min(limit, len(tasks))
    try:
        with progress("relaxed", total) as advance:
            for task in tasks:
                if task.name not in is_converged:
                    new = [line for line in next(made)[1] if line["name"] not in is_converged]
                    lines.append([checked_line(line) for line in new])
                    is_converged |= {line["name"]: "rows" in line for line in new}
                converged += is_converged[task.name]
                advance(1 if limit is None else int(is_converged[task.name]))
                if converged == limit:
                    break
    finally:
        lines.close()


def _blocks(tasks: Sequence[Task]) -> list[Sequence[Task]]:
    """Those that are worked on together.

    They begin at fixed places, and an unfinished one is made again as a whole: what a potential
    says of a crystal may depend in its last bits on the others that go in step.
    """
    size = potential(tasks[0].options.potential).num_in_step if tasks else 1
    return [tasks[first : first + size] for first in range(0, len(tasks), size)]


def _lines(shards: Path) -> Iterator[dict[str, Any]]:
    yield from read_checked_lines(sorted(shards.glob(f"*{SUFFIX}")))


def _merge(
    tasks: Sequence[Task], folder: Path, about: Mapping[str, Any], options: TrajectoryOptions
) -> None:
    """Write the files; ``trajectories.json`` is the last, so that where it is, all else is."""
    rejected: list[Rejection] = []
    systems: dict[str, str] = {}  # of each run, in order
    for values in _wanted(tasks, folder, about["limit"]):
        if "rows" in values:
            systems[values["name"]] = "-".join(values["rows"][0]["elements"])
        else:
            rejected.append(_rejection(values))
    for name, runs in _split(systems, options).items():
        _write(folder / f"{name}.parquet", _wanted(tasks, folder, about["limit"]), runs)
    write_rejected(folder / REJECTED, rejected)
    counts = Counter(one.reason.value for one in rejected)
    write_text(folder / ABOUT, _json({**about, "made": len(systems), "failed": dict(counts)}))


def _wanted(tasks: Sequence[Task], folder: Path, limit: int | None) -> Iterator[dict[str, Any]]:
    """What came of the tasks, in their order, up to the limit; read again each time."""
    places = {task.name: place for place, task in enumerate(tasks)}
    found = {line["name"]: "rows" in line for line in _lines(folder / _SHARDS)}
    chosen: list[str] = []
    converged = 0
    for task in tasks:
        if task.name in found and converged != limit:
            chosen.append(task.name)
            converged += found[task.name]
    wanted = set(chosen)
    # One at a time is not enough to bring them in order: those that are waited for are held.
    waiting: dict[int, dict[str, Any]] = {}
    order = iter(places[name] for name in chosen)
    following = next(order, None)
    for line in _lines(folder / _SHARDS):
        if line["name"] in wanted:
            waiting[places[line["name"]]] = line
        while following is not None and following in waiting:
            yield waiting.pop(following)
            following = next(order, None)


def _split(systems: Mapping[str, str], options: TrajectoryOptions) -> dict[str, list[str]]:
    """Names of the runs of each file."""
    names = list(systems)
    if options.val == options.test == 0:
        return {_WHOLE: names}
    groups = [systems[name] for name in names]
    drawn = ratio_split(names, options.val, options.test, options.seed, groups)
    return {split: [names[row] for row in rows] for split, rows in drawn.items() if len(rows)}


def _write(path: Path, lines: Iterator[dict[str, Any]], runs: Sequence[str]) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    chosen = set(runs)
    with (
        atomic_path(path) as temporary,
        ParquetWriter(temporary, schema(), compression="zstd") as writer,
    ):
        waiting: list[dict[str, Any]] = []
        for values in lines:
            if values["name"] in chosen:
                waiting += values["rows"]
            if len(waiting) > _ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(waiting, schema()))
                waiting = []
        writer.write_table(pa.Table.from_pylist(waiting, schema()))


def _rejection(values: Mapping[str, Any]) -> Rejection:
    where = f"{values['origin']} of {values['parent']}"
    return Rejection(values["name"], where, "relax", Reason(values["reason"]), values["detail"])


def _counted(folder: Path) -> MadeTrajectories:
    known = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    return MadeTrajectories(folder, known["made"], known["failed"])


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
