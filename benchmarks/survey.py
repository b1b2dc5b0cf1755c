"""What the reader makes of many real CIFs, against pymatgen.

    python benchmarks/survey.py --cifs FOLDER --tables mp_20 mpts_52 --out DIR

Each CIF of FOLDER is read here and by pymatgen's ``CifParser``. ``files.csv`` has one row for each
structure: atoms and formula of both, and the class of the difference. Public tables
(NAME/{train,val,test}.csv[.gz] in ``CRYSTAL_DATA_HOME``) are read here alone.

Every crystal, or the reason for its rejection, is kept in ``NAME.npz`` and ``NAME.csv``, so that
``survey_changes.py`` can compare two versions of the reader: run this file with the Python of each.
"""

import argparse
import csv
import inspect
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data import Crystal
from crystal_data.elements import SYMBOLS
from crystal_data.errors import Rejection
from crystal_data.io import parse_records, read_crystals
from crystal_data.sources import TableSource

SAME_PLACE = 0.05  # Å, by which an atom may lie elsewhere: pymatgen takes 0.3333 as 1/3
SAME_LENGTH = 1e-3  # relative
FILE_COLUMNS = (
    "id",
    "difference",
    "atoms",
    "formula",
    "pymatgen_atoms",
    "pymatgen_formula",
    "largest_shift",
    "reader_says",
    "pymatgen_says",
)


@dataclass(frozen=True)
class Outcome:
    """What became of one structure: a crystal, or the reason why there is none.

    Args:
        crystal: None where it was rejected.
        message: The reason and detail of a rejection, or the notes of a reading.
    """

    crystal: Crystal | None
    message: str = ""

    @property
    def summary(self) -> str:
        """One line: atoms and formula, or the rejection."""
        if self.crystal is None:
            return f"refused: {self.message}"
        counts = "".join(f"{symbol}{n}" for symbol, n in self.crystal.composition.items())
        return f"{self.crystal.num_atoms} atoms, {counts}"


def outcome(value: Crystal | Rejection) -> Outcome:
    """Of a reading that either gave a crystal or a rejection."""
    if isinstance(value, Rejection):
        return Outcome(None, f"{value.reason}: {value.detail}")
    return Outcome(value, "; ".join(getattr(value, "notes", ())))


def read_file(path: Path, on_disorder: str) -> list[tuple[str, Outcome]]:
    """Each structure of a file, in its order; the identifiers are the reader's."""
    result = read_crystals(path, **disorder_argument(on_disorder))
    found = [(crystal.identifier, outcome(crystal)) for crystal in result.crystals]
    return found + [(rejection.identifier, outcome(rejection)) for rejection in result.rejected]


def disorder_argument(on_disorder: str) -> dict[str, Any]:
    """How ``read_crystals`` takes it, in this version and in those before ``ReadOptions``."""
    if "on_disorder" in inspect.signature(read_crystals).parameters:
        return {"on_disorder": on_disorder}
    from crystal_data.io import ReadOptions

    return {"options": ReadOptions(on_disorder=on_disorder)}


def read_table(name: str) -> list[tuple[str, Outcome]]:
    """All rows of a public table, in order."""
    folder = Path(os.environ["CRYSTAL_DATA_HOME"], name)
    files = {split: next(folder.glob(f"{split}.csv*")) for split in ("train", "val", "test")}
    records = list(TableSource(**files, identifier="material_id", structure="cif").records())
    parsed = parse_records(records)
    return [(record.identifier, outcome(v)) for record, v in zip(records, parsed, strict=True)]


def save(out: Path, name: str, outcomes: list[tuple[str, Outcome]]) -> None:
    """Identifiers and summaries as CSV, arrays of all crystals one after another as NPZ."""
    crystals = [one.crystal for _, one in outcomes if one.crystal is not None]
    np.savez_compressed(
        out / f"{name}.npz",
        num_atoms=np.array([one.crystal.num_atoms if one.crystal else 0 for _, one in outcomes]),
        lattice=np.array([crystal.lattice for crystal in crystals]).reshape(-1, 3, 3),
        numbers=np.concatenate([crystal.atomic_numbers for crystal in crystals] or [[]]),
        coords=np.concatenate([crystal.frac_coords for crystal in crystals] or [[]]),
    )
    rows = [(identifier, one.summary, one.message) for identifier, one in outcomes]
    write_rows(out / f"{name}.csv", ("id", "summary", "message"), rows)


