"""Whether two atoms, or an atom and its own periodic image, are too close to be real."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.options import MIN_DISTANCE
from crystal_data.lattice import plane_spacings, reduced_lattice

# Beyond these a value is a typing error, and differences of coordinates lose their digits.
_MAX_LENGTH = 1e4  # Å
_MAX_FRAC_COORD = 1e4
_DENSE_ATOMS = 200  # up to here all pairs at once are quicker than a tree


def check_distances(
    crystal: Crystal, min_distance: float = MIN_DISTANCE, names: Sequence[str] | None = None
) -> None:
    """Refuse a crystal in which atoms overlap.

    Args:
        crystal: Looked at through its periodic images, each atom's own included.
        min_distance: Å; atoms closer than this are taken as an error of the file; 0 allows all.
        names: What the message calls each atom, such as its label and line in the file; by
            default its place, counted from 1, and its element.

    Raises:
        InvalidCrystalError: ``OVERLAPPING_ATOMS``; or ``BAD_CELL`` and ``BAD_COORDINATES`` where
            lengths or coordinates are beyond what a crystal can have.
    """
    name = crystal.identifier
    check_ranges(name, crystal.lattice, crystal.frac_coords)
    if min_distance <= 0.0:
        return
    pair = close_pair(crystal.lattice, crystal.frac_coords, min_distance)
    if pair is None:
        return
    first, second, distance = pair
    if names is None:
        names = [f"atom {place} ({x})" for place, x in enumerate(crystal.species, start=1)]
    other = "its own periodic image" if first == second else names[second]
    what = f"{names[first]} and {other}"
    detail = f"{what} are {distance:.3f} Å apart, the minimum is {min_distance:g} Å"
    raise InvalidCrystalError(name, Reason.OVERLAPPING_ATOMS, detail)


def check_ranges(
    identifier: str, lattice: NDArray[np.float64], frac_coords: NDArray[np.float64]
) -> None:
    """Refuse values that no crystal has, before arithmetic with them overflows.

    Raises:
        InvalidCrystalError: ``BAD_CELL`` or ``BAD_COORDINATES``.
    """
    if not all(-_MAX_LENGTH <= x <= _MAX_LENGTH for x in lattice.ravel().tolist()):
        detail = f"a lattice vector is longer than {_MAX_LENGTH:.0f} Å, or not a number"
        raise InvalidCrystalError(identifier, Reason.BAD_CELL, detail)
    if frac_coords.size and not np.abs(frac_coords).max() <= _MAX_FRAC_COORD:
        detail = f"a coordinate is beyond {_MAX_FRAC_COORD:.0f} cells, or not a number"
        raise InvalidCrystalError(identifier, Reason.BAD_COORDINATES, detail)


def close_pair(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], cutoff: float
) -> tuple[int, int, float] | None:
    """A pair of atoms closer than a cutoff through periodic images, or None.

    Exact for every cell: one that is thin or skewed is reduced first, so that few images do.

    Args:
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.
        frac_coords: Shape ``[num_atoms, 3]``, any image.
        cutoff: Å.

    Returns:
        Two atoms, equal if an atom is too close to its own image, and their distance in Å.
    """
    spacings = plane_spacings(lattice)
    if min(spacings) <= 2.0 * cutoff:
        reduced = reduced_lattice(lattice)
        frac_coords = frac_coords @ np.rint(lattice @ np.linalg.inv(reduced))
        lattice, spacings = reduced, plane_spacings(reduced)
        shortest = float(np.linalg.norm(lattice, axis=1).min())
        if shortest < cutoff:
            return 0, 0, shortest
    if len(frac_coords) > _DENSE_ATOMS:
        return _close_pair_by_tree(lattice, frac_coords, cutoff)
    num_atoms = len(frac_coords)
    delta = (frac_coords[:, None] - frac_coords).reshape(-1, 3)  # one product, not one per atom
    delta -= np.rint(delta)
    # A difference wrapped to [-1/2, 1/2] comes within the cutoff only by these whole shifts.
    reach = [int(cutoff / spacing + 0.5) for spacing in spacings]
    for shift in product(*(range(-n, n + 1) for n in reach)):
        vectors = (delta + shift if any(shift) else delta) @ lattice
        squares = np.einsum("ij,ij->i", vectors, vectors)
        if not any(shift):
            squares[:: num_atoms + 1] = np.inf
        closest = int(squares.argmin())
        if squares[closest] < cutoff**2:
            first, second = sorted(divmod(closest, num_atoms))
            return first, second, float(np.sqrt(squares[closest]))
    return None


def _close_pair_by_tree(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], cutoff: float
) -> tuple[int, int, float] | None:
    from scipy.spatial import cKDTree

    home = frac_coords - np.floor(frac_coords)
    margin = cutoff / np.array(plane_spacings(lattice))
    reach = np.ceil(margin).astype(int)
    coords, atoms = [home], [np.arange(len(home))]
    for shift in product(*(range(-n, n + 1) for n in reach)):
        image = home + shift
        near = ((image > -margin) & (image < 1.0 + margin)).all(axis=1)
        if any(shift) and near.any():
            coords.append(image[near])
            atoms.append(np.flatnonzero(near))
    tree = cKDTree(np.concatenate(coords) @ lattice)
    distances, neighbors = tree.query(home @ lattice, k=2)
    first = int(distances[:, 1].argmin())
    if distances[first, 1] >= cutoff:
        return None
    # Either of the two may be the atom itself where another lies exactly on it.
    second = next(int(n) for n in neighbors[first] if n != first)
    pair = sorted((first, int(np.concatenate(atoms)[second])))
    return pair[0], pair[1], float(distances[first, 1])


def nearest_distances(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    others: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Distance from each atom of one list to the nearest image of each of another.

    Args:
        lattice: Rows a, b, c, any cell; shape ``[3, 3]``, Å.
        frac_coords: Shape ``[n, 3]``, any images.
        others: Shape ``[m, 3]``, any images.

    Returns:
        Shape ``[n, m]``, Å.
    """
    reduced = reduced_lattice(lattice)
    delta = frac_coords[:, None] - others
    # The nearest image differs by at most one cell once the cell is reduced.
    delta = delta @ np.rint(lattice @ np.linalg.inv(reduced))
    delta -= np.rint(delta)
    vectors = delta @ reduced
    squares = np.full(delta.shape[:2], np.inf)
    for image in np.array(list(product((-1.0, 0.0, 1.0), repeat=3))) @ reduced:
        shifted = vectors + image
        np.minimum(squares, np.einsum("ijk,ijk->ij", shifted, shifted), out=squares)
    return np.sqrt(squares)
