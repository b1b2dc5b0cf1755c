"""Finds leaks: training crystals that also stand in an evaluation set, in whatever form."""

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal, end_to_end
from crystal_data.errors import InvalidArgumentError, SourceError
from crystal_data.splits.compositions import composition_keys
from crystal_data.splits.same_structure import Candidates, MatcherOptions, find_same
from crystal_data.splits.split import read_ids
from crystal_data.store.store import CrystalStore

# timeout and error: same formula, and the comparison came to no end; counted as a match.
How = Literal["id", "parent", "structure", "timeout", "error"]
Check = Literal["id", "parent", "structure"]
CHECKS: tuple[Check, ...] = ("id", "parent", "structure")
_MAX_WORKERS = 8


@dataclass(frozen=True)
class CrystalSet:
    """What is known of a set of crystals.

    Args:
        name: For ``excluded.csv``.
        identifiers: Of each crystal.
        parents: The material that each was made from, or empty.
        formulas: Key of each reduced formula; None where the structures are not known.
        crystal: Gives a crystal by its position; None where the structures are not known.
    """

    name: str
    identifiers: Sequence[str]
    parents: Sequence[str]
    formulas: NDArray[np.uint64] | None = None
    crystal: Callable[[int], Crystal] | None = None

    @classmethod
    def from_store(cls, store: CrystalStore, rows: NDArray[np.int64] | None = None) -> Self:
        """Rows of a store; all of them by default."""
        chosen = np.arange(len(store)) if rows is None else np.asarray(rows, dtype=np.int64)
        identifiers, parents = store.strings("identifier"), store.strings("parent")
        keys = composition_keys(
            np.asarray(store.column("atomic_numbers")), np.asarray(store.num_atoms)
        )
        return cls(
            str(store.metadata["source"]),
            identifiers.take(chosen),
            parents.take(chosen),
            keys[chosen],
            lambda position: store.crystal(int(chosen[position])),
        )

    @classmethod
    def from_crystals(
        cls, name: str, crystals: Sequence[Crystal], parents: Sequence[str] | None = None
    ) -> Self:
        """Crystals at hand."""
        arrays = end_to_end(crystals)
        return cls(
            name,
            [crystal.identifier for crystal in crystals],
            parents or [""] * len(crystals),
            composition_keys(arrays.atomic_numbers, arrays.num_atoms),
            crystals.__getitem__,
        )

    @classmethod
    def from_ids(cls, path: str | Path) -> Self:
        """A file of identifiers, as :func:`crystal_data.splits.split.read_ids` reads it."""
        identifiers = read_ids(path)
        if not identifiers:
            raise SourceError(f"{path} lists no identifiers, so nothing would be left out")
        return cls(Path(path).name.split(".")[0], identifiers, [""] * len(identifiers))


@dataclass(frozen=True, slots=True)
class Leak:
    """A training row that stands in an evaluation set: one line of ``excluded.csv``."""

    identifier: str
    matched_identifier: str
    evaluation_set: str
    how: How


def find_leaks(
    train: CrystalSet,
    against: Sequence[CrystalSet],
    *,
    how: Sequence[Check] = CHECKS,
    matcher: MatcherOptions | None = None,
    num_workers: int | None = None,
    timeout: float = 20.0,
) -> dict[int, Leak]:
    """Positions in ``train`` that stand in one of the evaluation sets, each with one reason.

    Cheap reasons come first, sets in their order.

    Args:
        train: What is to be trained on.
        against: Evaluation sets.
        how: What counts: the same identifier; the same parent, or one being the other's parent;
            the same reduced formula and structure.
        matcher: Tolerances; by default pymatgen's own.
        num_workers: Processes that compare structures; by default up to 8, one for each core. 0
            compares in this process, without a time limit.
        timeout: Seconds after which two structures count as one, and are listed as ``timeout``.

    Returns:
        Position to leak, positions rising.

    Raises:
        InvalidArgumentError: If ``how`` names something else.
    """
    unknown = set(how) - set(CHECKS)
    if unknown:
        raise InvalidArgumentError(
            f"how={sorted(unknown)[0]!r}; expected any of {', '.join(CHECKS)}"
        )
    found: dict[int, Leak] = {}
    if "id" in how:
        for one in against:
            _note(train, one, "id", _same(one), found)
    if "parent" in how:
        for one in against:
            _note(train, one, "parent", _relative(one), found)
    if "structure" in how:
        workers = min(os.cpu_count() or 1, _MAX_WORKERS) if num_workers is None else num_workers
        found |= _by_structure(train, against, found, matcher or MatcherOptions(), workers, timeout)
    return dict(sorted(found.items()))


def _note(
    train: CrystalSet,
    one: CrystalSet,
    how: How,
    match: Callable[[str, str], str],
    found: dict[int, Leak],
) -> None:
    """Add the rows for whose identifier and parent there is a match."""
    for position, names in enumerate(zip(train.identifiers, train.parents, strict=True)):
        if position not in found and (matched := match(*names)):
            found[position] = Leak(names[0], matched, one.name, how)


def _same(one: CrystalSet) -> Callable[[str, str], str]:
    known = set(one.identifiers)
    return lambda identifier, _: identifier if identifier in known else ""


def _relative(one: CrystalSet) -> Callable[[str, str], str]:
    """What in the set is a row's parent, child or sibling, or empty."""
    known = {identifier: identifier for identifier in one.identifiers}
    child = {
        parent: identifier
        for parent, identifier in zip(one.parents, one.identifiers, strict=True)
        if parent
    }

    def match(identifier: str, parent: str) -> str:
        return known.get(parent) or child.get(parent) or child.get(identifier) or ""

    return match


def _by_structure(
    train: CrystalSet,
    against: Sequence[CrystalSet],
    found: Mapping[int, Leak],
    matcher: MatcherOptions,
    num_workers: int,
    timeout: float,
) -> dict[int, Leak]:
    """Rows with the reduced formula and the structure of one in an evaluation set."""
    if train.formulas is None or train.crystal is None:
        return {}
    wanted = {
        position: key
        for position, key in enumerate(train.formulas.tolist())
        if position not in found
    }
    known = _same_formulas(against, set(wanted.values()))
    crystals = {key: [crystal for _, _, crystal in others] for key, others in known.items()}
    same = find_same(
        {
            position: Candidates(train.crystal(position), crystals[key])
            for position, key in wanted.items()
            if key in crystals
        },
        matcher,
        num_workers=num_workers,
        timeout=timeout,
    )
    leaks: dict[int, Leak] = {}
    for position, (number, how) in same.items():
        one, identifier, _ = known[wanted[position]][number]
        leaks[position] = Leak(train.identifiers[position], identifier, one.name, how)
    return leaks


def _same_formulas(
    against: Sequence[CrystalSet], wanted: set[int]
) -> dict[int, list[tuple[CrystalSet, str, Crystal]]]:
    """For each reduced formula: set, identifier and crystal of all that have it."""
    known: dict[int, list[tuple[CrystalSet, str, Crystal]]] = defaultdict(list)
    for one in against:
        if one.formulas is None or one.crystal is None:
            continue
        for position, key in enumerate(one.formulas.tolist()):
            if key in wanted:
                known[key].append((one, one.identifiers[position], one.crystal(position)))
    return dict(known)
