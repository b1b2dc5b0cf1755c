"""Records of files, folders and patterns: structures split up and named, not parsed yet."""

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import InvalidCrystalError, Reason, Rejection
from crystal_data.io.ase import from_ase, read_extxyz
from crystal_data.io.cif import split_cif
from crystal_data.io.files import read_text
from crystal_data.io.formats import (
    FileFormat,
    format_of_name,
    format_of_text,
    has_structure_ending,
    identifier_of,
    is_table,
)
from crystal_data.io.parse import rejection_of
from crystal_data.sources.record import PropertyValue, Record

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

_IDENTIFIER_KEYS = ("identifier", "material_id", "entry_id", "id", "jid")
# What ASE's calculators give for each atom.
_ATOM_RESULTS = ("forces", "magmoms", "charges", "energies", "stresses")


def iter_records(path: str | Path) -> Iterator[Record | Rejection]:
    """Records of a file, or of the files of a folder by name, not parsed more than needed.

    Properties are those that extended XYZ and JSON carry beside the structure: numbers, strings,
    vectors, and values of each atom as ``[num_atoms, k]``; for anything else there is a warning.
    What is not a structure in a folder is passed over.

    Args:
        path: A file or a folder.

    Yields:
        A record for each structure, a rejection for each file that cannot be read.
    """
    yield from _of_path(Path(path), [])


def records_of_pattern(value: str | Path, ignored: list[str]) -> Iterator[Record | Rejection]:
    """Records of a file, of a folder, or of what a pattern such as ``runs/*.cif`` matches.

    Args:
        value: A path or pattern.
        ignored: What folders hold beside structures, folders included, is added to it.
    """
    for path in _matches(value):
        if _is_pattern(path):
            yield _rejection(path, Reason.MISSING_FILE, f"no file matches {path}")
        else:
            yield from _of_path(path, ignored)


def files_of_pattern(value: str | Path, ignored: list[str]) -> list[Path]:
    """The files that :func:`records_of_pattern` reads, in its order."""
    return [file for path in _matches(value) for file in _files_of(path, ignored)]


def _matches(value: str | Path) -> list[Path]:
    path = Path(value).expanduser()
    if not _is_pattern(path):
        return [path]
    # One that matches nothing stays, to be told of.
    return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor)))) or [path]


def _is_pattern(path: Path) -> bool:
    return not path.exists() and any(wildcard in str(path) for wildcard in "*?[")


def _of_path(path: Path, ignored: list[str]) -> Iterator[Record | Rejection]:
    files = _files_of(path, ignored)
    if not files:
        yield _rejection(path, Reason.EMPTY, f"the folder {path} holds no structure files")
    for file in files:
        yield from records_of_file(file)


def _files_of(path: Path, ignored: list[str]) -> list[Path]:
    if not path.is_dir():
        return [path]
    files: list[Path] = []
    for file in sorted(path.iterdir()):
        if file.name.startswith("."):
            continue
        if file.is_dir():
            is_meant = has_structure_ending(file)
        else:
            is_meant = format_of_name(file) is not None or _looks_like_structure(file)
        # What is meant as a structure and is no file is rejected where it is read.
        if is_meant:
            files.append(file)
        else:
            ignored.append(str(file))
    return files


def _looks_like_structure(path: Path) -> bool:
    if is_table(path):
        return False
    try:
        return format_of_text(read_text(path)) in ("cif", "poscar")
    except InvalidCrystalError:
        return False


def records_of_file(path: Path, identifier: str | None = None) -> Iterator[Record | Rejection]:
    """Records of one file, as :func:`iter_records` gives them.

    Args:
        path: A file; a wrong ending does no harm.
        identifier: Of the structure, or what stands before the ``#`` of several. By default what
            a frame or JSON value calls itself, else the file's name.
    """
    name = identifier or identifier_of(path)
    try:
        if is_table(path):
            detail = "a table of structures, which crystal_data.TableSource reads"
            raise InvalidCrystalError(name, Reason.UNREADABLE, detail)
        text = read_text(path, name)
        kind = format_of_text(text) or format_of_name(path)
        if kind is None:
            detail = "neither name nor content is of a known format: CIF, POSCAR, extxyz, JSON"
            raise InvalidCrystalError(name, Reason.UNREADABLE, detail)
        yield from _of_text(text, kind, name, str(path), is_fixed=identifier is not None)
    except InvalidCrystalError as error:
        yield rejection_of(error, str(path))


def _of_text(
    text: str, kind: FileFormat, name: str, file: str, *, is_fixed: bool
) -> Iterator[Record | Rejection]:
    if kind == "cif":
        for part_name, part in split_cif(text, name):
            yield Record(part_name, part, "cif", file=file)
    elif kind == "poscar":
        yield Record(name, text, "poscar", file=file)
    elif kind == "extxyz":
        yield from _of_frames(read_extxyz(text, name), name, file, is_fixed=is_fixed)
    else:
        values = _json_values(text, kind, name)
        for place, value in enumerate(values):
            default = name if len(values) == 1 else f"{name}#{place}"
            yield record_of_json(value, default, file, is_fixed=is_fixed)


