"""Symmetry operations, and the atoms that they make of the listed ones."""

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import CrystalError
from crystal_data.io.disorder import SITE_TOLERANCE

_METRIC_TOLERANCE = 0.03  # by which a cell may miss its symmetry: a file may round, not contradict
_IDENTITY = (gemmi.Op.DEN, 0, 0, 0, gemmi.Op.DEN, 0, 0, 0, gemmi.Op.DEN, 0, 0, 0)

Row = tuple[int, ...]


class OperationsError(CrystalError, ValueError):
    """Operations that cannot be read, or lack the identity."""


@dataclass(frozen=True, eq=False)
class Operations:
    """A space group's operations, x' = rotation x + translation in fractional coordinates.

    Args:
        rotations: Shape ``[num_operations, 3, 3]``; the first is the identity.
        translations: Shape ``[num_operations, 3]``, in [0, 1).
        rows: Each operation as whole numbers, in 24ths, to compare sets of them.
        is_group: Whether products of them are among them; a list that was cut short is no group.
    """

    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]
    rows: frozenset[Row]
    is_group: bool

    def __len__(self) -> int:
        return len(self.rotations)

    def lacks_centering_of(self, other: "Operations") -> bool:
        """Whether another group has the same rotations, and lattice translations besides."""
        return self.rows < other.rows and {row[:9] for row in self.rows} == {
            row[:9] for row in other.rows
        }


@lru_cache(maxsize=512)
def operations_of(triplets: tuple[str, ...], centering: tuple[str, ...] = ()) -> Operations:
    """The operations of triplets such as ``"-x,y+1/2,z"``, times those of a centering.

    Raises:
        OperationsError: If one cannot be read, or the identity is missing.
    """
    try:
        ops = [gemmi.Op(triplet) for triplet in triplets]
        shifts = [gemmi.Op(triplet) for triplet in centering or ("x,y,z",)]
    except (RuntimeError, ValueError) as error:
        raise OperationsError(str(error)) from error
    made = [(shift * op).wrap() for shift in shifts for op in ops]
    rows = {(*np.ravel(op.rot).tolist(), *op.tran): None for op in made}
    if _IDENTITY not in rows:
        raise OperationsError("the identity x,y,z is not among them")
    del rows[_IDENTITY]
    table = np.array([_IDENTITY, *rows], dtype=np.float64) / gemmi.Op.DEN
    rotations, translations = table[:, :9].reshape(-1, 3, 3), table[:, 9:]
    return Operations(
        rotations,
        translations,
        frozenset((_IDENTITY, *rows)),
        _num_products(rotations, translations) == len(table),
    )


def _num_products(rotations: NDArray[np.float64], translations: NDArray[np.float64]) -> int:
    products = np.einsum("aij,bjk->abik", rotations, rotations).reshape(-1, 9)
    shifts = np.einsum("aij,bj->abi", rotations, translations) + translations[:, None]
    shifts = np.rint(shifts.reshape(-1, 3) * gemmi.Op.DEN) % gemmi.Op.DEN
    return len(np.unique(np.rint(np.hstack([products * gemmi.Op.DEN, shifts])), axis=0))


def metric_allows(lattice: NDArray[np.float64], operations: Operations) -> bool:
    """Whether a cell's lengths and angles have the symmetry of operations.

    Args:
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.
        operations: Of a space group.
    """
    metric = lattice @ lattice.T
    turned = operations.rotations.transpose(0, 2, 1) @ metric @ operations.rotations
    scale = np.sqrt(np.outer(metric.diagonal(), metric.diagonal()))
    return bool((np.abs(turned - metric) <= _METRIC_TOLERANCE * scale).all())


def is_closed(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    atomic_numbers: NDArray[np.int64],
    operations: Operations,
) -> bool:
    """Whether every operation maps the atoms onto themselves, to 0.05 Å.

    Args:
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.
        frac_coords: Shape ``[num_atoms, 3]``.
        atomic_numbers: Shape ``[num_atoms]``.
        operations: Of a space group.
    """
    is_like = atomic_numbers[:, None] == atomic_numbers
    for rotation, translation in zip(operations.rotations, operations.translations, strict=True):
        delta = (frac_coords @ rotation.T + translation)[:, None] - frac_coords
        delta -= np.rint(delta)
        distances = np.linalg.norm(delta @ lattice, axis=2)
        if not ((distances < SITE_TOLERANCE) & is_like).any(axis=1).all():
            return False
    return True


def expand(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], operations: Operations
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All atoms of the cell from those of the asymmetric unit.

    Images of one atom within 0.05 Å of it are itself, and their mean is its place: an atom that
    is listed at 0.3333 beside a threefold axis stands on the axis.

    Args:
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.
        frac_coords: Listed atoms; shape ``[num_listed, 3]``.
        operations: Of the space group, the identity first.

    Returns:
        Coordinates ``[num_atoms, 3]`` and the listed atom that each comes from ``[num_atoms]``.
    """
    orbits = [_orbit(lattice, coords, operations) for coords in frac_coords]
    source = np.repeat(np.arange(len(orbits)), [len(orbit) for orbit in orbits])
    return np.concatenate(orbits), source


def _orbit(
    lattice: NDArray[np.float64], coords: NDArray[np.float64], operations: Operations
) -> NDArray[np.float64]:
    delta = operations.rotations @ coords + operations.translations - coords
    delta -= np.rint(delta)
    itself = np.linalg.norm(delta @ lattice, axis=1) < SITE_TOLERANCE
    coords = coords + delta[itself].mean(axis=0)
    images = operations.rotations @ coords + operations.translations
    between = images[:, None] - images
    between -= np.rint(between)
    vectors = between @ lattice
    close = np.einsum("ijk,ijk->ij", vectors, vectors) < SITE_TOLERANCE**2
    distinct = close.argmax(axis=1) == np.arange(len(images))
    orbit = images[distinct]
    orbit[1:] -= np.floor(orbit[1:])
    return orbit
