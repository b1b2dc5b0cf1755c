"""Records of files, folders and patterns: structures split up and named, not parsed yet."""

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import InvalidCrystalError, Reason, Rejection
from crystal_data.io.ase import from_ase
from crystal_data.io.ase_json import (
    is_ase_json,
    num_atoms_of_ase_json,
    properties_of_ase_json,
    rows_of_database,
)
from crystal_data.io.ase_results import ATOM_RESULTS, fields_of_results, row_major
from crystal_data.io.cif import split_cif
from crystal_data.io.extxyz import iter_frames
from crystal_data.io.files import read_text
from crystal_data.io.formats import (
    FileFormat,
    format_of_name,
    format_of_text,
    has_structure_ending,
    identifier_of,
    is_table,
)
from crystal_data.io.options import UNCHECKED
from crystal_data.io.parse import rejection_of
from crystal_data.io.record import PropertyValue, Record

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

_STRUCTURE_KEYS = ("structure", "atoms")
_IDENTIFIER_KEYS = ("identifier", "material_id", "entry_id", "id", "jid")


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
        yield from _of_frames(list(iter_frames(text, name)), name, file, is_fixed=is_fixed)
    else:
        values = _json_values(text, kind, name)
        for place, value in enumerate(values):
            default = name if len(values) == 1 else f"{name}#{place}"
            if isinstance(value, InvalidCrystalError):
                yield rejection_of(value, file, default)
                continue
            try:
                yield record_of_json(value, default, file, is_fixed=is_fixed)
            except RecursionError:
                detail = "the JSON is nested too deeply to be a structure"
                yield Rejection(default, file, "read", Reason.UNREADABLE, detail)


def _of_frames(
    frames: list["Atoms | InvalidCrystalError"], name: str, file: str, *, is_fixed: bool
) -> Iterator[Record | Rejection]:
    names = _names_of_frames(frames, name, is_fixed=is_fixed)
    for frame_name, atoms in zip(names, frames, strict=True):
        if isinstance(atoms, InvalidCrystalError):
            yield rejection_of(atoms, file, frame_name)
            continue
        key, _ = _own_name(atoms.info)
        try:
            crystal = from_ase(atoms, frame_name, UNCHECKED)
        except InvalidCrystalError as error:
            yield rejection_of(error, file)
        else:
            said = {name: value for name, value in crystal.properties.items() if name != key}
            properties = _record_properties(said, len(atoms), {*atoms.arrays, *ATOM_RESULTS})
            fields = fields_of_results(properties)
            yield Record(frame_name, crystal, "crystal", properties, file=file, fields=fields)


def _names_of_frames(
    frames: list["Atoms | InvalidCrystalError"], name: str, *, is_fixed: bool
) -> list[str]:
    """What each frame calls itself, or its place; frames of one name are numbered."""
    own = ["" if isinstance(x, InvalidCrystalError) or is_fixed else _own_name(x.info)[1]
           for x in frames]  # fmt: skip
    counts, numbers = Counter(own), Counter[str]()
    names = []
    for place, own_name in enumerate(own):
        if not own_name:
            names.append(name if len(frames) == 1 else f"{name}#{place}")
        elif counts[own_name] == 1:
            names.append(own_name)
        else:  # frames of a trajectory, which all have the name of their structure
            names.append(f"{own_name}#{numbers[own_name]}")
            numbers[own_name] += 1
    return names


def record_of_json(
    value: Any, default_name: str, file: str = "", *, is_fixed: bool = False
) -> Record:
    """Record of a structure's dict, or of an object that holds one beside other values.

    The dict is ``Structure.as_dict()`` of pymatgen, or an ``Atoms`` of ASE or of JARVIS; the
    object holds it as ``structure`` or ``atoms``.

    Args:
        value: As parsed from JSON.
        default_name: Identifier of a structure that does not name itself.
        file: Where it stands.
        is_fixed: Whether the name counts more than what the structure calls itself.
    """
    structure, own_name, properties = _unwrapped(value)
    name = default_name if is_fixed else own_name or default_name
    text = json.dumps(structure, default=_as_list)
    fields = fields_of_results(properties) if is_ase_json(structure) else {}
    return Record(name, text, "json", properties, file=file, fields=fields)


def _json_values(text: str, kind: FileFormat, name: str) -> list[Any]:
    """Values of a file; a line that is no JSON is the error that says so."""
    if kind == "jsonl":
        return [_json_value(line, name) for line in text.split("\n") if line.strip()]
    value = _json_value(text, name)
    rows = rows_of_database(value)
    values = rows if rows is not None else value if isinstance(value, list) else [value]
    if not values:
        raise InvalidCrystalError(name, Reason.EMPTY, "the list holds no structures")
    return values


def _json_value(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return InvalidCrystalError(name, Reason.UNREADABLE, f"not JSON: {error}")


def _unwrapped(value: Any) -> tuple[Any, str, dict[str, PropertyValue]]:
    """Structure, identifier and properties of a structure's dict, or of one that holds it."""
    if not isinstance(value, Mapping):
        return value, "", {}
    place = next((x for x in _STRUCTURE_KEYS if isinstance(value.get(x), Mapping)), None)
    structure = value if place is None else value[place]
    if is_ase_json(structure):
        properties = properties_of_ase_json(structure)
    else:
        kept = structure.get("properties")
        properties = dict(kept) if isinstance(kept, Mapping) else {}
    if place is not None:
        properties.update({key: x for key, x in value.items() if key != place})
    key, name = _own_name({**value, **properties})
    properties.pop(key, None)
    return structure, name, _record_properties(properties, _num_atoms(structure), ATOM_RESULTS)


def _num_atoms(structure: Mapping[str, Any]) -> int:
    if is_ase_json(structure):
        return num_atoms_of_ase_json(structure)
    sites = structure.get("sites", structure.get("elements"))
    return len(sites) if isinstance(sites, list) else 0


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
            kept[key] = row_major(key, array.reshape(-1))
        elif len(array) == num_atoms and (array.ndim == 2 or key in of_atoms):
            kept[key] = row_major(key, array.reshape(num_atoms, -1))
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