def _of_frames(
    frames: list["Atoms"], name: str, file: str, *, is_fixed: bool
) -> Iterator[Record | Rejection]:
    for place, atoms in enumerate(frames):
        default = name if len(frames) == 1 else f"{name}#{place}"
        key, own_name = _own_name(atoms.info)
        frame_name = default if is_fixed else own_name or default
        try:
            crystal = from_ase(atoms, frame_name, min_distance=0.0)
        except InvalidCrystalError as error:
            yield rejection_of(error, file)
        else:
            said = {name: value for name, value in crystal.properties.items() if name != key}
            properties = _record_properties(said, len(atoms), {*atoms.arrays, *_ATOM_RESULTS})
            yield Record(frame_name, crystal, "crystal", properties, file=file)


def record_of_json(
    value: Any, default_name: str, file: str = "", *, is_fixed: bool = False
) -> Record:
    """Record of ``Structure.as_dict()``, or of an object that holds one beside other values.

    Args:
        value: As parsed from JSON.
        default_name: Identifier of a structure that does not name itself.
        file: Where it stands.
        is_fixed: Whether the name counts more than what the structure calls itself.
    """
    structure, own_name, properties = _unwrapped(value)
    name = default_name if is_fixed else own_name or default_name
    return Record(name, json.dumps(structure, default=_as_list), "json", properties, file=file)


def _json_values(text: str, kind: FileFormat, name: str) -> list[Any]:
    try:
        if kind == "jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidCrystalError(name, Reason.UNREADABLE, f"not JSON: {error}") from error
    values = value if isinstance(value, list) else [value]
    if not values:
        raise InvalidCrystalError(name, Reason.EMPTY, "the list holds no structures")
    return values


def _unwrapped(value: Any) -> tuple[Any, str, dict[str, PropertyValue]]:
    """Structure, identifier and properties of a pymatgen dict, or of one that holds it."""
    if not isinstance(value, Mapping):
        return value, "", {}
    inner = value.get("structure")
    structure = inner if isinstance(inner, Mapping) else value
    kept = structure.get("properties")
    properties = dict(kept) if isinstance(kept, Mapping) else {}
    if structure is inner:
        properties.update({key: x for key, x in value.items() if key != "structure"})
    key, name = _own_name({**value, **properties})
    properties.pop(key, None)
    sites = structure.get("sites")
    num_atoms = len(sites) if isinstance(sites, list) else 0
    return structure, name, _record_properties(properties, num_atoms, _ATOM_RESULTS)


def _own_name(values: Mapping[str, Any]) -> tuple[str, str]:
    """Key and value of the first entry that names the structure; empty if none does."""
    for key in _IDENTIFIER_KEYS:
        value = values.get(key)
        if isinstance(value, (str, int, np.integer)) and value != "":
            return key, str(value)
    return "", ""


def _record_properties(
    properties: Mapping[str, Any], num_atoms: int, of_atoms: Collection[str]
) -> dict[str, PropertyValue]:
    """What a record can carry of what stands beside a structure; the rest is logged.

    Args:
        properties: Any values.
        num_atoms: Atoms of the structure.
        of_atoms: Names of which a value for each atom may be one number.
    """
    kept: dict[str, PropertyValue] = {}
    for key, value in properties.items():
        if key.startswith("@") or value is None:
            continue
        if isinstance(value, str):
            kept[key] = value
            continue
        array = _numbers(value)
        if array is None or array.ndim > 2 or array.size == 0:
            logger.warning("%s is neither numbers nor text, and is left out", key)
        elif array.ndim == 0:
            kept[key] = float(array)
        elif key == "stress":  # a matrix even where there are three atoms
            kept[key] = array.reshape(-1)
        elif len(array) == num_atoms and (array.ndim == 2 or key in of_atoms):
            kept[key] = array.reshape(num_atoms, -1)
        elif array.ndim == 1 or array.shape == (3, 3):
            kept[key] = array.reshape(-1)
        else:
            logger.warning("%s has the shape %s, and is left out", key, array.shape)
    return kept


def _numbers(value: Any) -> NDArray[np.float64] | None:
    try:
        array: NDArray[Any] = np.asarray(value)
    except ValueError:  # lists of unlike lengths
        return None
    return array.astype(np.float64) if array.dtype.kind in "fiub" else None


def _as_list(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)


def _rejection(path: Path, reason: Reason, detail: str) -> Rejection:
    return Rejection(identifier_of(path), str(path), "read", reason, detail)
