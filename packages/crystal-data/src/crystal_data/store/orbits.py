"""Wyckoff orbits of all crystals of a store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from crystal_data.crystal import Crystal, CrystalArrays, lattice_from_parameters
from crystal_data.errors import InvalidArgumentError
from crystal_data.store.derived import ArrayLayout, ColumnChunk, DerivedColumn
from crystal_data.symmetry import (
    OrbitError,
    OrbitFailure,
    SymmetricCrystal,
    all_lattice_parameters,
    find_orbits,
    without_symmetry,
)

#: A Wyckoff letter is stored as its place here; group 47 has 27 positions.
WYCKOFF_LETTERS = "abcdefghijklmnopqrstuvwxyzA"


@dataclass(frozen=True)
class OrbitColumn(DerivedColumn):
    """Each crystal as a space group, its cell, and one point of each occupied orbit.

    Arrays, one row for each crystal: ``space_group_number``, 0 where there is none;
    ``lattice_parameters``, a, b, c (Å), α, β, γ (degrees) of the standard conventional cell,
    ``[num_crystals, 6]``. For each orbit: ``atomic_numbers``; ``wyckoff``, the place of its letter
    in ``WYCKOFF_LETTERS``; ``frac_coords``, a point on the position's representative,
    ``[num_orbits, 3]``. What the group and the letters leave free is in
    ``free_lattice_parameters`` and ``WyckoffPosition.free_axes``.

    Args:
        symprec: How far an atom may be from where an operation sends it, Å.
        uses_symmetry: False takes each crystal as its Niggli-reduced primitive cell in space group
            1, each atom an orbit of its own (``without_symmetry``).
    """

    name: ClassVar[str] = "orbits"
    activity: ClassVar[str] = "finding orbits"
    layout: ClassVar[Mapping[str, ArrayLayout]] = {
        "space_group_number": ArrayLayout(np.uint8, is_ragged=False),
        "lattice_parameters": ArrayLayout(np.float64, (6,), is_ragged=False),
        "atomic_numbers": ArrayLayout(np.uint8),
        "wyckoff": ArrayLayout(np.uint8),
        "frac_coords": ArrayLayout(np.float64, (3,)),
    }
    reasons: ClassVar[Sequence[str]] = tuple(OrbitFailure)
    # A search takes milliseconds, so chunks are small and others help soon.
    atoms_per_chunk: ClassVar[int] = 2_048
    patience: ClassVar[float] = 3.0

    symprec: float = 0.01
    uses_symmetry: bool = True

    def __post_init__(self) -> None:
        if not self.symprec > 0:
            raise InvalidArgumentError(f"symprec is {self.symprec}; it is a distance above 0 Å")

    @override
    def options(self) -> dict[str, Any]:
        options = super().options()
        if self.uses_symmetry:
            # Columns were stored before there was this option, and stay what they are.
            del options["uses_symmetry"]
        return options

    @override
    def compute(self, crystals: CrystalArrays) -> ColumnChunk:
        num_crystals = len(crystals.num_atoms)
        numbers = np.zeros(num_crystals, dtype=np.uint8)
        parameters = np.zeros((num_crystals, 6))
        counts = np.zeros(num_crystals, dtype=np.int64)
        failures = np.zeros(num_crystals, dtype=np.uint8)
        found: list[SymmetricCrystal] = []
        find = find_orbits if self.uses_symmetry else without_symmetry
        end = 0
        for row, num_atoms in enumerate(crystals.num_atoms.tolist()):
            atoms = slice(end, end + num_atoms)
            end += num_atoms
            crystal = Crystal(
                crystals.lattice[row], crystals.frac_coords[atoms], crystals.atomic_numbers[atoms]
            )
            try:
                orbits = find(crystal, self.symprec)
            except OrbitError as error:
                failures[row] = 1 + self.reasons.index(error.reason)
                continue
            number = orbits.space_group_number
            numbers[row] = number
            parameters[row] = all_lattice_parameters(number, orbits.lattice_parameters)
            counts[row] = orbits.num_orbits
            found.append(orbits)
        letters = "".join(letter for orbits in found for letter in orbits.wyckoff_letters)
        arrays: dict[str, NDArray[Any]] = {
            "space_group_number": numbers,
            "lattice_parameters": parameters,
            "atomic_numbers": np.concatenate(
                [np.empty(0, np.uint8), *(orbits.atomic_numbers for orbits in found)]
            ).astype(np.uint8),
            "wyckoff": np.array([WYCKOFF_LETTERS.index(letter) for letter in letters], np.uint8),
            "frac_coords": np.concatenate(
                [np.empty((0, 3)), *(orbits.frac_coords for orbits in found)]
            ),
        }
        return ColumnChunk(arrays, counts, failures)

    def crystals(self, chunk: ColumnChunk) -> list[SymmetricCrystal | None]:
        """The crystals of some values; None for one that has no orbits."""
        ends = np.cumsum(chunk.counts)
        made: list[SymmetricCrystal | None] = []
        for row, number in enumerate(chunk.arrays["space_group_number"].tolist()):
            if number == 0:
                made.append(None)
                continue
            orbits = slice(ends[row] - chunk.counts[row], ends[row])
            cell = chunk.arrays["lattice_parameters"][row]
            places = chunk.arrays["wyckoff"][orbits].tolist()
            made.append(
                SymmetricCrystal(
                    space_group_number=number,
                    lattice=lattice_from_parameters(cell[:3], cell[3:]),
                    atomic_numbers=chunk.arrays["atomic_numbers"][orbits],
                    wyckoff_letters=tuple(WYCKOFF_LETTERS[place] for place in places),
                    frac_coords=chunk.arrays["frac_coords"][orbits],
                )
            )
        return made
