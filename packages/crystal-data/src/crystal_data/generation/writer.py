"""Thousands of generated structures to one folder of ordinary files, from many processes."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from crystal_data.errors import CrystalError, InvalidArgumentError
from crystal_data.generation.merged_files import ROWS, SHARDS, SUMMARY, write_merged
from crystal_data.generation.request import GenerationRequest
from crystal_data.generation.shards import Row, read_rows
from crystal_data.generation.task import GeneratedSample, Task, tasks_of
from crystal_data.io.checked_lines import LineFile
from crystal_data.processes.locking import locked

SYMPREC = 0.1  # Å; at which summary.csv states the space group


class GenerationFolderError(CrystalError, ValueError):
    """A folder that does not fit what is to be written into it."""


class StructureWriter:
    """Writes generated samples into a folder, each of them once, whoever made it.

    Every process has a writer of its own on the same folder. Rows are appended to files of each
    process; a row that a kill has cut does not count. When all samples of all requests are there,
    :meth:`merge` turns them into

    - ``cif/REQUEST_SAMPLE.cif``, in P1,
    - ``symmetrized/REQUEST_SAMPLE.cif``, the asymmetric unit of the conventional cell and the
      operations of the space group, as found at 0.1 Å; lacking where no symmetry was found,
    - ``structures.extxyz``,
    - ``summary.csv``: ``request,sample,rank,score,file,formula,space_group_number,source,flags,
      probability,why``, a row for every sample, ranked by score within a request, files relative to
      the folder,
    - ``generation.json``: the generator and the requests,
    - ``samples.jsonl``: all of it with every digit; what further samples are added to.

    The files are the same, bit for bit, for any number of processes, blocks and kills.

    Args:
        folder: Made if it is not there. Samples that it has already are not asked for again.
        requests: All that the folder is to hold; more of them, or more samples, may be asked later.
        provenance: Plain values that say which generator makes the samples; a folder holds those of
            one.

    Raises:
        GenerationFolderError: If the folder has samples of other requests or another generator.
    """

    def __init__(
        self,
        folder: str | Path,
        requests: Sequence[GenerationRequest],
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self._tasks = {(task.request.id, task.sample): task for task in tasks_of(requests)}
        self._requests = list(requests)
        self._provenance = dict(provenance or {})
        self._generator_key = _key(self._provenance)
        self._shard = LineFile(self._shards)
        self._done = {(row.request, row.sample) for row in self._rows()}

    @property
    def _shards(self) -> Path:
        return self.folder / SHARDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._shard.close()

    def is_done(self, task: Task) -> bool:
        """Whether the sample was there when this writer began, or has been added to it."""
        return (task.request.id, task.sample) in self._done

    def add(self, task: Task, made: GeneratedSample) -> None:
        """Keep one sample; it is on disk when this returns."""
        self.add_all([(task, made)])

    def add_all(self, samples: Iterable[tuple[Task, GeneratedSample]]) -> None:
        """Keep some samples, those that are done already left out.

        Raises:
            InvalidArgumentError: If a task is none of the requests' samples.
        """
        rows = []
        for task, made in samples:
            place = (task.request.id, task.sample)
            asked = self._tasks.get(place)
            if asked is None or asked.request.key != task.request.key:
                raise InvalidArgumentError(
                    f"sample {task.sample} of request '{task.request.id}' is not asked"
                )
            if place not in self._done:
                rows.append(Row.of(task, made, self._generator_key, SYMPREC))
                self._done.add(place)
        if rows:
            # Where the summary is, all else is.
            (self.folder / SUMMARY).unlink(missing_ok=True)
            self._shard.append(row.to_line() for row in rows)

    def missing(self) -> list[Task]:
        """Samples that no process has added yet, as the folder says now."""
        done = {(row.request, row.sample) for row in self._rows()}
        return [task for place, task in self._tasks.items() if place not in done]

    def merge(self) -> None:
        """Write the files, from what all processes have added. Each may call it; one does it.

        Raises:
            GenerationFolderError: If samples are missing, or one was made twice, differently.
        """
        self._shard.close()
        with locked(self.folder / "cif"):
            if (self.folder / SUMMARY).is_file() and not self._shards.exists():
                return
            rows = self._distinct_rows()
            lacking = len(self._tasks) - len(rows)
            if lacking:
                raise GenerationFolderError(
                    f"{self.folder}: {lacking} of {len(self._tasks)} samples are missing; run the "
                    "generation again, which makes them"
                )
            for leftover in self.folder.glob(".*.tmp"):
                leftover.unlink()
            ordered = [rows[place] for place in self._tasks]
            write_merged(self.folder, ordered, self._about(), SYMPREC)
            shutil.rmtree(self._shards, ignore_errors=True)

    def _about(self) -> dict[str, Any]:
        requests = [request.as_dict() for request in self._requests]
        return {"generator": self._provenance, "symprec": SYMPREC, "requests": requests}

    def _distinct_rows(self) -> dict[tuple[str, int], Row]:
        rows: dict[tuple[str, int], Row] = {}
        for row in self._rows():
            earlier = rows.setdefault((row.request, row.sample), row)
            if earlier is not row and earlier.to_line() != row.to_line():
                raise GenerationFolderError(
                    f"{self.folder}: two processes made sample {row.sample} of request "
                    f"'{row.request}', and not the same; the generator has to depend on request "
                    "and sample alone; delete the folder and generate again"
                )
        return rows

    def _rows(self) -> list[Row]:
        files = [self.folder / ROWS, *sorted(self._shards.glob("*.jsonl"))]
        rows = list(read_rows(file for file in files if file.is_file()))
        for row in rows:
            self._check(row)
        return rows

    def _check(self, row: Row) -> None:
        asked = self._tasks.get((row.request, row.sample))
        remedy = "choose another folder, or delete this one"
        if asked is None:
            raise GenerationFolderError(
                f"{self.folder} has sample {row.sample} of request '{row.request}', which is not "
                f"asked for; {remedy}"
            )
        if row.request_key != asked.request.key:
            raise GenerationFolderError(
                f"{self.folder} has samples of another request '{row.request}'; {remedy}"
            )
        if row.generator_key != self._generator_key:
            raise GenerationFolderError(f"{self.folder} has samples of another generator; {remedy}")


def _key(provenance: Mapping[str, Any]) -> str:
    text = json.dumps(provenance, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
