"""What two versions of the reader make of the same structures, row by row.

    python benchmarks/survey_changes.py BEFORE AFTER

Both are folders that ``survey.py --out`` wrote. ``AFTER/changes.csv`` lists each structure that
reads differently (``set,id,change,before,after,message_after``); the counts are printed.
"""

import argparse
import csv
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STEP = 1e-6  # what two versions may differ by: fractional coordinates, and Å of the lattice


class Kept(NamedTuple):
    """One row of a result: a line about it, its notes or reason, its arrays unless refused."""

    summary: str
    message: str
    lattice: NDArray[np.float64] | None = None
    atomic_numbers: NDArray[np.int64] | None = None
    frac_coords: NDArray[np.float64] | None = None

    @property
    def is_refused(self) -> bool:
        """Whether there is no crystal."""
        return self.lattice is None


def load(folder: Path, name: str) -> dict[str, Kept]:
    """All rows by identifier; a second one of an identifier is ``id (2)``."""
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    arrays = np.load(folder / f"{name}.npz")
    lattices, numbers, coords = arrays["lattice"], arrays["numbers"], arrays["coords"]
    ends = np.cumsum(arrays["num_atoms"])
    found: dict[str, Kept] = {}
    seen: Counter[str] = Counter()
    cell = 0
    for row, num_atoms, end in zip(rows, arrays["num_atoms"], ends, strict=True):
        parts: tuple[NDArray[np.float64], ...] = ()
        if num_atoms:
            atoms = slice(end - num_atoms, end)
            parts = (lattices[cell], numbers[atoms], coords[atoms])
            cell += 1
        seen[row["id"]] += 1
        times = seen[row["id"]]
        key = row["id"] if times == 1 else f"{row['id']} ({times})"
        found[key] = Kept(row["summary"], row["message"], *parts)
    return found


def change(old: Kept | None, new: Kept | None) -> str:
    """What differs between two versions of a row; empty if nothing does."""
    if old is None or new is None:
        return "other identifier"
    if old.is_refused or new.is_refused:
        if old.is_refused != new.is_refused:
            return "now read" if old.is_refused else "now refused"
        return "" if old.message == new.message else "other message"
    if not np.array_equal(old.atomic_numbers, new.atomic_numbers):
        return "other atoms"
    delta = old.frac_coords - new.frac_coords
    is_changed = {
        "other lattice": np.abs(old.lattice - new.lattice).max() > STEP,
        "other coordinates": np.abs(delta - np.rint(delta)).max() > STEP,
        "other note": old.message != new.message,
    }
    return next((kind for kind, value in is_changed.items() if value), "")


def compare(before: Path, after: Path) -> None:
    """Writes ``changes.csv`` to the second folder and prints how many of each kind there are."""
    rows = []
    for path in sorted(after.glob("*.npz")):
        if not (before / path.name).exists():
            print(f"{path.stem}: not in {before}")
            continue
        old, new = load(before, path.stem), load(after, path.stem)
        kinds: Counter[str] = Counter()
        for identifier in dict.fromkeys([*old, *new]):
            first, second = old.get(identifier), new.get(identifier)
            kind = change(first, second)
            kinds[kind or "same"] += 1
            if kind:
                summaries = [kept.summary if kept else "" for kept in (first, second)]
                rows.append(
                    (path.stem, identifier, kind, *summaries, second.message if second else "")
                )
        print(f"{path.stem}: {', '.join(f'{n} {kind}' for kind, n in kinds.most_common())}")
    header = ("set", "id", "change", "before", "after", "message_after")
    with (after / "changes.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    print(f"{len(rows)} changes written to {after / 'changes.csv'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    compare(options.before, options.after)


if __name__ == "__main__":
    main()
