"""Runs a generator over requests: in blocks, in several processes, again after a kill."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from crystal_data.errors import InvalidArgumentError, WorkerError
from crystal_data.generation.request import GenerationRequest
from crystal_data.generation.task import GeneratedSample, Task, tasks_of
from crystal_data.generation.writer import StructureWriter
from crystal_data.processes.progress import progress
from crystal_data.processes.workers import WorkerLostError, Workers


class Generator(Protocol):
    """Makes crystals: a function of request and sample, whatever else is in the block."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Plain values that decide about its results: name, version, hash of weights, options."""
        ...

    def generate(self, tasks: Sequence[Task]) -> Sequence[GeneratedSample]:
        """One sample for each task, in order; all randomness comes from each ``task.seed``.

        A crystal whose space group is asked comes in the standard conventional cell, any other in
        the cell that ``z`` counts in. What cannot be made is a ``GeneratedSample`` without a
        crystal, with a flag.
        """
        ...


@dataclass(frozen=True)
class GenerationResult:
    """Where a generation stands.

    Args:
        folder: With the files of :class:`StructureWriter`, if nothing is missing.
        num_samples: That were asked for.
        num_missing: That other processes still have to make.
    """

    folder: Path
    num_samples: int
    num_missing: int


@dataclass(frozen=True)
class _Share:
    """What one of several processes does."""

    generator: Generator
    requests: Sequence[GenerationRequest]
    folder: Path
    block_size: int
    rank: int
    world_size: int
    shows_progress: bool


def generate_all(
    generator: Generator,
    requests: Sequence[GenerationRequest],
    folder: str | Path,
    *,
    block_size: int = 64,
    num_processes: int = 1,
    rank: int = 0,
    world_size: int = 1,
) -> GenerationResult:
    """Make all samples of all requests that a folder does not have yet, and merge them.

    Samples are divided into blocks that depend on the requests and ``block_size`` alone, and blocks
    among processes. A block that a kill has cut is made again as a whole. So a generator whose
    numbers depend, in their last digits, on what else is in a block still gives the same files
    after a kill and in any number of processes, as long as the block size stays.

    Args:
        generator: With ``num_processes`` above 1 it is sent to others, so it has to pickle, and its
            class has to be in a module that can be imported.
        requests: With distinct ids.
        folder: See :class:`StructureWriter`.
        block_size: Samples at once.
        num_processes: That this call starts on this computer.
        rank: Which of several calls this is, where something else starts them, from 0.
        world_size: How many calls there are; the one that is done last merges.

    Raises:
        GenerationFolderError: If the folder has samples of other requests or another generator.
        InvalidArgumentError: If a number is too small, or there are no requests.
    """
    if block_size < 1 or num_processes < 1 or not 0 <= rank < world_size:
        raise InvalidArgumentError(
            f"block_size {block_size} and num_processes {num_processes} have to be at least 1, "
            f"rank {rank} from 0 to below world_size {world_size}"
        )
    if not requests:
        raise InvalidArgumentError("there are no requests; give at least one")
    folder, requests = Path(folder), list(requests)
    # A folder that does not fit is refused before any process starts.
    writer = StructureWriter(folder, requests, generator.provenance)
    first, total = rank * num_processes, world_size * num_processes
    shares = [
        _Share(generator, requests, folder, block_size, place, total, place == first)
        for place in range(first, first + num_processes)
    ]
    _make_all(shares)
    missing = writer.missing()
    if not missing:
        writer.merge()
    return GenerationResult(folder, len(tasks_of(requests)), len(missing))


def _make_all(shares: Sequence[_Share]) -> None:
    if len(shares) == 1:
        _make(shares[0])
        return
    try:
        with Workers(len(shares)) as workers:
            for future in [workers.submit(_make, share) for share in shares]:
                future.result()
    except WorkerLostError as error:
        raise WorkerError(
            f"one of {len(shares)} processes died, perhaps for want of memory; run the same again, "
            "with a smaller num_processes or block_size"
        ) from error


def _make(share: _Share) -> None:
    """Make the blocks of one process."""
    tasks = tasks_of(share.requests)
    blocks = [tasks[i : i + share.block_size] for i in range(0, len(tasks), share.block_size)]
    own = blocks[share.rank :: share.world_size]
    with (
        StructureWriter(share.folder, share.requests, share.generator.provenance) as writer,
        progress("generated", sum(map(len, own))) as advance,
    ):
        for block in own:
            if not all(map(writer.is_done, block)):
                made = share.generator.generate(block)
                writer.add_all(zip(block, made, strict=True))
            if share.shows_progress:
                advance(len(block))
