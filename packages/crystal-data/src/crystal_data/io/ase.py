"""ASE's ``Atoms`` to crystals and back, and crystals to extended XYZ, which ASE defines."""

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.elements import SYMBOLS
from crystal_data.errors import InvalidArgumentError, InvalidCrystalError, Reason
from crystal_data.io.ase_results import row_major
from crystal_data.io.options import DEFAULT, ReadOptions
from crystal_data.io.sites import crystal_from_symbols, fractional

if TYPE_CHECKING:
    from ase import Atoms

_OWN_ARRAYS = ("numbers", "positions")
_RESERVED = ("Lattice", "Properties", "pbc", "uid", "virial", "species", "pos")
_PLAIN = re.compile(r"(?!(?:nan|inf|infinity|true|false|t|f)$)[a-z_][\w#.-]*", re.IGNORECASE)


def from_ase(atoms: "Atoms", identifier: str = "", options: ReadOptions = DEFAULT) -> Crystal:
    """A crystal of ASE's ``Atoms``; coordinates keep their images.

    Args:
        atoms: Periodic in three directions; ``info``, further arrays and the results of an
            attached calculator become properties; a stress has nine numbers, row after row.
        identifier: The crystal's; by default ``info["identifier"]``.
        options: How to read.

    Raises:
        InvalidCrystalError: With the reason, if the atoms do not make a crystal.
    """
    results = {} if atoms.calc is None else atoms.calc.results
    results = {
        name: row_major(name, value) if isinstance(value, np.ndarray) else value
        for name, value in results.items()
    }
    arrays = {name: array for name, array in atoms.arrays.items() if name not in _OWN_ARRAYS}
    properties = {**atoms.info, **arrays, **results}
    name = identifier or str(properties.get("identifier", ""))
    properties.pop("identifier", None)
    lattice, positions = np.array(atoms.cell), atoms.positions
    if not lattice.any(axis=1).all():
        raise InvalidCrystalError(name, Reason.NO_CELL, "the atoms have no cell in 3 directions")
    check_periodic(atoms.pbc, name)
    if len(atoms) == 0:
        raise InvalidCrystalError(name, Reason.NO_ATOMS, "there are no atoms")
    frac_coords = fractional(positions, lattice, name)
    return crystal_from_symbols(
        name,
        lattice,
        frac_coords,
        symbols_of(atoms.numbers, name),
        properties=properties,
        options=options,
    )


def check_periodic(pbc: Any, identifier: str) -> None:
    """Refuse what is not periodic in three directions: a molecule, a chain or a slab.

    Args:
        pbc: Whether each of three directions is periodic, or one value for all.
        identifier: For messages.

    Raises:
        InvalidCrystalError: ``NOT_PERIODIC``.
    """
    flags = np.broadcast_to(np.asarray(pbc, dtype=bool), 3).tolist()
    if not all(flags):
        written = " ".join("T" if flag else "F" for flag in flags)
        what = ("a molecule", "a chain", "a slab")[sum(flags)]
        detail = (
            f'pbc is "{written}", so this is {what} and no crystal; if it is a crystal, set pbc to '
            '"T T T" (in Python: atoms.pbc = True)'
        )
        raise InvalidCrystalError(identifier, Reason.NOT_PERIODIC, detail)


def symbols_of(atomic_numbers: NDArray[Any], identifier: str) -> list[str]:
    """Element symbols of atomic numbers; the blank 0 is ``X``, which is no element.

    Raises:
        InvalidCrystalError: ``UNKNOWN_ELEMENT`` if a number is not that of an element.
    """
    is_known = (atomic_numbers >= 0) & (atomic_numbers < len(SYMBOLS))
    if not is_known.all():
        atom = int(np.flatnonzero(~is_known)[0])
        detail = f"atom {atom + 1} has the atomic number {atomic_numbers[atom]:g}, of no element"
        raise InvalidCrystalError(identifier, Reason.UNKNOWN_ELEMENT, detail)
    return [SYMBOLS[z] or "X" for z in atomic_numbers.astype(int).tolist()]


def to_ase(crystal: Crystal) -> "Atoms":
    """ASE's ``Atoms``, periodic in three directions, with identifier and properties in ``info``.

    Properties of shape ``[num_atoms, k]`` become arrays of the atoms.
    """
    from ase import Atoms

    arrays = _per_atom(crystal)
    info = {key: value for key, value in crystal.properties.items() if key not in arrays}
    if crystal.identifier:
        info["identifier"] = crystal.identifier
    atoms = Atoms(
        numbers=crystal.atomic_numbers,
        cell=crystal.lattice,
        scaled_positions=crystal.frac_coords,
        pbc=True,
        info=info,
    )
    for name, array in arrays.items():
        atoms.set_array(name, array)
    return atoms


def to_extxyz(crystals: Iterable[Crystal]) -> str:
    """Extended XYZ with one frame for each crystal, positions to 1e-13 Å.

    Properties that are numbers, strings or arrays of numbers are written; ASE's own writer would
    keep only eight decimals of the positions.
    """
    return "".join(map(_frame, crystals))


def _frame(crystal: Crystal) -> str:
    entries = {"identifier": crystal.identifier, **crystal.properties}
    entries = {f"{key}_" if key in _RESERVED else key: entries[key] for key in entries}
    columns = {key: entries.pop(key) for key in _per_atom(crystal) if key in entries}
    cell = " ".join(repr(float(x)) for x in crystal.lattice.ravel())
    layout = "".join(f":{key}:R:{array.shape[1]}" for key, array in columns.items())
    fields = [f'Lattice="{cell}"', f"Properties=species:S:1:pos:R:3{layout}", 'pbc="T T T"']
    fields += [f"{_quoted(key)}={_value(key, value)}" for key, value in entries.items()]
    numbers = np.hstack([crystal.cart_coords, *columns.values()])
    atoms = [
        f"{symbol:2s} " + " ".join(f"{x:22.13f}" for x in row)
        for symbol, row in zip(crystal.species, numbers, strict=True)
    ]
    return "\n".join([str(crystal.num_atoms), " ".join(fields), *atoms]) + "\n"


def _per_atom(crystal: Crystal) -> dict[str, NDArray[Any]]:
    return {
        key: value
        for key, value in crystal.properties.items()
        if isinstance(value, np.ndarray)
        and value.ndim == 2
        and len(value) == crystal.num_atoms
        and value.dtype.kind == "f"
        and re.fullmatch(r"\w+", key)
        and key not in (*_RESERVED, "stress")
    }


def _value(key: str, value: Any) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return _quoted(value)
    if key == "stress":  # ASE reads this key as nine numbers and nothing else
        value = row_major(key, np.ravel(value))
        return _quoted(" ".join(repr(float(x)) for x in value))
    return _quoted(f"_JSON {json.dumps(value, default=_as_list)}")


def _as_list(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise InvalidArgumentError(
        f"a property of type {type(value).__name__} has no place in extended XYZ"
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
