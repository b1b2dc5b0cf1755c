"""Crystals to a folder of ordinary files."""

import gzip
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crystal_data.crystal import Crystal
from crystal_data.io.ase import to_extxyz
from crystal_data.io.cif import to_cif
from crystal_data.io.files import atomic_folder, atomic_path, csv_text, write_text
from crystal_data.io.pymatgen import to_json

_UNSAFE = set('<>:"/\\|?*#%& ')
_PORTS = (f"{port}{n}" for port in ("com", "lpt") for n in range(10))
_WINDOWS_DEVICES = {"con", "prn", "aux", "nul", *_PORTS}
_MAX_NAME = 200  # bytes; file systems take 255, of which some are for ~2 and .cif
_AVOGADRO = 6.02214076e23  # per mole; exact since the SI of 2019
SUMMARY_COLUMNS = (
    "id",
    "file",
    "formula",
    "num_atoms",
    "volume",
    "density",
    "a",
    "b",
    "c",
    "alpha",
    "beta",
    "gamma",
)


@dataclass(frozen=True)
class WrittenCrystals:
    """Where crystals were written.

    Args:
        folder: With ``cif/``, ``structures.extxyz``, ``structures.jsonl.gz``, ``summary.csv``.
        identifiers: As in each of the files, in the order given; those that came twice have
            ``~2`` and so on behind them, those that were empty are ``structure-0`` by their place.
        files: Name of each crystal's file in ``cif/``, without characters that some system
            refuses; ``summary.csv`` has identifier and file side by side.
    """

    folder: Path
    identifiers: tuple[str, ...]
    files: tuple[str, ...]


def write_crystals(crystals: Iterable[Crystal], folder: str | Path) -> WrittenCrystals:
    """Write crystals as CIF files, extended XYZ, pymatgen JSON lines and a summary table.

    All four hold the same identifiers in the same order. Each is written beside its place and
    moved in whole; ``summary.csv`` comes last, so that where it is the others are. It has lengths
    in Å, angles in degrees, volume in Å³, density in g/cm³, and the properties that are scalars.

    Args:
        crystals: Of any number.
        folder: Made if it is not there; what an earlier call left under these names is replaced.
    """
    given = list(crystals)
    identifiers = distinct_names([c.identifier or f"structure-{i}" for i, c in enumerate(given)])
    named = [c.replace(identifier=x) for c, x in zip(given, identifiers, strict=True)]
    files = tuple(
        f"{name}.cif" for name in distinct_names(list(map(safe_name, identifiers)), fold=True)
    )
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    (target / "summary.csv").unlink(missing_ok=True)
    with atomic_folder(target / "cif") as cif_folder:
        for crystal, file in zip(named, files, strict=True):
            (cif_folder / file).write_text(to_cif(crystal), encoding="utf-8", newline="\n")
    write_text(target / "structures.extxyz", to_extxyz(named))
    with atomic_path(target / "structures.jsonl.gz") as temporary:
        lines = "".join(f"{to_json(crystal)}\n" for crystal in named)
        # Without a time stamp, so that the same crystals give the same bytes.
        temporary.write_bytes(gzip.compress(lines.encode("utf-8"), mtime=0))
    write_text(target / "summary.csv", _summary(named, files))
    return WrittenCrystals(target, tuple(identifiers), files)


def safe_name(identifier: str) -> str:
    """An identifier as a file name that Linux, macOS and Windows all take."""
    text = unicodedata.normalize("NFC", identifier)
    name = "".join(c if c.isprintable() and c not in _UNSAFE else "_" for c in text)
    cut = name.encode("utf-8")[:_MAX_NAME].decode("utf-8", "ignore")
    name = cut.strip(". ") or "structure"
    return f"_{name}" if name.split(".")[0].lower() in _WINDOWS_DEVICES else name


def distinct_names(names: Sequence[str], *, fold: bool = False) -> list[str]:
    """Names with ~2, ~3 … behind those that came before; ``fold`` takes a and A as the same."""
    key = str.casefold if fold else str
    taken = set(map(key, names))
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        seen[key(name)] += 1
        chosen = name
        if seen[key(name)] > 1:
            while key(chosen) in taken:
                chosen = f"{name}~{seen[key(name)]}"
                seen[key(name)] += key(chosen) in taken
            taken.add(key(chosen))
        distinct.append(chosen)
    return distinct


def _summary(crystals: Sequence[Crystal], files: Sequence[str]) -> str:
    names = list(dict.fromkeys(key for c in crystals for key in _scalars(c)))
    rows = []
    for crystal, file in zip(crystals, files, strict=True):
        scalars = _scalars(crystal)
        about = (crystal.identifier, f"cif/{file}", crystal.formula, crystal.num_atoms)
        sizes = (f"{x:.6f}" for x in _sizes(crystal))
        rows.append([*about, *sizes, *(scalars.get(name, "") for name in names)])
    return csv_text((*SUMMARY_COLUMNS, *names), rows)


def _sizes(crystal: Crystal) -> tuple[float, ...]:
    from ase.data import atomic_masses

    grams = float(atomic_masses[crystal.atomic_numbers].sum()) / _AVOGADRO
    density = grams / (crystal.volume * 1e-24)
    return crystal.volume, density, *crystal.lengths.tolist(), *crystal.angles.tolist()


def _scalars(crystal: Crystal) -> dict[str, Any]:
    return {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in crystal.properties.items()
        if isinstance(value, (str, int, float, np.generic)) and key not in SUMMARY_COLUMNS
    }
