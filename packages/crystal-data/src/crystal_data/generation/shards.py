"""Rows of finished samples, appended by any number of processes and read after any kill."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from crystal_data.crystal import Crystal
from crystal_data.generation.task import GeneratedSample, Task
from crystal_data.io.checked_lines import checked_line, read_checked_lines
from crystal_data.symmetry.space_group import SymmetryError, find_symmetry


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
            "probability": self.made.probability,
            "why": self.made.why,
            "crystal": None if crystal is None else _plain(crystal),
        }
        return checked_line(values)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """The row that ``to_line`` wrote."""
        crystal = values["crystal"]
        made = GeneratedSample(
            None if crystal is None else Crystal(**crystal),
            values["score"],
            values["source"],
            tuple(values["flags"]),
            # Folders of earlier versions have neither.
            values.get("probability"),
            values.get("why", ""),
        )
        return cls(
            values["request"],
            values["sample"],
            values["request_key"],
            values["generator_key"],
            values["space_group_number"],
            made,
        )


def read_rows(files: Iterable[Path]) -> Iterator[Row]:
    """The whole rows of some files; what a kill has cut is passed over, and made again."""
    for values in read_checked_lines(files):
        yield Row.from_values(values)


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
