"""Files of structures: which they are, and what stands in each."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError
from crystal_data.io.ase import from_ase, read_extxyz
from crystal_data.io.cif import split_cif
from crystal_data.io.files import read_text
from crystal_data.sources.record import PropertyValue, StructureFormat

logger = logging.getLogger(__name__)

_FORMATS: dict[str, StructureFormat] = {
    ".cif": "cif",
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".contcar": "poscar",
    ".json": "json",
}
FRAME_SUFFIXES = (".extxyz", ".xyz")
STRUCTURE_SUFFIXES = (*_FORMATS, *FRAME_SUFFIXES)
_POSCAR_NAMES = ("poscar", "contcar")
# What a calculator gives for each atom.
_ATOM_RESULTS = ("forces", "magmoms", "charges", "energies", "stresses")
_IDENTIFIER_KEYS = ("identifier", "id", "material_id")


@dataclass(frozen=True, slots=True)
class Found:
    """One structure of a file, as text or as a crystal, or why there is none."""

    identifier: str
    structure: str | Crystal | InvalidCrystalError
    format: StructureFormat = "crystal"
    properties: dict[str, PropertyValue] = field(default_factory=dict)


def is_structure_file(path: Path) -> bool:
    """Whether the name is that of a structure, as ``.cif`` and ``POSCAR-3`` are."""
    return path.suffix.lower() in STRUCTURE_SUFFIXES or _is_poscar(path)


def bare_name(path: Path) -> str:
    """File name without the suffix of its format; dots in the rest stay."""
    return path.stem if path.suffix.lower() in STRUCTURE_SUFFIXES else path.name


def structures_in(path: Path, identifier: str | None = None) -> Iterator[Found]:
    """Every structure of a file: data blocks of a CIF, frames of an extxyz.

    Args:
        path: With a suffix of ``STRUCTURE_SUFFIXES``, or named like ``POSCAR``.
        identifier: By default the file's name without suffix; of several structures each gets a
            number or the name of its block after a ``#``.
    """
    name = identifier or bare_name(path)
    try:
        if path.suffix.lower() in FRAME_SUFFIXES:
            yield from _frames(path, name, rename=identifier is None)
            return
        text = read_text(path, name)
        form = _FORMATS.get(path.suffix.lower(), "poscar")
        if form != "cif":
            yield Found(name, text, form)
            return
        for block, content in split_cif(text, name):
            yield Found(block, content, "cif")
    except InvalidCrystalError as error:
        yield Found(name, error)


def _is_poscar(path: Path) -> bool:
    return path.name.lower().startswith(_POSCAR_NAMES)


def _frames(path: Path, name: str, *, rename: bool) -> Iterator[Found]:
    frames = read_extxyz(read_text(path, name), name)
    for number, atoms in enumerate(frames):
        given = next((atoms.info[key] for key in _IDENTIFIER_KEYS if key in atoms.info), None)
        identifier = name if len(frames) == 1 else f"{name}#{number}"
        if given is not None and rename:
            identifier = str(given)
        try:
            # Distances are checked when the record is parsed, as those of any other.
            crystal = from_ase(atoms, identifier, min_distance=0.0)
        except InvalidCrystalError as error:
            yield Found(identifier, error)
            continue
        properties = _properties(crystal)
        yield Found(identifier, crystal.replace(properties={}), "crystal", properties)


def _properties(crystal: Crystal) -> dict[str, PropertyValue]:
    """What a frame says of itself and of its atoms, the latter as ``[num_atoms, k]``."""
    properties: dict[str, PropertyValue] = {}
    for key, value in crystal.properties.items():
        array: NDArray[Any] = np.asarray(value)
        if key in _IDENTIFIER_KEYS:
            continue
        if isinstance(value, str):
            properties[key] = value
        elif array.dtype.kind not in "fiub":
            logger.warning("%s is neither a number nor text in an extxyz, and is left out", key)
        elif array.ndim == 0:
            properties[key] = float(array)
        elif key in _ATOM_RESULTS or (array.ndim == 2 and len(array) == crystal.num_atoms):
            properties[key] = array.reshape(crystal.num_atoms, -1).astype(np.float64)
        else:
            properties[key] = array.reshape(-1).astype(np.float64)
    return properties
