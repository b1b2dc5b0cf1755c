"""Many structures relaxed into one folder: in several processes, and again after a kill."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from crystal_data.artifacts import Artifact
from crystal_data.crystal import Crystal
from crystal_data.errors import CrystalError, InvalidArgumentError
from crystal_data.io import (
    LineFile,
    checked_line,
    csv_text,
    read_checked_lines,
    write_crystals,
    write_text,
)
from crystal_data.metrics import hash_crystals
from crystal_data.processes import map_in_order
from crystal_data.processes.progress import progress
from crystal_data.trajectories import (
    Frame,
    RelaxationError,
    RelaxationSettings,
    potential,
    relax_many,
)
from crystal_relax.inference import Relaxed, Relaxer
from crystal_relax.shipped import SHIPPED

TABLE, ABOUT = "relaxed.csv", "relaxed.json"
COLUMNS = (
    "id", "volume_ratio", "mean_displacement", "steps", "converged", "energy_before",
    "energy_after", "spread", "volume_spread", "note",
)  # fmt: skip
_SHARDS = "shards"


class RelaxedFolderError(CrystalError, ValueError):
    """A folder that does not fit what is to be written into it."""


@dataclass(frozen=True)
class RelaxOptions:
    """How structures are relaxed.

    Args:
        model: Name of one that comes with the package, folder of a run or of an artifact, or a hub
            id.
        refine: A potential that relaxes what is predicted: ``emt``, ``chgnet``, ``sevenn``; None
            for none.
        batch_size: Structures at once.
        num_samples: Of a model that writes text; with more than one the table says how far they lie
            apart.
        settings: When a relaxation by the potential ends.
    """

    model: str
    refine: str | None = None
    batch_size: int = 32
    num_samples: int = 1
    settings: RelaxationSettings = field(default_factory=RelaxationSettings)


@dataclass(frozen=True)
class RelaxedFolder:
    """What a folder holds.

    Args:
        folder: With the files of :func:`relax_all`.
        num_relaxed: Structures.
        num_flagged: Of these, how many have a note.
    """

    folder: Path
    num_relaxed: int
    num_flagged: int


@dataclass(frozen=True, eq=False)
class _Block:
    number: int
    starts: Sequence[Crystal]
    options: RelaxOptions


def relax_all(
    starts: Sequence[Crystal],
    folder: str | Path,
    options: RelaxOptions,
    *,
    num_workers: int = 0,
) -> RelaxedFolder:
    """Predict relaxed structures and write them as ordinary files.

    The folder then holds what ``write_crystals`` writes (``cif/``, ``structures.extxyz``,
    ``structures.jsonl.gz``, ``summary.csv``) and ``relaxed.csv``: by how much each was changed,
    what the potential did to it, and what lies outside the training. The same call goes on after a
    kill; blocks do not depend on the number of processes.

    Args:
        starts: With distinct identifiers.
        folder: Made if it is not there.
        options: How they are relaxed.
        num_workers: Processes beside this one; 0 does all work in this one.

    Raises:
        RelaxedFolderError: If the folder has other structures, or such by another model.
        InvalidArgumentError: If there are no structures.
        ArtifactError: If there is no such model.
        SourceError: If the potential is not installed.
    """
    if not starts:
        raise InvalidArgumentError("there are no structures to relax")
    folder = Path(folder)
    about = _about(starts, options)
    known = folder / ABOUT
    if known.is_file() and json.loads(known.read_text(encoding="utf-8")) != about:
        raise RelaxedFolderError(
            f"{folder} has other structures, or such of another model or other options",
            "choose another folder, or delete this one",
        )
    if not known.is_file() and folder.is_dir() and any(folder.iterdir()):
        raise RelaxedFolderError(f"{folder} is not empty", "choose another folder")
    # A model that cannot do what is asked says so before anything is written.
    _relaxer(options.model, options.batch_size, options.num_samples)
    write_text(known, json.dumps(about, indent=2) + "\n")
    if not (folder / TABLE).is_file():
        size = options.batch_size
        blocks = [
            _Block(number, starts[first : first + size], options)
            for number, first in enumerate(range(0, len(starts), size))
        ]
        rows = _relax_blocks(blocks, folder / _SHARDS, num_workers)
        _write(starts, rows, folder)
        shutil.rmtree(folder / _SHARDS)
    table = (folder / TABLE).read_text(encoding="utf-8").splitlines()[1:]
    return RelaxedFolder(folder, len(starts), sum(not line.endswith(",") for line in table))


def _about(starts: Sequence[Crystal], options: RelaxOptions) -> dict[str, Any]:
    weights = hashlib.sha256()
    for name, values in sorted(
        Artifact.load(SHIPPED.find(options.model), kind="model").weights.items()
    ):
        weights.update(name.encode() + values.cpu().numpy().tobytes())
    refined = {} if options.refine is None else potential(options.refine).provenance()
    settings = options.settings
    return {
        "format_version": 1,
        "structures": hash_crystals(starts),
        "weights": weights.hexdigest(),
        "batch_size": options.batch_size,
        "num_samples": options.num_samples,
        "refine": refined | {"max_force": settings.max_force, "max_steps": settings.max_steps}
        if refined
        else None,
    }


def _relax_blocks(
    blocks: Sequence[_Block], shards: Path, num_workers: int
) -> list[Mapping[str, Any]]:
    done = {line["block"]: line["rows"] for line in _lines(shards)}
    lines = LineFile(shards)
    try:
        with progress("relaxed", sum(len(block.starts) for block in blocks)) as advance:
            todo = (block for block in blocks if block.number not in done)
            for block, rows in map_in_order(
                _rows_of, todo, lambda block: block, num_workers=num_workers, patience=0.0
            ):
                lines.append([checked_line({"block": block.number, "rows": rows})])
                done[block.number] = rows
                advance(len(block.starts))
    finally:
        lines.close()
    return [row for block in blocks for row in done[block.number]]


def _lines(shards: Path) -> Iterator[dict[str, Any]]:
    yield from read_checked_lines(sorted(shards.glob("*.jsonl")))


@lru_cache(maxsize=1)
def _relaxer(model: str, batch_size: int, num_samples: int) -> Relaxer:
    return Relaxer.from_pretrained(model, batch_size=batch_size, num_samples=num_samples)


def _rows_of(block: _Block) -> list[dict[str, Any]]:
    """One block as plain values; runs in worker processes."""
    options = block.options
    relaxer = _relaxer(options.model, options.batch_size, options.num_samples)
    found = relaxer.predict(block.starts)
    refined = _refined([one.crystal for one in found], options)
    return [_row(*values) for values in zip(block.starts, found, refined, strict=True)]


def _row(start: Crystal, one: Relaxed, refined: Mapping[str, Any]) -> dict[str, Any]:
    crystal = refined.get("crystal", one.crystal)
    notes = [note for note in (one.note, refined.get("note", "")) if note]
    spreads = {"spread": one.spread, "volume_spread": one.volume_spread}
    return {
        **{name: value for name, value in refined.items() if name != "crystal"},
        "lattice": crystal.lattice.tolist(),
        "frac_coords": crystal.frac_coords.tolist(),
        "volume_ratio": crystal.volume / start.volume,
        "mean_displacement": float(np.linalg.norm(one.change.displacement, axis=1).mean()),
        "note": "; ".join(notes),
        **{name: value for name, value in spreads.items() if np.isfinite(value)},
    }


def _refined(crystals: Sequence[Crystal], options: RelaxOptions) -> list[dict[str, Any]]:
    """What a potential makes of predictions; where it fails one stays, with a note."""
    if options.refine is None:
        return [{} for _ in crystals]
    kind = potential(options.refine)
    unknown = [kind.unsupported(crystal.species) for crystal in crystals]
    known = [crystal for crystal, symbols in zip(crystals, unknown, strict=True) if not symbols]
    runs = iter(relax_many(known, kind.name, options.settings))
    return [
        {"note": f"not refined: {kind.name} does not know {' '.join(symbols)}"}
        if symbols
        else _outcome(next(runs))
        for symbols in unknown
    ]


def _outcome(run: Sequence[Frame] | RelaxationError) -> dict[str, Any]:
    if isinstance(run, RelaxationError):
        return {"converged": "false", "note": f"not refined: {run}"}
    return {
        "crystal": run[-1].crystal,
        "steps": run[-1].step,
        "converged": "true",
        "energy_before": run[0].energy,
        "energy_after": run[-1].energy,
    }


def _write(starts: Sequence[Crystal], rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    crystals = [
        Crystal(row["lattice"], row["frac_coords"], start.atomic_numbers, start.identifier)
        for start, row in zip(starts, rows, strict=True)
    ]
    write_crystals(crystals, folder)
    cells = (
        [start.identifier, *(row.get(name, "") for name in COLUMNS[1:])]
        for start, row in zip(starts, rows, strict=True)
    )
    # The last, so that where it is, all else is.
    write_text(folder / TABLE, csv_text(COLUMNS, cells))
