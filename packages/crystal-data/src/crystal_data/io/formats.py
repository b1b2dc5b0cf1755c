"""Which format a file has: by its name, and by its text where the name says otherwise."""

import re
from pathlib import Path
from typing import Literal

FileFormat = Literal["cif", "poscar", "extxyz", "json", "jsonl"]

SUFFIXES: dict[str, FileFormat] = {
    ".cif": "cif",
    ".mcif": "cif",
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".contcar": "poscar",
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".json": "json",
    ".jsonl": "jsonl",
}
_BLOCK = re.compile(r"^\s*data_", re.IGNORECASE | re.MULTILINE)
_TABLES = (".csv", ".tsv", ".parquet")
_VASP_NAMES = ("POSCAR", "CONTCAR")


def format_of_name(path: Path) -> FileFormat | None:
    """Format that a file's name promises; None if it promises none."""
    if path.name.upper().startswith(_VASP_NAMES):
        return "poscar"
    return SUFFIXES.get(Path(_unpacked(path)).suffix.lower())


def is_table(path: Path) -> bool:
    """Whether the name is that of a table, whatever texts of structures it holds."""
    return Path(_unpacked(path)).suffix.lower() in _TABLES


def has_structure_ending(path: Path) -> bool:
    """Whether a name ends as those of structure files do, in capitals or not."""
    return Path(_unpacked(path)).suffix.lower() in SUFFIXES


def identifier_of(path: Path) -> str:
    """The file's name without its ending; a bare POSCAR or CONTCAR takes that of its folder."""
    name = without_suffix(path.name)
    if name.upper() in _VASP_NAMES:
        name = path.absolute().parent.name or name
    # Linux lets a name be bytes of any encoding; those that are no UTF-8 cannot be written.
    return name.encode("utf-8", "replace").decode("utf-8")


def without_suffix(name: str) -> str:
    """A file's name without the ending of its format; dots in the rest stay."""
    path = Path(_unpacked(Path(name)))
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _unpacked(path: Path) -> str:
    return path.name[:-3] if path.suffix.lower() == ".gz" else path.name


def format_of_text(text: str) -> FileFormat | None:
    """Format that a text has by its looks; None if it looks like none of them."""
    start = text.lstrip()[:1]
    if start in ("{", "["):
        first, *others = [line for line in text.splitlines() if line.strip()]
        is_whole = start == "{" and first.rstrip().endswith("}")
        # One of the lines may be damaged.
        has_more = any(line.lstrip().startswith("{") for line in others)
        return "jsonl" if is_whole and has_more else "json"
    lines = text.splitlines()[:5]
    if _is_numbers(lines[:1], 1) and lines[0].strip().isdigit():
        return "extxyz"
    if _is_numbers(lines[1:2], 1) and len(lines) == 5 and _is_numbers(lines[2:], 3):
        return "poscar"
    return "cif" if _BLOCK.search(text) else None


def _is_numbers(lines: list[str], count: int) -> bool:
    try:
        return bool(lines) and all(
            len([float(token) for token in line.split()[:count]]) == count for line in lines
        )
    except ValueError:
        return False
