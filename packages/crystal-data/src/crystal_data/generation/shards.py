"""Rows of finished samples, appended by any number of processes and read after any kill."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO, Self
from zlib import crc32

from crystal_data.crystal import Crystal
from crystal_data.generation.task import GeneratedSample, Task
from crystal_data.symmetry.space_group import SymmetryError, find_symmetry

_NAME = "{pid}-{token}.jsonl"


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One finished sample as it is kept.

    Args:
        request: Id of the request.
        sample: Number of the sample.
        request_key: ``GenerationRequest.key``.
        generator_key: Hash of the generator's provenance.
        space_group_number: As found; None if there is no crystal, or no symmetry was found.
        made: What came.
    """

    request: str
    sample: int
    request_key: str
    generator_key: str
    space_group_number: int | None
    made: GeneratedSample

    @classmethod
    def of(cls, task: Task, made: GeneratedSample, generator_key: str, symprec: float) -> Self:
        """The row of a sample that was just made; its symmetry is found here."""
        group = None if made.crystal is None else _group(made.crystal, symprec)
        request = task.request
        return cls(request.id, task.sample, request.key, generator_key, group, made)

    def to_line(self) -> bytes:
        """A line with its own checksum; numbers keep all their digits."""
        crystal = self.made.crystal
        values = {
            "request": self.request,
            "sample": self.sample,
            "request_key": self.request_key,
            "generator_key": self.generator_key,
            "space_group_number": self.space_group_number,
            "score": self.made.score,
            "source": self.made.source,
            "flags": list(self.made.flags),
            "crystal": None if crystal is None else _plain(crystal),
        }
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
        return b"%08x %s\n" % (crc32(text), text)

    @classmethod
    def from_line(cls, line: bytes) -> Self | None:
        """The row of a line without its line feed; None if it is not whole."""
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % crc32(text) or not text:
            return None
        values = json.loads(text)
        crystal = values["crystal"]
        made = GeneratedSample(
            None if crystal is None else Crystal(**crystal),
            values["score"],
            values["source"],
            tuple(values["flags"]),
        )
        return cls(
            values["request"],
            values["sample"],
            values["request_key"],
            values["generator_key"],
            values["space_group_number"],
            made,
        )


class Shard:
    """A file of its own to which one process appends rows.

    A process that is started again begins another file, so that nothing is ever written behind a
    line that a kill has cut.

    Args:
        folder: Of all shards; made when the first row is written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME.format(pid=os.getpid(), token=token_hex(4))
        self._file: BinaryIO | None = None

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows at once; they are in the file when this returns."""
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
        self._file.write(b"".join(row.to_line() for row in rows))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_rows(files: Iterable[Path]) -> Iterator[Row]:
    """The whole rows of some files; what a kill has cut is passed over, and made again."""
    for path in files:
        for line in path.read_bytes().split(b"\n"):
            row = Row.from_line(line)
            if row is not None:
                yield row


def _plain(crystal: Crystal) -> dict[str, Any]:
    return {
        "lattice": crystal.lattice.tolist(),
        "frac_coords": crystal.frac_coords.tolist(),
        "atomic_numbers": crystal.atomic_numbers.tolist(),
        "properties": dict(crystal.properties),
    }


def _group(crystal: Crystal, symprec: float) -> int | None:
    try:
        return find_symmetry(crystal, symprec).space_group_number
    except SymmetryError:
        return None
