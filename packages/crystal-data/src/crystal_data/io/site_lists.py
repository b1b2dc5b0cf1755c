"""Crystals from the plain lists of sites that JSON and Parquet files hold."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.options import UNCHECKED
from crystal_data.io.sites import crystal_from_symbols, fractional

OPTIMADE_COLUMNS = ("lattice_vectors", "cartesian_site_positions", "species_at_sites")


def crystal_from_sites(
    identifier: str,
    lattice: Any,
    coords: Any,
    symbols: Any,
    *,
    cartesian: bool,
) -> Crystal:
    """Crystal from nested lists.

    Args:
        identifier: For the crystal and for messages.
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.
        coords: Shape ``[num_atoms, 3]``, Å if ``cartesian``, else dimensionless.
        symbols: Element of each atom, a list.
        cartesian: What ``coords`` are.

    Raises:
        InvalidCrystalError: If they make no crystal.
    """
    try:
        cell = np.asarray(lattice, dtype=np.float64)
        sites = np.asarray(coords, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidCrystalError(
            identifier, Reason.UNREADABLE, f"lattice or coordinates are no numbers: {error}"
        ) from None
    if not isinstance(symbols, list | tuple | np.ndarray):
        detail = f"the elements are a {type(symbols).__name__}, a list was expected"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    if sites.shape != (len(symbols), 3):
        raise InvalidCrystalError(
            identifier,
            Reason.BAD_COORDINATES,
            f"coordinates of shape {sites.shape} for {len(symbols)} atoms",
        )
    if cartesian and cell.shape == (3, 3):
        sites = fractional(sites, cell, identifier)
    # Distances are checked when the record is parsed, as those of any other.
    return crystal_from_symbols(
        identifier, cell, sites, [str(symbol) for symbol in symbols], options=UNCHECKED
    )


def crystal_from_optimade(identifier: str, row: Mapping[str, Any]) -> Crystal:
    """Crystal from the OPTIMADE fields of a row.

    Raises:
        InvalidCrystalError: If they make no crystal.
    """
    lattice, positions, species = (row[name] for name in OPTIMADE_COLUMNS)
    for name, value in zip(OPTIMADE_COLUMNS, (lattice, positions, species), strict=True):
        if value is None:
            raise InvalidCrystalError(identifier, Reason.EMPTY, f"{name} is empty")
    return crystal_from_sites(identifier, lattice, positions, species, cartesian=True)


def is_jarvis(value: Any) -> bool:
    """Whether a JSON value is an ``Atoms`` of JARVIS."""
    return isinstance(value, Mapping) and "lattice_mat" in value


def crystal_from_jarvis(identifier: str, atoms: Mapping[str, Any]) -> Crystal:
    """Crystal from the ``atoms`` object of a JARVIS file.

    Raises:
        InvalidCrystalError: If it makes no crystal.
    """
    missing = [name for name in ("lattice_mat", "coords", "elements") if name not in atoms]
    if missing:
        raise InvalidCrystalError(
            identifier, Reason.UNREADABLE, f"atoms has no {', '.join(missing)}"
        )
    return crystal_from_sites(
        identifier,
        atoms["lattice_mat"],
        atoms["coords"],
        atoms["elements"],
        # Some releases write the flag as text.
        cartesian=str(atoms.get("cartesian", False)).casefold() == "true",
    )