def write_rows(path: Path, header: tuple[str, ...], rows: list[Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


@dataclass(frozen=True)
class Reference:
    """What pymatgen made of one structure, D taken as H.

    Args:
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.
        frac_coords: Of the sites that hold an element; shape ``[num_sites, 3]``.
        atomic_numbers: Of the element that most of a site is; shape ``[num_sites]``.
        is_ordered: Whether every site is full and of one element.
    """

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]
    is_ordered: bool


def atoms_and_formula(atomic_numbers: NDArray[np.int64] | None) -> tuple[str, str]:
    """Such as ``("8", "Na4 Cl4")``, in the order of atomic numbers; empty without a crystal."""
    if atomic_numbers is None:
        return "", ""
    counts = sorted(Counter(atomic_numbers.tolist()).items())
    formula = " ".join(f"{SYMBOLS[number]}{count}" for number, count in counts)
    return str(len(atomic_numbers)), formula


def pymatgen_references(path: Path) -> tuple[list[Reference], str]:
    """Structures in the order of the file, and what pymatgen warned of or failed with."""
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            parser = CifParser(path, occupancy_tolerance=1.02)
            structures = parser.parse_structures(primitive=False, on_error="warn")
        except Exception as error:
            return [], f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
    says = " | ".join(dict.fromkeys(str(one.message).replace("\n", " ") for one in caught))
    return [reference(structure) for structure in structures], says[:300]


def reference(structure: Any) -> Reference:
    """Each site by its main element; a site that is mostly empty is left out."""
    coords, numbers = [], []
    for site in structure:
        amounts: Counter[int] = Counter()
        for species, amount in site.species.items():
            # Dummy species (a vacancy with a name, water as one site) are no element.
            amounts[getattr(species, "Z", 0)] += amount
        number, amount = amounts.most_common(1)[0]
        if number and amount >= 1.0 - sum(amounts.values()):
            coords.append(site.frac_coords)
            numbers.append(number)
    return Reference(
        np.array(structure.lattice.matrix),
        np.array(coords).reshape(-1, 3),
        np.array(numbers, dtype=np.int64),
        structure.is_ordered,
    )


def difference(one: Outcome, ordered: Outcome, theirs: Reference | None) -> tuple[str, float]:
    """The class of a difference, and the largest shift of an atom where atoms correspond, Å.

    Args:
        one: By default options.
        ordered: With ``on_disorder="majority"``, where the default refused disorder.
        theirs: None where pymatgen has no structure.
    """
    nan = float("nan")
    if ordered.crystal is None:
        return ("both refuse" if theirs is None else "refused here alone"), nan
    if theirs is None:
        return "refused by pymatgen alone", nan
    prefix = "" if one.crystal is not None else "disordered, by majority "
    if one.crystal is None and theirs.is_ordered:
        prefix = "disordered here alone, by majority "
    if one.crystal is not None and not theirs.is_ordered:
        prefix = "ordered here alone, "
    kind, shift = _structural_difference(ordered.crystal, theirs)
    return prefix + kind, shift


def _structural_difference(crystal: Crystal, theirs: Reference) -> tuple[str, float]:
    cell = np.array([*crystal.lengths, *crystal.angles])
    their_metric = theirs.lattice @ theirs.lattice.T
    scale = np.sqrt(np.outer(their_metric.diagonal(), their_metric.diagonal()))
    metric = crystal.lattice @ crystal.lattice.T
    if (np.abs(metric - their_metric) > SAME_LENGTH * scale).any():
        return f"other cell ({' '.join(f'{value:.4g}' for value in cell)})", float("nan")
    ours = Counter(crystal.atomic_numbers.tolist())
    counts = Counter(theirs.atomic_numbers.tolist())
    if ours != counts:
        ratios = {number: ours[number] / max(counts[number], 1) for number in ours | counts}
        is_multiple = len({round(ratio, 6) for ratio in ratios.values()}) == 1
        return ("other number of atoms" if is_multiple else "other formula"), float("nan")
    shift = largest_shift(crystal, theirs)
    if shift < SAME_PLACE:
        return "same", shift
    return ("same, placed otherwise" if matches(crystal, theirs) else "other places"), shift


def largest_shift(crystal: Crystal, theirs: Reference) -> float:
    """From each of our atoms to the nearest of theirs of that element, Å."""
    worst = 0.0
    for number in np.unique(crystal.atomic_numbers):
        coords = crystal.frac_coords[crystal.atomic_numbers == number]
        delta = coords[:, None] - theirs.frac_coords[theirs.atomic_numbers == number]
        delta -= np.rint(delta)
        distance = np.linalg.norm(delta @ theirs.lattice, axis=-1)
        worst = max(worst, float(distance.min(axis=1).max()), float(distance.min(axis=0).max()))
    return worst


def matches(crystal: Crystal, theirs: Reference) -> bool:
    """Whether both are one crystal by pymatgen's ``StructureMatcher``, cells not scaled."""
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

    pair = [
        Structure(theirs.lattice, atomic_numbers, frac_coords)
        for atomic_numbers, frac_coords in (
            (crystal.atomic_numbers, crystal.frac_coords),
            (theirs.atomic_numbers, theirs.frac_coords),
        )
    ]
    return bool(StructureMatcher(ltol=0.01, stol=0.05, angle_tol=0.5, scale=False).fit(*pair))


def survey(folder: Path) -> Iterator[tuple[str, Outcome, tuple[Any, ...]]]:
    """Identifier, outcome and row of ``files.csv`` for each structure of each CIF of a folder."""
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in (".cif", ".mcif")]
    for path in sorted(paths):
        relative = path.relative_to(folder)
        ours = read_file(path, "error")
        ordered = dict(read_file(path, "majority"))
        references, says = pymatgen_references(path)
        for place, (name, one) in enumerate(ours):
            theirs = references[place] if len(references) == len(ours) else None
            by_majority = ordered.get(name, one)
            kind, shift = difference(one, by_majority, theirs)
            crystal = by_majority.crystal
            found = atoms_and_formula(crystal.atomic_numbers if crystal else None)
            expected = atoms_and_formula(theirs.atomic_numbers if theirs else None)
            message = one.message or by_majority.message
            identifier = str(relative.parent / name) + ("" if "#" in name else relative.suffix)
            row = (identifier, kind, *found, *expected, f"{shift:.4f}", message, says)
            yield identifier, by_majority if crystal else one, row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifs", type=Path, help="folder of CIFs, with its subfolders")
    parser.add_argument("--tables", nargs="*", default=[], help="folders in CRYSTAL_DATA_HOME")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.tables and not os.environ.get("CRYSTAL_DATA_HOME"):
        sys.exit("set CRYSTAL_DATA_HOME to the folder that holds the tables")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.tables:
        start = time.perf_counter()
        outcomes = read_table(name)
        refused = sum(one.crystal is None for _, one in outcomes)
        seconds = time.perf_counter() - start
        print(f"{name}: {len(outcomes)} rows, {refused} refused, {seconds:.1f} s", flush=True)
        save(options.out, name, outcomes)
    if options.cifs:
        found = list(survey(options.cifs))
        save(options.out, "cifs", [(identifier, one) for identifier, one, _ in found])
        write_rows(options.out / "files.csv", FILE_COLUMNS, [row for _, _, row in found])
        kinds = Counter(row[1] for _, _, row in found)
        print(f"{len(found)} structures of {options.cifs}")
        for kind, count in kinds.most_common():
            print(f"{count:>6} {kind}")


if __name__ == "__main__":
    main()
