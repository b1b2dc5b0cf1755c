"""Crystals from whatever a user has: files, folders, patterns, and objects of other libraries."""

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, OnInvalid, Reason, Rejection
from crystal_data.io.ase import from_ase, read_extxyz
from crystal_data.io.cif import split_cif
from crystal_data.io.disorder import OnDisorder
from crystal_data.io.files import read_text
from crystal_data.io.formats import FileFormat, format_of_name, format_of_text, identifier_of
from crystal_data.io.parse import parse_records, rejection_of
from crystal_data.io.pymatgen import from_pymatgen
from crystal_data.sources.record import PropertyValue, Record

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core.structure import Structure

logger = logging.getLogger(__name__)

CrystalInput: TypeAlias = Union[str, Path, Crystal, Mapping[str, Any], "Structure", "Atoms"]
_IDENTIFIER_KEYS = ("identifier", "material_id", "entry_id", "id", "jid")
# What ASE's calculators give for each atom.
_ATOM_RESULTS = ("forces", "magmoms", "charges", "energies", "stresses")


@dataclass(frozen=True)
class ReadResult:
    """What came of some inputs; every one of them is in one of the three.

    Args:
        crystals: In the order of the inputs, files of a folder by name.
        rejected: What cannot be used, and why.
        ignored: Files of folders that neither by name nor by content are structures.
    """

    crystals: list[Crystal]
    rejected: list[Rejection]
    ignored: list[str]


def read_crystals(
    inputs: CrystalInput | Iterable[CrystalInput],
    *,
    on_invalid: OnInvalid = "skip",
    on_disorder: OnDisorder = "error",
) -> ReadResult:
    """Read crystals from paths, folders, patterns, or objects in memory, or a list of these.

    Files are CIF (``.cif``, ``.mcif``), VASP (``POSCAR*``, ``CONTCAR*``, ``.vasp``, ``.poscar``),
    extended XYZ (``.extxyz``, ``.xyz``) and pymatgen JSON (``.json``, ``.jsonl``), each also with
    ``.gz``; a wrong ending does no harm. The identifier is the file's name without the ending;
    of several structures in a file, ``name#block`` or ``name#number``.

    Args:
        inputs: Also pymatgen ``Structure``, its ``as_dict()``, ASE ``Atoms``, ``Crystal``; those
            without an identifier are called ``structure-0`` and so on, by their place.
        on_invalid: ``skip`` lists what cannot be used in ``rejected``; ``error`` raises the first.
        on_disorder: ``error`` treats disorder as any other fault, so that ``on_invalid`` decides;
            ``skip`` always lists it; ``majority`` and ``order`` make it ordered.

    Returns:
        Crystals with distinct identifiers; a second one of the same name is rejected.

    Raises:
        InvalidCrystalError: If ``on_invalid`` is ``error`` and something cannot be used.
        ValueError: If ``on_invalid`` or ``on_disorder`` is none of those known.
        TypeError: If an input is of no known kind.
    """
    if on_invalid not in ("error", "skip"):
        raise ValueError(f"on_invalid is {on_invalid!r}, expected 'error' or 'skip'")
    ignored: list[str] = []
    crystals: list[Crystal] = []
    rejected: list[Rejection] = []
    files: dict[str, str] = {}
    for item in _items(inputs, on_disorder, ignored):
        parsed = parse_records([item], on_disorder=on_disorder)[0]
        if isinstance(parsed, Crystal):
            file = item.file
            if parsed.identifier not in files:
                files[parsed.identifier] = file
                beside = item.properties if isinstance(item, Record) else {}
                crystals.append(parsed.replace(properties={**beside, **parsed.properties}))
                continue
            detail = f"the identifier is taken, by {files[parsed.identifier] or 'an earlier input'}"
            parsed = Rejection(
                parsed.identifier, file, "check", Reason.DUPLICATE_IDENTIFIER, detail
            )
        raise_unless_skipped(parsed, on_invalid=on_invalid, on_disorder=on_disorder)
        rejected.append(parsed)
    return ReadResult(crystals, rejected, ignored)


