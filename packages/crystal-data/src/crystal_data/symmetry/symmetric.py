"""A crystal as what symmetry leaves free: group, cell and one point for each orbit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal, lattice_from_parameters
from crystal_data.symmetry.cells import without_arrays
from crystal_data.symmetry.lattice import free_lattice_parameters
from crystal_data.symmetry.space_group import SymmetryError, search
from crystal_data.symmetry.wyckoff import (
    WyckoffPosition,
    crystal_system,
    space_group_operations,
    space_group_symbol,
    wrap,
    wyckoff_position,
)

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SymmetricCrystal:
    """A space group with occupied Wyckoff positions, in the standard conventional cell.

    The lattice is made to obey the group and each representative to lie on its position, so that
    every operation maps the expanded crystal onto itself to rounding.

    Args:
        space_group_number: 1 to 230.
        lattice: Rows of the conventional cell; ``[3, 3]``, Å. Kept as the nearest cell that the
            group allows, a along x and b in the xy plane.
        atomic_numbers: Element of each orbit; int64 ``[num_orbits]``.
        wyckoff_letters: Letter of each orbit.
        frac_coords: A point of each orbit, of which the position's free axes are read;
            ``[num_orbits, 3]``.
        identifier: The data set's own id.
        properties: Named values of the structure.

    Raises:
        SymmetryError: If shapes disagree, a letter does not exist, or a fixed point is occupied
            twice.
    """

    space_group_number: int
    lattice: Array
    atomic_numbers: NDArray[np.int64]
    wyckoff_letters: tuple[str, ...]
    frac_coords: Array
    identifier: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        letters = tuple(self.wyckoff_letters)
        numbers = np.array(self.atomic_numbers, dtype=np.int64)
        points = np.array(self.frac_coords, dtype=np.float64)
        if points.shape != (len(letters), 3) or numbers.shape != (len(letters),) or not letters:
            raise self._error(
                f"{len(letters)} letters, atomic_numbers {numbers.shape} and frac_coords "
                f"{points.shape} do not fit; each orbit needs one of each"
            )
        try:
            positions = tuple(wyckoff_position(self.space_group_number, w) for w in letters)
        except ValueError as error:
            raise self._error(str(error)) from error
        for position in set(positions):
            if position.num_free == 0 and letters.count(position.letter) > 1:
                raise self._error(f"the fixed position {position.label} is occupied twice")
        points = np.array([p.project(x) for p, x in zip(positions, points, strict=True)])
        lattice = symmetrized_lattice(self.space_group_number, np.asarray(self.lattice))
        for name, array in (("lattice", lattice), ("atomic_numbers", numbers)):
            object.__setattr__(self, name, _frozen(array))
        object.__setattr__(self, "frac_coords", _frozen(points))
        object.__setattr__(self, "wyckoff_letters", letters)
        object.__setattr__(self, "properties", MappingProxyType(dict(self.properties)))

    def _error(self, detail: str) -> SymmetryError:
        return SymmetryError(f"{self.identifier or 'structure'}: {detail}")

    def __reduce__(self) -> tuple[Any, ...]:
        # A MappingProxyType does not pickle, so the value travels as its arguments.
        arguments = (
            self.space_group_number,
            self.lattice,
            self.atomic_numbers,
            self.wyckoff_letters,
            self.frac_coords,
            self.identifier,
            dict(self.properties),
        )
        return type(self), arguments

    @classmethod
    def from_parameters(
        cls,
        space_group_number: int,
        lattice: Array,
        orbits: Sequence[tuple[int, str, Sequence[float]]],
        identifier: str = "",
    ) -> Self:
        """From the free parameters of each orbit.

        Args:
            space_group_number: 1 to 230.
            lattice: Rows of the conventional cell; ``[3, 3]``, Å.
            orbits: Atomic number, Wyckoff letter and free parameters of each.
            identifier: The data set's own id.
        """
        points = [
            wyckoff_position(space_group_number, letter).point(parameters)
            for _, letter, parameters in orbits
        ]
        return cls(
            space_group_number=space_group_number,
            lattice=lattice,
            atomic_numbers=np.array([number for number, _, _ in orbits]),
            wyckoff_letters=tuple(letter for _, letter, _ in orbits),
            frac_coords=np.array(points).reshape(-1, 3),
            identifier=identifier,
        )

    @classmethod
    def from_crystal(
        cls, crystal: Crystal, symprec: float = 0.01, angle_tolerance: float | None = None
    ) -> Self:
        """Find the symmetry of a crystal and keep one point of each orbit.

        Args:
            crystal: Any cell of it.
            symprec: How far an atom may be from where an operation sends it, Å.
            angle_tolerance: Degrees between axes; None lets it follow from ``symprec``.

        Raises:
            SymmetryError: If no symmetry is found, or the orbits do not add up to the cell.
        """
        return cls.from_dataset(crystal, search(crystal, symprec, angle_tolerance))

    @classmethod
    def from_dataset(cls, crystal: Crystal, dataset: Any) -> Self:
        """One point of each orbit of a crystal whose symmetry has been searched for.

        Args:
            crystal: Any cell of it.
            dataset: What ``search`` gave for it.

        Raises:
            SymmetryError: If the orbits do not add up to the cell.
        """
        first = np.unique(np.array(dataset.orbits))
        letter_per_atom, standard = dataset.wyckoffs, dataset.std_cell
        letters = tuple(letter_per_atom[i] for i in first)
        numbers = crystal.atomic_numbers[first]
        points = _standard_points(crystal, dataset, standard, first)
        positions = [wyckoff_position(dataset.number, letter) for letter in letters]
        lattice = np.array(standard.basis)
        points = np.array(
            [_on_representative(p, x, lattice) for p, x in zip(positions, points, strict=True)]
        )
        expanded = sum(position.multiplicity for position in positions)
        if expanded != standard.num_atoms:
            raise SymmetryError(
                f"{crystal.identifier or crystal.formula}: orbits of space group {dataset.number} "
                f"hold {expanded} atoms and the conventional cell {standard.num_atoms}",
                "try another symprec",
            )
        return cls(
            space_group_number=dataset.number,
            lattice=lattice,
            atomic_numbers=numbers,
            wyckoff_letters=letters,
            frac_coords=points,
            identifier=crystal.identifier,
            properties=without_arrays(crystal),
        )

    @cached_property
    def positions(self) -> tuple[WyckoffPosition, ...]:
        """Wyckoff position of each orbit."""
        return tuple(wyckoff_position(self.space_group_number, w) for w in self.wyckoff_letters)

    @property
    def space_group_symbol(self) -> str:
        """Short Hermann–Mauguin symbol."""
        return space_group_symbol(self.space_group_number)

    @property
    def crystal_system(self) -> str:
        """One of the seven, in lower case."""
        return crystal_system(self.space_group_number)

    @property
    def operations(self) -> tuple[NDArray[np.int64], Array]:
        """Rotations ``[order, 3, 3]`` and translations ``[order, 3]`` of the conventional cell."""
        return space_group_operations(self.space_group_number)

    @property
    def num_orbits(self) -> int:
        """Number of occupied orbits."""
        return len(self.wyckoff_letters)

    @property
    def multiplicity(self) -> NDArray[np.int64]:
        """Atoms of each orbit in the conventional cell; ``[num_orbits]``."""
        return np.array([position.multiplicity for position in self.positions])

    @property
    def parameters(self) -> tuple[Array, ...]:
        """Free coordinates of each orbit; an array of length ``num_free`` for each."""
        points = zip(self.positions, self.frac_coords, strict=True)
        return tuple(point[list(position.free_axes)] for position, point in points)

    @property
    def lattice_parameters(self) -> Array:
        """What ``free_lattice_parameters`` names of a, b, c (Å), α, β, γ (degrees)."""
        lengths = np.linalg.norm(self.lattice, axis=1)
        unit = self.lattice / lengths[:, None]
        cosines = np.array([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
        values: Array = np.concatenate([lengths, np.degrees(np.arccos(cosines))])
        return values[list(free_lattice_parameters(self.space_group_number))]

    @property
    def orbit(self) -> NDArray[np.int64]:
        """Orbit of each atom of the expanded crystal; ``[num_atoms]``."""
        return np.repeat(np.arange(self.num_orbits), self.multiplicity)

    def to_crystal(self) -> Crystal:
        """All atoms of the conventional cell, orbit after orbit, each representative first."""
        points = zip(self.positions, self.frac_coords, strict=True)
        return Crystal(
            lattice=self.lattice,
            frac_coords=np.concatenate([position.expand(point) for position, point in points]),
            atomic_numbers=np.repeat(self.atomic_numbers, self.multiplicity),
            identifier=self.identifier,
            properties=dict(self.properties),
        )

    def __repr__(self) -> str:
        sites = " ".join(position.label for position in self.positions)
        name = f" {self.identifier}" if self.identifier else ""
        return f"<SymmetricCrystal{name} {self.space_group_symbol} {sites}>"


def symmetrized_lattice(space_group_number: int, lattice: Array) -> Array:
    """The cell nearest to the given one, in its metric, that a space group allows.

    Args:
        space_group_number: 1 to 230, in its standard setting.
        lattice: Rows a, b, c; ``[3, 3]``, Å.

    Returns:
        Rows with a along x and b in the xy plane; ``[3, 3]``, Å.
    """
    rotations = space_group_operations(space_group_number)[0].astype(np.float64)
    metric = lattice @ lattice.T
    # Fractional columns turn by R, so the metric of lattice rows turns by its transpose.
    averaged = np.einsum("kji,jl,klm->im", rotations, metric, rotations) / len(rotations)
    lengths = np.sqrt(np.diag(averaged))
    cosines = averaged / np.outer(lengths, lengths)
    angles = np.degrees(np.arccos([cosines[1, 2], cosines[0, 2], cosines[0, 1]]))
    return lattice_from_parameters(lengths, angles)


def _standard_points(
    crystal: Crystal, dataset: Any, standard: Any, atoms: NDArray[np.int64]
) -> Array:
    """Refined coordinates of some atoms in the standard conventional cell; ``[len(atoms), 3]``."""
    shifted = crystal.frac_coords[atoms] - np.array(dataset.std_origin_shift)
    selected = shifted @ np.linalg.inv(np.array(dataset.std_linear)).T
    refined = np.array(standard.positions)
    delta = refined[None] - selected[:, None]
    delta -= np.rint(delta)
    distance = np.linalg.norm(delta @ np.array(standard.basis), axis=2)
    other = np.array(standard.numbers)[None] != crystal.atomic_numbers[atoms][:, None]
    nearest = np.where(other, np.inf, distance).argmin(axis=1)
    points: Array = refined[nearest]
    return points


def _on_representative(position: WyckoffPosition, point: Array, lattice: Array) -> Array:
    """The member of a point's orbit that lies on the representative; ``[3]``."""
    rotations, translations = space_group_operations(position.space_group_number)
    images = wrap(rotations @ point + translations)
    delta = position.project(images) - images
    delta -= np.rint(delta)
    best = int(np.linalg.norm(delta @ lattice, axis=1).argmin())
    return position.project(images[best])


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
