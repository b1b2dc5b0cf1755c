"""ASE's ``Atoms`` to crystals and back, and extended XYZ, which ASE defines."""

import io
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.distances import MIN_DISTANCE
from crystal_data.io.sites import crystal_from_symbols

if TYPE_CHECKING:
    from ase import Atoms


def from_ase(
    atoms: "Atoms", identifier: str = "", *, min_distance: float = MIN_DISTANCE
) -> Crystal:
    """A crystal of ASE's ``Atoms``; coordinates keep their images.

    Args:
        atoms: With a cell in three directions; ``info`` and the results of an attached calculator
            become properties. A direction without periodic boundary is taken as periodic.
        identifier: The crystal's; by default ``info["identifier"]``.
        min_distance: See ``check_distances``, Å.

    Raises:
        InvalidCrystalError: With the reason, if the atoms do not make a crystal.
    """
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    properties = {**atoms.info, **results}
    name = identifier or str(properties.get("identifier", ""))
    properties.pop("identifier", None)
    lattice, positions = np.array(atoms.cell), atoms.positions
    if not lattice.any(axis=1).all():
        raise InvalidCrystalError(name, Reason.NO_CELL, "the atoms have no cell in 3 directions")
    if len(atoms) == 0:
        raise InvalidCrystalError(name, Reason.NO_ATOMS, "there are no atoms")
    if not np.isfinite(lattice).all() or abs(np.linalg.det(lattice)) < 1e-3:
        raise InvalidCrystalError(name, Reason.BAD_CELL, "the cell has no volume")
    frac_coords = np.linalg.solve(lattice.T, positions.T).T
    return crystal_from_symbols(
        name,
        lattice,
        frac_coords,
        atoms.get_chemical_symbols(),
        properties=properties,
        min_distance=min_distance,
    )


def to_ase(crystal: Crystal) -> "Atoms":
    """ASE's ``Atoms``, periodic in three directions, with identifier and properties in ``info``."""
    from ase import Atoms

    info = dict(crystal.properties)
    if crystal.identifier:
        info["identifier"] = crystal.identifier
    return Atoms(
        numbers=crystal.atomic_numbers,
        cell=crystal.lattice,
        scaled_positions=crystal.frac_coords,
        pbc=True,
        info=info,
    )


def read_extxyz(text: str, identifier: str = "") -> list["Atoms"]:
    """The frames of an extended XYZ text.

    Raises:
        InvalidCrystalError: ``EMPTY`` or ``UNREADABLE``.
    """
    from ase.io import extxyz

    if not text.strip():
        raise InvalidCrystalError(identifier, Reason.EMPTY, "the file is empty")
    try:
        # A list: ASE gives a generator, which would fail at the caller's.
        frames = list(extxyz.read_extxyz(io.StringIO(text), index=slice(None)))
    except Exception as error:  # ASE raises what its parser happens to trip over
        detail = f"not extended XYZ: {type(error).__name__}: {error}"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail) from error
    if not frames:
        raise InvalidCrystalError(identifier, Reason.NO_ATOMS, "there are no frames")
    return frames


def to_extxyz(crystals: Iterable[Crystal]) -> str:
    """Extended XYZ with one frame for each crystal, positions to 1e-13 Å.

    Properties that are numbers, strings or arrays of numbers are written; ASE's own writer would
    keep only eight decimals of the positions.
    """
    return "".join(map(_frame, crystals))


def _frame(crystal: Crystal) -> str:
    cell = " ".join(repr(float(x)) for x in crystal.lattice.ravel())
    fields = [f'Lattice="{cell}"', "Properties=species:S:1:pos:R:3", 'pbc="T T T"']
    entries = {"identifier": crystal.identifier, **crystal.properties}
    fields += [f"{_quoted(key)}={_value(value)}" for key, value in entries.items() if key]
    rows = zip(crystal.species, crystal.cart_coords, strict=True)
    atoms = [f"{symbol:2s} {x:22.13f} {y:22.13f} {z:22.13f}" for symbol, (x, y, z) in rows]
    return "\n".join([str(crystal.num_atoms), " ".join(fields), *atoms]) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "T" if value else "F"
    if isinstance(value, (int, float, np.integer, np.floating)):
        return repr(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, str):
        return _quoted(value)
    text = json.dumps(value.tolist() if isinstance(value, np.ndarray) else value)
    return _quoted(f"_JSON {text}")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