def raise_unless_skipped(
    rejection: Rejection, *, on_invalid: OnInvalid, on_disorder: OnDisorder
) -> None:
    """Raise what was rejected, if the user asked for errors and not for disorder to be skipped.

    Raises:
        InvalidCrystalError: With a message that names the file and the remedy.
    """
    is_skipped_disorder = rejection.reason == Reason.DISORDERED and on_disorder == "skip"
    if on_invalid == "skip" or is_skipped_disorder:
        return
    where = f"{rejection.file}: " if rejection.file else ""
    remedy = "pass on_invalid='skip' to leave such structures out and list them"
    raise InvalidCrystalError(
        rejection.identifier, rejection.reason, f"{where}{rejection.detail}; {remedy}"
    )


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


def _items(
    inputs: Any, on_disorder: OnDisorder, ignored: list[str]
) -> Iterator[Record | Rejection]:
    is_one = isinstance(inputs, (str, Path, Crystal, Mapping)) or _is_structure(inputs)
    for place, value in enumerate([inputs] if is_one or _is_atoms(inputs) else inputs):
        if isinstance(value, (str, Path)):
            yield from _of_pattern(value, ignored)
        else:
            yield _of_object(value, f"structure-{place}", on_disorder)


def _is_structure(value: Any) -> bool:
    return hasattr(value, "as_dict") and hasattr(value, "lattice")


def _is_atoms(value: Any) -> bool:
    return hasattr(value, "get_chemical_symbols") and hasattr(value, "cell")


def _of_object(value: Any, default_name: str, on_disorder: OnDisorder) -> Record | Rejection:
    if isinstance(value, Crystal):
        return Record(value.identifier or default_name, value, "crystal")
    if isinstance(value, Mapping):
        structure, name, properties = _unwrapped(value)
        return Record(name or default_name, _dumped(structure), "json", properties)
    try:
        if _is_structure(value):
            crystal = from_pymatgen(value, on_disorder=on_disorder, min_distance=0.0)
        elif _is_atoms(value):
            crystal = from_ase(value, min_distance=0.0)
        else:
            raise TypeError(
                f"{default_name} is a {type(value).__name__}; expected a path, a Crystal, a "
                "pymatgen Structure or its dict, ASE Atoms, or a list of these"
            )
    except InvalidCrystalError as error:
        return rejection_of(error, identifier=error.identifier or default_name)
    return Record(crystal.identifier or default_name, crystal, "crystal")


def _of_pattern(value: str | Path, ignored: list[str]) -> Iterator[Record | Rejection]:
    path = Path(value).expanduser()
    if not path.exists() and any(wildcard in str(path) for wildcard in "*?["):
        found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        if not found:
            yield _rejection(path, Reason.MISSING_FILE, f"no file matches {path}")
        for file in found:
            yield from _of_path(file, ignored)
        return
    yield from _of_path(path, ignored)


def _of_path(path: Path, ignored: list[str]) -> Iterator[Record | Rejection]:
    if not path.is_dir():
        yield from records_of_file(path)
        return
    found = False
    for file in sorted(path.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        if format_of_name(file) is None and not _looks_like_structure(file):
            ignored.append(str(file))
            continue
        found = True
        yield from records_of_file(file)
    if not found:
        yield _rejection(path, Reason.EMPTY, f"the folder {path} holds no structure files")


def _looks_like_structure(path: Path) -> bool:
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
            structure, own_name, properties = _unwrapped(value)
            default = name if len(values) == 1 else f"{name}#{place}"
            chosen = default if is_fixed else own_name or default
            yield Record(chosen, _dumped(structure), "json", properties, file=file)


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


def _dumped(structure: Any) -> str:
    return json.dumps(structure, default=_as_list)


def _as_list(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)


def _rejection(path: Path, reason: Reason, detail: str) -> Rejection:
    return Rejection(identifier_of(path), str(path), "read", reason, detail)
