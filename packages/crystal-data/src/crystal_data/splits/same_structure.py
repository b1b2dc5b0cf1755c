"""Which of several crystals is the same structure as a given one, under a time limit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from crystal_data.crystal import Crystal
from crystal_data.metrics.displacement import is_same_structure
from crystal_data.metrics.matching import import_matcher
from crystal_data.metrics.pool import Failure, map_with_timeout
from crystal_data.metrics.reduced import reduced_cell

Verdict = Literal["structure", "timeout", "error"]
# Few enough that a comparison without an end costs little again, enough to send a crystal seldom.
_OTHERS_PER_CALL = 32


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
class Candidates:
    """A crystal, and those that may be the same structure."""

    crystal: Crystal
    others: Sequence[Crystal]


def find_same(
    candidates: Mapping[int, Candidates],
    options: MatcherOptions,
    *,
    num_workers: int | None,
    timeout: float,
    advance: Callable[[int], None] | None = None,
) -> dict[int, tuple[int, Verdict]]:
    """The first of the others that is the same structure, for each crystal that has one.

    Args:
        candidates: By any key.
        options: Tolerances.
        num_workers: Processes; None takes as many as pay, 0 compares in this one, without limit.
        timeout: Seconds for a comparison.
        advance: Receives the number of crystals that were newly compared with some of the others.

    Returns:
        Position among the others and ``structure``; where none is the same but a comparison came
        to no end or failed, the first of those and ``timeout`` or ``error``.
    """
    found: dict[int, tuple[int, Verdict]] = {}
    undecided: dict[int, tuple[int, Verdict]] = {}

    def compare(calls: Sequence[_Call]) -> Iterator[tuple[_Call, int | Failure | None]]:
        arguments = [(call.crystal, call.others, options) for call in calls]
        answers = map_with_timeout(
            _first_same,
            arguments,
            timeout=timeout,
            num_workers=num_workers,
            prepare=import_matcher,
            on_done=None if advance is None else lambda _: advance(1),
        )
        return zip(calls, answers, strict=True)

    most = max((len(each.others) for each in candidates.values()), default=0)
    for start in range(0, most, _OTHERS_PER_CALL):
        calls = [
            _Call(key, start, each.crystal, tuple(each.others[start : start + _OTHERS_PER_CALL]))
            for key, each in candidates.items()
            if key not in found and start < len(each.others)
        ]
        while calls:
            again: list[_Call] = []
            for call, answer in compare(calls):
                if isinstance(answer, Failure) and len(call.others) > 1:
                    # One comparison without an end must not hide what the others would say.
                    again.extend(call.split())
                elif isinstance(answer, Failure):
                    verdict: Verdict = "timeout" if answer.timed_out else "error"
                    undecided.setdefault(call.key, (call.start, verdict))
                elif answer is not None:
                    found.setdefault(call.key, (call.start + answer, "structure"))
            calls = again
    return {**undecided, **found}


@dataclass(frozen=True, slots=True)
class _Call:
    """What one process does at a time: a crystal against some of the others, from ``start`` on."""

    key: int
    start: int
    crystal: Crystal
    others: tuple[Crystal, ...]

    def split(self) -> list["_Call"]:
        return [
            _Call(self.key, self.start + number, self.crystal, (other,))
            for number, other in enumerate(self.others)
        ]


def _first_same(crystal: Crystal, others: Sequence[Crystal], options: MatcherOptions) -> int | None:
    own = reduced_cell(crystal)
    for position, other in enumerate(others):
        tolerances = (options.stol, options.angle_tol, options.ltol)
        if is_same_structure(own, reduced_cell(other), *tolerances):
            return position
    return None
