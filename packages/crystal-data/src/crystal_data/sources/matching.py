"""Whether pairs of crystals are one structure, in processes that can be stopped."""

import multiprocessing
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from crystal_data.crystal import Crystal
from crystal_data.io.pymatgen import to_pymatgen

Verdict = Literal["match", "differ", "timeout", "error"]
# Starting a process costs about a second of imports, and its first answer waits for them.
_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class MatcherOptions:
    """Tolerances of pymatgen's ``StructureMatcher``; its own defaults.

    Args:
        ltol: Of lattice lengths, as a share.
        stol: Of sites, as a share of the mean free length per atom.
        angle_tol: Of lattice angles, degrees.
    """

    ltol: float = 0.2
    stol: float = 0.3
    angle_tol: float = 5.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two crystals to compare, and a key for the answer."""

    key: tuple[int, int]
    first: Crystal
    second: Crystal


def match_pairs(
    pairs: Iterable[Pair],
    options: MatcherOptions,
    *,
    num_workers: int,
    timeout: float,
) -> Iterator[tuple[tuple[int, int], Verdict]]:
    """Compare pairs, in any order.

    Pairs are taken from the iterator as processes get free, so that it can leave out those that
    earlier answers have made needless. What pymatgen fails on is an ``error``.

    Args:
        pairs: What to compare.
        options: Tolerances.
        num_workers: Processes; 0 compares in this one, without a time limit.
        timeout: Seconds after which a comparison is given up.
    """
    if num_workers == 0:
        for pair in pairs:
            yield pair.key, _compare(pair, options)
        return
    source = iter(pairs)
    workers: list[_Worker] = []
    try:
        for pair in source:
            workers.append(_Worker(options, timeout))
            workers[-1].give(pair)
            if len(workers) == num_workers:
                break
        while workers:
            answers = list(_collect(workers))
            yield from answers
            for worker in workers:
                if worker.key is None:
                    following = next(source, None)
                    if following is not None:
                        worker.give(following)
            workers = _without_idle(workers)
    finally:
        for worker in workers:
            worker.stop()


def _collect(workers: list["_Worker"]) -> Iterator[tuple[tuple[int, int], Verdict]]:
    """Answers that have come, and time-outs of those that will not come."""
    remaining = max(0.0, min(worker.deadline for worker in workers) - time.monotonic())
    ready = wait([worker.connection for worker in workers], timeout=remaining)
    for worker in workers:
        key = worker.key
        if key is None:
            continue
        if worker.connection in ready:
            yield key, worker.take()
        elif time.monotonic() >= worker.deadline:
            worker.restart()
            yield key, "timeout"


def _without_idle(workers: list["_Worker"]) -> list["_Worker"]:
    for worker in workers:
        if worker.key is None:
            worker.stop()
    return [worker for worker in workers if worker.key is not None]


class _Worker:
    """One process, the pair that it has at hand, and when that must be done."""

    # Processes that threads have been started in must not be forked.
    _context = multiprocessing.get_context("spawn")

    def __init__(self, options: MatcherOptions, timeout: float) -> None:
        self._options = options
        self._timeout = timeout
        self.key: tuple[int, int] | None = None
        self.deadline = 0.0
        self._start()

    def _start(self) -> None:
        self.connection, other = self._context.Pipe()
        self._process: BaseProcess = self._context.Process(
            target=_serve, args=(other, self._options), daemon=True
        )
        self._process.start()
        other.close()
        self._fresh = True

    def give(self, pair: Pair) -> None:
        self.key = pair.key
        self.deadline = time.monotonic() + self._timeout + (_START_SECONDS if self._fresh else 0.0)
        self.connection.send(pair)

    def take(self) -> Verdict:
        self._fresh = False
        self.key = None
        try:
            answer: Verdict = self.connection.recv()
        except EOFError:
            raise RuntimeError(
                "a process that compares structures has ended; a script that calls this must do "
                "so under `if __name__ == '__main__':`, or set num_workers=0"
            ) from None
        return answer

    def restart(self) -> None:
        self.stop()
        self.key = None
        self._start()

    def stop(self) -> None:
        self.connection.close()
        self._process.kill()
        self._process.join()


def _serve(connection: Connection, options: MatcherOptions) -> None:
    while True:
        try:
            pair = connection.recv()
        except EOFError:
            return
        connection.send(_compare(pair, options))


def _compare(pair: Pair, options: MatcherOptions) -> Verdict:
    try:
        first, second = (_reduced(_Hashed(crystal)) for crystal in (pair.first, pair.second))
        same = _matcher(options).fit(first, second, skip_structure_reduction=True)
    except Exception:  # whatever the matcher cannot do is the caller's to weigh, as a time-out is
        return "error"
    return "match" if same else "differ"


@lru_cache(maxsize=4)
def _matcher(options: MatcherOptions) -> Any:
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher(
        ltol=options.ltol, stol=options.stol, angle_tol=options.angle_tol, primitive_cell=True
    )


class _Hashed:
    """A crystal as a key: equal if cell, sites and elements are."""

    def __init__(self, crystal: Crystal) -> None:
        self.crystal = crystal
        self._bytes = b"".join(
            array.tobytes()
            for array in (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)
        )

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashed) and self._bytes == other._bytes


@lru_cache(maxsize=4096)
def _reduced(hashed: _Hashed) -> Any:
    """Primitive Niggli cell, made once for all the pairs that a crystal is in."""
    structure = to_pymatgen(hashed.crystal.replace(properties={}))
    return structure.get_reduced_structure(reduction_algo="niggli").get_primitive_structure()
