"""One way from what a file lists, whatever its format, to a checked crystal."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.disorder import resolve_disorder
from crystal_data.io.distances import check_distances, check_ranges
from crystal_data.io.options import DEFAULT, ReadOptions
from crystal_data.io.symbols import atomic_number, is_heavy_hydrogen

_MAX_CART_COORD = 1e8  # Å; beyond it no digits are left for the fraction
_MIN_VOLUME = 1e-3  # Å³, as in Crystal


def crystal_from_symbols(
    identifier: str,
    lattice: ArrayLike,
    frac_coords: ArrayLike,
    symbols: Sequence[str],
    *,
    occupancies: Sequence[float] | None = None,
    properties: Mapping[str, Any] | None = None,
    options: ReadOptions = DEFAULT,
) -> Crystal:
    """A crystal of element symbols as files have them, with disorder resolved and checked.

    Args:
        identifier: The crystal's, and what messages name.
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.
        frac_coords: Shape ``[num_atoms, 3]``, any image.
        symbols: Charges are ignored; deuterium counts as hydrogen, which is noted.
        occupancies: Of each atom; None if all are full.
        properties: Kept with the crystal.
        options: How to read.

    Raises:
        InvalidCrystalError: With the reason, if the parts do not make a crystal.
    """
    numbers = np.array([atomic_number(symbol) for symbol in symbols], dtype=np.int64)
    if (numbers == 0).any():
        atom = int(np.flatnonzero(numbers == 0)[0])
        detail = f"atom {atom} is {symbols[atom]!r}, which is no element"
        raise InvalidCrystalError(identifier, Reason.UNKNOWN_ELEMENT, detail)
    heavy = sum(map(is_heavy_hydrogen, symbols))
    notes = (f"deuterium or tritium counts as hydrogen, in {heavy} listed sites",) if heavy else ()
    lattice = np.asarray(lattice, dtype=np.float64)
    frac_coords = np.asarray(frac_coords, dtype=np.float64).reshape(-1, 3)
    check_ranges(identifier, lattice, frac_coords)
    if occupancies is not None:
        amounts = np.asarray(occupancies, dtype=np.float64)
        if not ((amounts >= 0.0) & (amounts <= 1.02)).all():
            detail = "an occupancy is not a number from 0 to 1"
            raise InvalidCrystalError(identifier, Reason.BAD_VALUE, detail)
        present = amounts > 0.0
        numbers, frac_coords, amounts = numbers[present], frac_coords[present], amounts[present]
    crystal = Crystal(lattice, frac_coords, numbers, identifier, properties or {}, notes)
    if occupancies is not None:
        crystal = resolve_disorder(crystal, amounts, options.on_disorder)
    check_distances(crystal, options.min_distance)
    return crystal


def fractional(cart_coords: ArrayLike, lattice: ArrayLike, identifier: str) -> NDArray[np.float64]:
    """Fractional coordinates of Cartesian ones, images kept.

    Args:
        cart_coords: Shape ``[num_atoms, 3]``, Å.
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.
        identifier: For messages.

    Raises:
        InvalidCrystalError: ``BAD_CELL`` if the cell has no volume, ``BAD_COORDINATES`` if a
            coordinate is not finite.
    """
    rows, coords = np.asarray(lattice, dtype=np.float64), np.asarray(cart_coords, dtype=np.float64)
    check_ranges(identifier, rows, np.empty(0))
    if not (np.abs(coords) <= _MAX_CART_COORD).all():
        detail = f"a coordinate is beyond {_MAX_CART_COORD:g} Å, or not a number"
        raise InvalidCrystalError(identifier, Reason.BAD_COORDINATES, detail)
    if abs(np.linalg.det(rows)) < _MIN_VOLUME:
        raise InvalidCrystalError(identifier, Reason.BAD_CELL, "the cell has no volume")
    return np.asarray(np.linalg.solve(rows.T, coords.T).T, dtype=np.float64)
