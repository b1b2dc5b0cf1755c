"""Structures as ASE writes them in JSON, read without ASE."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.ase import check_periodic, symbols_of
from crystal_data.io.options import UNCHECKED
from crystal_data.io.sites import crystal_from_symbols, fractional

_STRUCTURE = {"numbers", "positions", "cell"}
# What ASE's databases note of a row beside the structure and its properties.
_BOOKKEEPING = _STRUCTURE | {
    "__ase_objtype__",
    "calculator",
    "calculator_parameters",
    "celldisp",
    "constraints",
    "ctime",
    "data",
    "info",
    "key_value_pairs",
    "mtime",
    "pbc",
    "unique_id",
    "user",
}


def is_ase_json(value: Any) -> bool:
    """Whether a JSON value is an ``Atoms`` of ``ase.io.jsonio``, or a row of an ASE database."""
    return isinstance(value, Mapping) and value.keys() >= _STRUCTURE


def rows_of_database(value: Any) -> list[Any] | None:
    """The rows of an ASE database in JSON, which ``ase.io.write`` makes too; else None."""
    if not isinstance(value, Mapping) or not isinstance(value.get("ids"), list):
        return None
    return [value.get(str(number)) for number in value["ids"]]


def crystal_from_ase_json(identifier: str, values: Mapping[str, Any]) -> Crystal:
    """A crystal of an ``Atoms`` or database row; distances are not checked.

    Raises:
        InvalidCrystalError: With the reason, if it makes no crystal.
    """
    try:
        lattice = np.asarray(_decoded(values["cell"]), dtype=np.float64)
        positions = np.asarray(_decoded(values["positions"]), dtype=np.float64).reshape(-1, 3)
        numbers = np.asarray(_decoded(values["numbers"]), dtype=np.float64).reshape(-1)
        lattice = np.diag(lattice) if lattice.shape == (3,) else lattice.reshape(3, 3)
        pbc = np.asarray(_decoded(values.get("pbc", False)), dtype=bool).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        detail = f"'cell', 'positions', 'numbers' or 'pbc' are no arrays of ASE: {error}"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail) from error
    if not lattice.any(axis=1).all():
        raise InvalidCrystalError(identifier, Reason.NO_CELL, "there is no cell in 3 directions")
    if len(pbc) not in (1, 3):
        detail = f"'pbc' has {len(pbc)} values, one for each of 3 directions was expected"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    check_periodic(pbc, identifier)
    if not len(numbers) == len(positions) > 0:
        detail = f"{len(numbers)} atomic numbers for {len(positions)} positions"
        raise InvalidCrystalError(identifier, Reason.NO_ATOMS, detail)
    symbols = symbols_of(numbers, identifier)
    coords = fractional(positions, lattice, identifier)
    return crystal_from_symbols(identifier, lattice, coords, symbols, options=UNCHECKED)


def num_atoms_of_ase_json(values: Mapping[str, Any]) -> int:
    """How many atoms an ``Atoms`` or database row lists."""
    numbers = _array_or_none(values["numbers"])
    return len(numbers) if isinstance(numbers, list | np.ndarray) else 0


def properties_of_ase_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside the structure: results, ``info``, and pairs of a database row."""
    kept = {key: value for key, value in values.items() if key not in _BOOKKEEPING}
    for name in ("info", "key_value_pairs"):
        inner = values.get(name)
        kept.update(inner if isinstance(inner, Mapping) else {})
    return {key: _array_or_none(value) for key, value in kept.items()}


def _array_or_none(value: Any) -> Any:
    try:
        return _decoded(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _decoded(value: Any) -> Any:
    """An array that ASE writes as shape, type and numbers, or the value itself."""
    if isinstance(value, Mapping) and "array" in value:  # a Cell
        value = value["array"]
    if not (isinstance(value, Mapping) and "__ndarray__" in value):
        return value
    shape, _, numbers = value["__ndarray__"]
    array: NDArray[np.float64] = np.asarray(numbers, dtype=np.float64)
    return array.reshape(shape)
